// The plots of trials, which follow the filters: history, axes, curves, any two columns, and the workers.

/** Returns the curves of a measure over the trainings. */
function curvesPlot(store, open) {
  const measures = () => store.data.measures.filter((measure) => measure.of_curves);
  let key = store.run.objective;
  let limits = {};
  const option = () => {
    const measure = store.data.measures.find((each) => each.key === key);
    const trials = store.filtered().filter((trial) => (store.data.curves[trial.trial_id] || {})[key]);
    if (!measure || !trials.length) return null;
    const line = key === "valid_ll" && store.run.training;
    limits = robustLimits(trials.flatMap((trial) => store.data.curves[trial.trial_id][key]));
    const max = line ? (extent) => Math.max(limits.max ?? extent.max, line.valid_ll) : limits.max;
    const statuses = statusesOf(store, trials);
    return {
      legend: statusLegend(statuses),
      grid: { left: 28, right: 24, top: 44, bottom: 44, containLabel: true },
      dataZoom: [{ type: "inside", zoomOnMouseWheel: "ctrl", moveOnMouseWheel: false }],
      xAxis: valueAxis(store.run.updates_title, { min: 0, max: "dataMax", scale: false }),
      yAxis: valueAxis(`${measure.title}${measure.unit && ` (${measure.unit})`}`, { nameGap: 42, min: limits.min, max }),
      tooltip: tooltip((event) => describeTrial(store, store.byId.get(event.seriesId), [
        `${measure.title} ${formatNumber(event.value[1], measure.decimals)} at update ${formatCount(event.value[0])}`,
      ])),
      series: trials.map((trial, i) => {
        const curve = store.data.curves[trial.trial_id];
        return {
          id: trial.trial_id,
          name: trial.status,
          type: "line",
          symbol: "circle",
          symbolSize: 4,
          triggerLineEvent: true,
          itemStyle: { color: statusColour(trial.status) },
          lineStyle: { width: 1.4, opacity: 0.75 },
          emphasis: { focus: "series", lineStyle: { width: 3 } },
          data: curve.updates.map((updates, at) => [updates, curve[key][at]]),
          ...(i === 0 && line ? { markLine: referenceLine(line) } : {}),
        };
      }),
    };
  };
  const plot = new Plot("Learning curves", option, {
    onpick: open,
    menus: () => [menu("measure", measures().map((measure) => [measure.key, measure.title]), key, (value) => { key = value; plot.draw(); })],
    note: () => {
      const line = key === "valid_ll" && store.run.training;
      const n = Object.keys(store.data.curves).length;
      return [
        "One line for each trial; click a status to hide it, a line to open its trial.",
        line ? ` The dashed line is that of ${formatCount(line.n_samples)} ${line.name}.` : "",
        limits.n_outside ? ` ${formatCount(limits.n_outside)} values lie far outside and are cut off.` : "",
        n < store.trials.length ? ` Of ${formatCount(store.data.n_trials)} trials ${formatCount(n)} have curves in this page.` : "",
      ].join("");
    },
  });
  return plot;
}

function referenceLine(training) {
  return {
    symbol: "none",
    silent: true,
    label: { show: false },
    lineStyle: { color: VERMILION, type: "dashed" },
    data: [{ yAxis: training.valid_ll }],
  };
}

/** Returns the scores of trials in the order in which they began, and the best so far. */
function historyPlot(store, open) {
  let by = "number";
  let limits = {};
  const titles = { number: "trial", started: "minutes since the start", spent: "updates spent" };
  const option = () => {
    const key = store.run.objective;
    const trials = store.filtered().filter((trial) => trial[key] !== null && trial[key] !== undefined);
    if (!trials.length) return null;
    const began = Math.min(...store.trials.map((trial) => trial.started ?? Infinity));
    const minutes = (trial) => (trial.started === null ? null : (trial.started - began) / 60);
    const points = trials.map((trial) => {
      const x = { number: trial.number, spent: trial.spent, started: minutes(trial) };
      return { trial: trial.trial_id, status: trial.status, phase: trial.phase, value: [x[by], trial[key]] };
    }).filter((point) => point.value[0] !== null);
    const better = store.run.minimize ? Math.min : Math.max;
    // Final scores come from other numbers of samples than those of the search.
    const phase = store.view.phase || "search";
    let best = null;
    const steps = [...points].sort((a, b) => a.value[0] - b.value[0]).flatMap((point) => {
      const counts = point.phase === phase && !UNSOUND.includes(point.status);
      if (!counts) return [];
      best = best === null ? point.value[1] : better(best, point.value[1]);
      return [[point.value[0], best]];
    });
    limits = robustLimits(points.map((point) => point.value[1]));
    const statuses = statusesOf(store, trials);
    return {
      legend: { ...statusLegend(statuses), data: [...statusLegend(statuses).data, { name: "best so far" }] },
      grid: { left: 28, right: 24, top: 44, bottom: 44, containLabel: true },
      dataZoom: [{ type: "inside", zoomOnMouseWheel: "ctrl", moveOnMouseWheel: false }],
      xAxis: valueAxis(titles[by], { min: "dataMin", max: "dataMax" }),
      yAxis: axisOf(store, store.objective, trials, { nameGap: 42, min: limits.min, max: limits.max }),
      tooltip: tooltip((event) => describeTrial(store, store.byId.get(event.data.trial))),
      series: [
        ...statuses.map((status) => ({
          name: status,
          type: "scatter",
          symbol: SYMBOLS[status],
          symbolSize: 9,
          itemStyle: { color: statusColour(status) },
          data: points.filter((point) => point.status === status),
        })),
        {
          name: "best so far",
          type: "line",
          step: "end",
          silent: true,
          z: 1,
          showSymbol: false,
          itemStyle: { color: pageColour("ink") },
          lineStyle: { color: pageColour("ink"), width: 1.2 },
          data: steps,
        },
      ],
    };
  };
  const plot = new Plot("Optimisation history", option, {
    onpick: open,
    menus: () => [menu("by", Object.entries(titles), by, (value) => { by = value; plot.draw(); })],
    note: () => `Each mark is a trial by its last score. Collapsed, diverged and failed trials never count as best.${
      limits.n_outside ? ` ${formatCount(limits.n_outside)} lie far outside and are cut off.` : ""}`,
  });
  return plot;
}

/** Returns the trials as lines over axes of parameters and measures, which a brush selects. */
function parallelPlot(store, open) {
  const most = 12;
  const shownColumns = (trials) => {
    const parameters = store.columns.filter((column) => column.isParameter && store.categories(column.key, trials).length > 1);
    const measures = store.columns.filter((column) => ["coverage", store.run.objective].includes(column.key));
    return [...parameters.slice(0, most - measures.length), ...measures.reverse()];
  };
  const option = () => {
    const trials = store.filtered({ brush: false });
    const columns = shownColumns(trials);
    if (!trials.length || columns.length < 2) return null;
    const statuses = statusesOf(store, trials);
    const axes = columns.map((column, dim) => {
      const axis = axisOf(store, column, trials);
      return {
        dim,
        name: column.title,
        type: axis.type,
        ...(axis.data ? { data: axis.data } : { scale: true, minInterval: column.isInteger ? 1 : 0 }),
        nameLocation: "start",
        nameRotate: 35,
        nameGap: 14,
        nameTextStyle: { color: pageColour("ink"), fontSize: 11, align: "right" },
        axisLine: { lineStyle: { color: pageColour("soft") } },
        axisTick: { lineStyle: { color: pageColour("soft") } },
        axisLabel: { color: pageColour("soft"), fontSize: 10, ...(axis.data ? {} : { formatter: axisNumber }) },
        inverse: false,
      };
    });
    return {
      legend: statusLegend(statuses),
      parallel: { left: 60, right: 60, top: 44, bottom: 104, axisExpandable: false },
      parallelAxis: axes,
      tooltip: tooltip((event) => {
        const trial = event.data && store.byId.get(event.data.trial);
        return trial ? describeTrial(store, trial) : "";
      }),
      series: statuses.map((status) => ({
        name: status,
        type: "parallel",
        smooth: 0.15,
        color: statusColour(status),
        lineStyle: { color: statusColour(status), width: 1.3, opacity: trials.length > 200 ? 0.3 : 0.7 },
        inactiveOpacity: 0.04,
        activeOpacity: 0.95,
        emphasis: { lineStyle: { width: 3, opacity: 1 } },
        data: trials.filter((trial) => trial.status === status).map((trial) => ({
          trial: trial.trial_id,
          name: trial.trial_id,
          value: columns.map((column) => axisValue(column, trial) ?? "-"),
        })),
      })),
    };
  };
  const clear = element("button", {
    type: "button",
    onclick: () => { store.change({ brushed: null }); },
  }, "Clear the selection");
  const plot = new Plot("Parallel coordinates", option, {
    height: 440,
    width: 760,
    onpick: open,
    menus: () => [clear],
    note: () => {
      const trials = store.filtered({ brush: false });
      const n = store.columns.filter((column) => column.isParameter && store.categories(column.key, trials).length > 1).length;
      return `Drag along an axis to select trials, here and in all that is below; click a line to open its trial. A line has gaps where a parameter does not apply.${
        n > most - 2 ? ` ${most - 2} of ${n} parameters have an axis.` : ""}`;
    },
  });
  // Drawn anew, it would lose the selection.
  plot.keeps = () => store.view.brushed !== null;
  plot.onready = (chart) => {
    chart.on("axisareaselected", () => {
      const series = chart.getModel().getSeries();
      const isBrushed = chart.getOption().parallelAxis.some((axis) => (axis.activeIntervals || []).length)
        || chart.getModel().queryComponents({ mainType: "parallelAxis" }).some((axis) => axis.activeIntervals.length);
      const ids = series.flatMap((each) => each
        .getRawIndicesByActiveState("active")
        .map((index) => each.option.data[index].trial));
      store.change({ brushed: isBrushed ? new Set(ids) : null });
    });
  };
  return plot;
}

/** Returns trials by any two columns. */
function scatterPlot(store, open) {
  const options = () => store.columns.map((column) => [column.key, column.title]);
  const first = store.columns.find((column) => column.isParameter && column.kind === "number")
    || store.columns[0];
  const [along, up] = store.run.objectives;
  const chosen = up ? { x: along.key, y: up.key } : { x: first.key, y: store.run.objective };
  const front = (trials) => frontSeries(store, chosen, trials
    .filter((trial) => trial.front === 1)
    .map((trial) => ({ trial: trial.trial_id, value: [trial[chosen.x], trial[chosen.y]] })));
  let limits = {};
  const option = () => {
    const [x, y] = [store.column(chosen.x), store.column(chosen.y)];
    if (!x || !y) return null;
    const trials = store.filtered().filter((trial) => axisValue(x, trial) !== null && axisValue(y, trial) !== null);
    if (!trials.length) return null;
    limits = y.kind === "number" && y.isMeasure ? robustLimits(trials.map((trial) => trial[y.key])) : {};
    const statuses = statusesOf(store, trials);
    return {
      legend: statusLegend(statuses),
      grid: { left: 28, right: 24, top: 44, bottom: 44, containLabel: true },
      dataZoom: [{ type: "inside", zoomOnMouseWheel: "ctrl", moveOnMouseWheel: false }],
      xAxis: axisOf(store, x, trials, { boundaryGap: x.kind === "text" ? true : ["4%", "4%"] }),
      yAxis: axisOf(store, y, trials, { nameGap: 42, min: limits.min, max: limits.max }),
      tooltip: tooltip((event) => {
        const trial = store.byId.get(event.data.trial);
        return describeTrial(store, trial, [x, y].map((column) => `${column.title} ${formatValue(trial[column.key])}`));
      }),
      series: [...statuses.map((status) => ({
        name: status,
        type: "scatter",
        symbol: SYMBOLS[status],
        symbolSize: 9,
        itemStyle: { color: statusColour(status), opacity: 0.85 },
        data: trials.filter((trial) => trial.status === status).map((trial) => ({
          trial: trial.trial_id,
          value: [axisValue(x, trial), axisValue(y, trial)],
          symbolSize: trial.front === 1 ? 15 : 9,
        })),
      })), ...front(trials)],
    };
  };
  const plot = new Plot("Any two columns", option, {
    onpick: open,
    menus: () => ["x", "y"].map((axis) => menu(axis, options(), chosen[axis], (value) => { chosen[axis] = value; plot.draw(); })),
    note: () => [
      up && "Larger: on the first Pareto front of the search.",
      limits.n_outside && `${formatCount(limits.n_outside)} trials lie far outside and are cut off.`,
    ].filter(Boolean).join(" "),
  });
  return plot;
}

/** Returns when each worker trained which trial. */
function timelinePlot(store, open) {
  const option = () => {
    const trials = store.trials.filter((trial) => trial.started !== null && trial.ended !== null);
    if (!trials.length) return null;
    const lanes = lanesOf(trials);
    const began = Math.min(...trials.map((trial) => trial.started));
    const names = [...new Set(lanes.map((lane) => lane.name))];
    const statuses = statusesOf(store, trials);
    return {
      legend: statusLegend(statuses),
      grid: { left: 28, right: 24, top: 44, bottom: 44, containLabel: true },
      dataZoom: [{ type: "inside", xAxisIndex: 0, filterMode: "weakFilter", zoomOnMouseWheel: "ctrl", moveOnMouseWheel: false }],
      xAxis: valueAxis("minutes since the first trial began", { min: 0, max: "dataMax", scale: false }),
      yAxis: categoryAxis("", names, { inverse: true }),
      tooltip: tooltip((event) => {
        const trial = store.byId.get(event.data.trial);
        return describeTrial(store, trial, [`trained for ${formatSeconds(trial.seconds)}, ${trial.phase}`]);
      }),
      series: statuses.map((status) => ({
        name: status,
        type: "custom",
        itemStyle: { color: statusColour(status) },
        encode: { x: [1, 2], y: 0 },
        renderItem: (_, api) => {
          const [left, middle] = api.coord([api.value(1), api.value(0)]);
          const right = api.coord([api.value(2), api.value(0)])[0];
          const height = Math.min(22, api.size([0, 1])[1] * 0.7);
          return {
            type: "rect",
            shape: { x: left, y: middle - height / 2, width: Math.max(1, right - left - 1), height },
            style: { fill: statusColour(status), opacity: 0.85 },
          };
        },
        data: lanes.filter((lane) => lane.trial.status === status).map((lane) => ({
          trial: lane.trial.trial_id,
          value: [names.indexOf(lane.name), (lane.trial.started - began) / 60, (lane.trial.ended - began) / 60],
        })),
      })),
    };
  };
  const height = () => {
    const lanes = lanesOf(store.trials.filter((trial) => trial.started !== null && trial.ended !== null));
    return Math.min(900, 130 + 26 * new Set(lanes.map((lane) => lane.name)).size);
  };
  return new Plot("Timeline of the workers", option, {
    height,
    onpick: open,
    note: "From the beginning of each training to its last report. Gaps are starts, final scores and waiting.",
  });
}

/** Returns each trial with the name of its lane: the first of its device's that is free by then. */
function lanesOf(trials) {
  const free = new Map(); // by device: when each of its lanes is free again
  return [...trials].sort((a, b) => a.started - b.started).map((trial) => {
    const device = trial.device || "?";
    if (!free.has(device)) free.set(device, []);
    const ends = free.get(device);
    let lane = ends.findIndex((end) => end <= trial.started + 0.5);
    if (lane < 0) lane = ends.length;
    ends[lane] = trial.ended;
    return { trial, name: `${device} ${lane + 1}` };
  });
}
