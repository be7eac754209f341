// The plots of a run as a whole: its ranking, its winner, and where its trials died.

/** Returns the ranked configurations by two of several objectives, with their intervals. */
function frontPlot(store) {
  const { objectives } = store.run;
  const titles = () => store.data.scales.slice(0, objectives.length);
  const chosen = { x: objectives[0].test, y: objectives[1].test };
  const option = () => {
    const [x, y] = [chosen.x, chosen.y].map((key) => store.data.scales.find((scale) => scale.key === key));
    const ranked = store.data.ranking.filter((row) => row.scores[chosen.x] && row.scores[chosen.y]);
    if (!x || !y || !ranked.length) return null;
    const place = (row) => [row.scores[chosen.x].mean, row.scores[chosen.y].mean];
    const isFirst = (row) => row.front === 1;
    const ends = (key) => ranked.flatMap(({ scores: { [key]: score } }) => [score.low ?? score.mean, score.high ?? score.mean]);
    const axis = (scale, more) => valueAxis(
      `${scale.title}${scale.unit && ` (${scale.unit})`}, ${scale.better}`, { min: niceEnd(ends(scale.key), -1), max: niceEnd(ends(scale.key), 1), ...more },
    );
    const show = (scale, row) => {
      const { mean, low, high } = row.scores[scale.key];
      return element("div", {}, `${scale.title} ${formatNumber(mean)}${low === null ? "" : ` [${formatNumber(low)}, ${formatNumber(high)}]`} ${scale.unit}`);
    };
    const points = (name, rows, colour, symbol) => ({
      name,
      type: "scatter",
      symbol,
      symbolSize: 12,
      itemStyle: { color: colour },
      label: { show: true, position: "top", color: pageColour("ink"), fontSize: 11, formatter: (event) => event.data.name },
      labelLayout: { hideOverlap: true },
      data: rows.map((row) => ({ value: place(row), name: `${row.rank ?? "-"} ${row.label}`, row: ranked.indexOf(row) })),
    });
    return {
      legend: { left: 0, top: 0, data: ["first front", "behind it"], textStyle: { color: pageColour("ink"), fontSize: 12 } },
      grid: { left: 28, right: 24, top: 44, bottom: 44, containLabel: true },
      xAxis: axis(x, {}),
      yAxis: axis(y, { nameGap: 42 }),
      tooltip: tooltip((event) => {
        const row = ranked[event.data.row];
        return element("div", { class: "tip" },
          element("b", {}, event.data.name), show(x, row), show(y, row),
          element("div", {}, `front ${row.front}, probability of the first ${formatNumber(row.p_front, 2)}`),
          element("div", {}, `${row.n_works} of ${row.n} replicas work`));
      }),
      series: [
        {
          name: "95 % intervals",
          type: "custom",
          silent: true,
          renderItem: (_, api) => {
            const at = (i, j) => api.coord([api.value(i), api.value(j)]);
            const lines = [[at(2, 1), at(3, 1)], [at(0, 4), at(0, 5)]];
            const style = { stroke: api.value(6) ? BLUE : pageColour("soft"), lineWidth: 1, opacity: 0.6 };
            return { type: "group", children: lines.map(([[x1, y1], [x2, y2]]) => ({ type: "line", shape: { x1, y1, x2, y2 }, style })) };
          },
          data: ranked.filter((row) => row.scores[chosen.x].low !== null && row.scores[chosen.y].low !== null).map((row) => {
            const [across, along] = [row.scores[chosen.x], row.scores[chosen.y]];
            return [...place(row), across.low, across.high, along.low, along.high, Number(isFirst(row))];
          }),
        },
        points("first front", ranked.filter(isFirst), BLUE, "circle"),
        points("behind it", ranked.filter((row) => !isFirst(row)), pageColour("soft"), "emptyCircle"),
        ...frontSeries(store, chosen, ranked.filter(isFirst).map((row) => ({ value: place(row) }))),
      ],
    };
  };
  const plot = new Plot("The front", option, {
    height: 380,
    menus: () => (objectives.length > 2
      ? ["x", "y"].map((axis) => menu(axis, titles().map((scale) => [scale.key, scale.title]), chosen[axis], (value) => { chosen[axis] = value; plot.draw(); }))
      : []),
    note: "Means over the replicas that work, and 95 % intervals over training seeds. Fronts go by validation examples, what is drawn is against the test set.",
  });
  return plot;
}

/** Returns a round end of an axis for values, a little beyond them: the lower for side -1. */
function niceEnd(values, side) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const margin = 0.08 * (high - low) || 1;
  return Number((side < 0 ? low - margin : high + margin).toPrecision(2));
}

/** Returns the ranked configurations: means, 95 % intervals, seeds, and lines of real data. */
function rankingPlot(store, index) {
  const option = () => {
    const scale = store.data.scales[index];
    if (!scale) return null;
    const ranked = store.data.ranking.filter((row) => row.scores[scale.key]).slice(0, 40);
    if (!ranked.length) return null;
    const names = ranked.map((row) => `${row.rank ?? "-"}  ${row.label}`);
    const scores = ranked.map((row) => row.scores[scale.key]);
    const ink = pageColour("ink");
    const lines = scale.lines.filter((line) => !line.published);
    const published = scale.lines.filter((line) => line.published);
    const lineSeries = (name, entries, colour, type) => ({
      name,
      type: "line",
      data: [],
      itemStyle: { color: colour },
      lineStyle: { color: colour, type },
      markLine: {
        symbol: "none",
        lineStyle: { color: colour, type },
        label: { color: pageColour("soft"), fontSize: 10, formatter: (mark) => mark.name, position: "start", rotate: 25, align: "left" },
        data: entries.map((line) => ({ name: line.name, xAxis: line.value })),
      },
    });
    const standing = (row) => [
      element("div", {}, `${row.n_works} of ${row.n} replicas work`),
      row.tied.length ? element("div", {}, `tied with rank ${row.tied.join(", ")}`) : "",
    ];
    const show = (name, score) => [
      element("b", {}, name),
      element("div", {}, `mean ${formatNumber(score.mean, 2)} ${scale.unit}`),
      score.low === null ? null : element(
        "div", {}, `95 % interval [${formatNumber(score.low, 2)}, ${formatNumber(score.high, 2)}]`,
      ),
    ];
    return {
      legend: { left: 0, top: 0, textStyle: { color: ink, fontSize: 12 }, inactiveColor: pageColour("line") },
      grid: { left: 8, right: 70, top: 84, bottom: 44, containLabel: true },
      xAxis: valueAxis(`${scale.title}${scale.unit && ` (${scale.unit})`}, ${scale.better}`, limitsWith(scores, scale.lines)),
      yAxis: categoryAxis("", names, { inverse: true, nameGap: 0 }),
      tooltip: tooltip((event) => {
        if (event.componentType === "markLine") return element("b", {}, `${event.name}: ${formatNumber(event.value, 1)}`);
        const row = scores[event.data.row];
        return element("div", { class: "tip" }, show(names[event.data.row], row), standing(ranked[event.data.row]));
      }),
      series: [
        {
          name: "95 % intervals",
          type: "custom",
          itemStyle: { color: BLUE },
          encode: { x: [1, 2], y: 0 },
          renderItem: (_, api) => {
            const [left, y] = api.coord([api.value(1), api.value(0)]);
            const right = api.coord([api.value(2), api.value(0)])[0];
            const style = { stroke: BLUE, lineWidth: 2 };
            const shapes = [[left, y, right, y], [left, y - 5, left, y + 5], [right, y - 5, right, y + 5]];
            return {
              type: "group",
              children: shapes.map(([x1, y1, x2, y2]) => ({ type: "line", shape: { x1, y1, x2, y2 }, style })),
            };
          },
          data: scores.flatMap((score, i) =>
            score.low === null ? [] : [{ value: [i, score.low, score.high], row: i }]),
        },
        {
          name: "seeds",
          type: "scatter",
          symbol: "rect",
          symbolSize: [2, 12],
          itemStyle: { color: pageColour("soft") },
          data: scores.flatMap((score, i) => score.seeds.map((seed) => ({ value: [seed, i], row: i }))),
        },
        {
          name: "means",
          type: "scatter",
          symbolSize: 11,
          itemStyle: { color: BLUE },
          data: scores.map((score, i) => ({ value: [score.mean, i], row: i })),
        },
        ...(lines.length ? [lineSeries("real data", lines, VERMILION, "dashed")] : []),
        ...(published.length ? [lineSeries("published", published, pageColour("soft"), "dotted")] : []),
      ],
    };
  };
  const { title } = store.data.scales[index];
  return new Plot(`Ranked configurations by ${title}`, option, {
    height: () => 170 + 34 * Math.min(40, store.data.ranking.length),
    note: "Dots are means over the seeds that work, strokes the seeds, bars 95 % intervals. Click a name in the legend to hide it.",
  });
}

/** Returns the ends of an axis that has the scores, and the lines of real data beside them. */
function limitsWith(scores, lines) {
  const values = scores.flatMap((score) => [score.mean, score.low, score.high, ...score.seeds]);
  const all = [...values, ...lines.map((line) => line.value)].filter((value) => value !== null);
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const margin = 0.04 * (high - low || 1);
  return { min: Number((low - margin).toPrecision(3)), max: Number((high + margin).toPrecision(3)) };
}

/** Returns the score by the number of samples, beside that of training examples. */
function scoreCurvePlot(store) {
  const option = () => {
    const rows = store.data.score_curve.filter((row) => row.test_ll !== null);
    if (!rows.length) return null;
    const names = [...new Set(rows.map((row) => row.name))];
    const others = store.data.scales
      .find((scale) => scale.key === "test_ll")
      .lines.filter((line) => !names.includes(line.name));
    return {
      legend: { left: 0, top: 0, textStyle: { color: pageColour("ink") } },
      grid: { left: 28, right: 24, top: 40, bottom: 44, containLabel: true },
      xAxis: valueAxis("samples", { type: "log" }),
      yAxis: valueAxis("test log-likelihood (nats)", { nameGap: 42 }),
      tooltip: tooltip((event) => element("div", { class: "tip" }, element("b", {}, event.name || event.seriesName),
        element("div", {}, `${formatNumber(event.value[1], 2)} nats from ${formatCount(event.value[0])} samples${
          event.value[2] ? `, standard error ${formatNumber(event.value[2], 2)}` : ""}`))),
      series: [
        ...names.map((name, i) => ({
          name,
          type: "line",
          symbolSize: 6,
          itemStyle: { color: [BLUE, VERMILION, "#009E73", "#E69F00"][i % 4] },
          data: rows.filter((row) => row.name === name).map((row) => [row.n_samples, row.test_ll, row.test_ll_se]),
        })),
        {
          name: "others",
          type: "scatter",
          symbol: "diamond",
          itemStyle: { color: pageColour("soft") },
          data: others.map((line) => ({ name: line.name, value: [line.n_samples, line.value] })),
        },
      ],
    };
  };
  return new Plot("Test log-likelihood by the number of samples", option, {
    note: "The winner's first replica beside as many training examples. Sigma is selected again at each number.",
  });
}

/** Returns the histograms of D on real and on generated examples. */
function outputsPlot(store) {
  const option = () => {
    const outputs = store.data.outputs;
    if (!outputs) return null;
    const middles = outputs.edges.slice(1).map((edge, i) => (edge + outputs.edges[i]) / 2);
    const bars = (name, counts, colour) => ({
      name,
      type: "bar",
      barGap: "-100%",
      barCategoryGap: "0%",
      itemStyle: { color: colour, opacity: 0.6 },
      data: counts.map((count, i) => [middles[i], count]),
    });
    return {
      legend: { left: 0, top: 0, textStyle: { color: pageColour("ink") } },
      grid: { left: 28, right: 24, top: 40, bottom: 44, containLabel: true },
      xAxis: valueAxis("D", { min: 0, max: 1 }),
      yAxis: valueAxis("examples"),
      series: [bars("real", outputs.real, BLUE), bars("generated", outputs.generated, VERMILION)],
    };
  };
  return new Plot("D on real and on generated examples", option, {
    height: 260,
    note: "D of the winner's first replica at its end. Where G has the distribution of the data, the best D is 1/2.",
  });
}

/** Returns the survivors of the search in cells of any two parameters. */
function survivalPlot(store) {
  const parameters = () => store.columns.filter((column) => column.isParameter);
  const chosen = { x: null, y: null };
  const choose = () => {
    const keys = parameters().map((column) => column.key);
    for (const [axis, wanted] of [["x", "config.discriminator_lr"], ["y", "config.k"]]) {
      if (keys.includes(chosen[axis])) continue;
      const others = keys.filter((key) => key !== chosen.x);
      chosen[axis] = keys.includes(wanted) ? wanted : others[0] || keys[0] || null;
    }
  };
  const option = () => {
    const trials = store.trials.filter(
      (trial) => trial.phase === "search" && trial.is_random && [...DIED, ...SURVIVED].includes(trial.status),
    );
    choose();
    const [across, up] = [store.column(chosen.x), store.column(chosen.y)];
    if (!across || !up || !trials.some((trial) => DIED.includes(trial.status))) return null;
    const [columns, rows] = [binsOf(store, across, trials), binsOf(store, up, trials)];
    const cells = [];
    rows.forEach((row, j) => columns.forEach((column, i) => {
      const inside = trials.filter((trial) => column.holds(trial) && row.holds(trial));
      const n_survived = inside.filter((trial) => SURVIVED.includes(trial.status)).length;
      if (inside.length) cells.push({ value: [i, j, n_survived / inside.length], n: inside.length, n_survived });
    }));
    return {
      toolbox: { show: false },
      grid: { left: 8, right: 90, top: 16, bottom: 44, containLabel: true },
      xAxis: categoryAxis(across.title, columns.map((bin) => bin.title)),
      yAxis: categoryAxis(up.title, rows.map((bin) => bin.title), { nameGap: 70 }),
      visualMap: {
        min: 0,
        max: 1,
        right: 0,
        top: "middle",
        calculable: true,
        itemHeight: 120,
        text: ["survived", "died"],
        textStyle: { color: pageColour("soft") },
        inRange: { color: ["#D55E00", "#F0E442", "#009E73"] },
      },
      tooltip: tooltip((event) => {
        const { n, n_survived: alive, value } = event.data;
        return `${across.title} ${columns[value[0]].title}, ${up.title} ${rows[value[1]].title}: ${alive} of ${n} survived`;
      }),
      series: [{
        type: "heatmap",
        data: cells,
        itemStyle: { borderColor: pageColour("paper"), borderWidth: 2, opacity: 0.8 },
        label: { show: true, color: "#000", formatter: (event) => `${event.data.n_survived}/${event.data.n}` },
      }],
    };
  };
  const plot = new Plot("Survivors/trials by two parameters", option, {
    menus: () => {
      choose();
      const options = parameters().map((column) => [column.key, column.title]);
      const hasDied = store.trials.some((trial) => trial.phase === "search" && DIED.includes(trial.status));
      return hasDied && options.length
        ? ["x", "y"].map((axis) => menu(axis, options, chosen[axis], (value) => { chosen[axis] = value; plot.draw(); }))
        : [];
    },
    note: () => `A trial survived if it was completed or pruned, and died if it collapsed or diverged. A cell without trials is blank.${randomNote(store)}`,
  });
  return plot;
}

/** Returns the values of a parameter in a few ranges or, if they are few, one by one. */
function binsOf(store, column, trials) {
  const names = store.categories(column.key, trials);
  if (column.kind === "text" || names.length <= 6) {
    return names.map((name) => ({ title: name, holds: (trial) => {
      const value = trial[column.key];
      return value !== null && value !== undefined && formatValue(value) === name;
    } }));
  }
  const asLog = isLog(column, trials);
  const [low, high] = store.extent(column.key, trials).map((value) => (asLog ? Math.log(value) : value));
  const n = 5;
  const ends = Array.from({ length: n + 1 }, (_, i) => low + ((high - low) * i) / n)
    .map((end) => (asLog ? Math.exp(end) : end));
  return Array.from({ length: n }, (_, i) => ({
    title: `${axisNumber(Number(ends[i].toPrecision(2)))} to ${axisNumber(Number(ends[i + 1].toPrecision(2)))}`,
    holds: (trial) => {
      const value = trial[column.key];
      if (value === null || value === undefined) return false;
      return (i === 0 || value >= ends[i]) && (i === n - 1 || value < ends[i + 1]);
    },
  }));
}

/** Returns the parameters' importances for survival and quality. */
function importancesPlot(store) {
  const option = () => {
    const rows = store.data.importances;
    if (!rows.length) return null;
    const targets = [...new Set(rows.map((row) => row.target))];
    const value = (parameter, target) =>
      Math.max(0, (rows.find((row) => row.parameter === parameter && row.target === target) || { importance: 0 }).importance);
    const parameters = [...new Set(rows.map((row) => row.parameter))].sort(
      (a, b) => Math.max(...targets.map((t) => value(a, t))) - Math.max(...targets.map((t) => value(b, t))),
    );
    return {
      toolbox: { show: false },
      legend: { left: 0, top: 0, textStyle: { color: pageColour("ink") } },
      grid: { left: 8, right: 24, top: 36, bottom: 44, containLabel: true },
      xAxis: valueAxis("share of skill lost when permuted", { min: 0, max: 1 }),
      yAxis: categoryAxis("", parameters),
      tooltip: { ...tooltip(), trigger: "axis", valueFormatter: (share) => `${Math.round(100 * share)} %` },
      series: targets.map((target) => ({
        name: target,
        type: "bar",
        itemStyle: { color: target === "survival" ? VERMILION : BLUE },
        data: parameters.map((parameter) => value(parameter, target)),
      })),
    };
  };
  return new Plot("Importances", option, {
    height: () => 110 + 28 * new Set(store.data.importances.map((row) => row.parameter)).size,
    note: "The share of a random forest's skill on held-out trials that is lost when a parameter is permuted.",
  });
}
