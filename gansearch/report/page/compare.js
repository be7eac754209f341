// Several runs in one plot: their bests by the updates spent, and the curves of their trials.

const RUN_COLOURS = ["#3D8FCC", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9"];

function runColour(i) {
  return RUN_COLOURS[i % RUN_COLOURS.length];
}

function runLegend(runs) {
  return {
    data: runs.map((run) => run.name),
    left: 0,
    top: 0,
    right: 120,
    type: "scroll",
    textStyle: { color: pageColour("ink") },
    inactiveColor: pageColour("line"),
  };
}

/** Returns the best score of the search so far, by the updates that each run had spent. */
function bestsPlot(data) {
  const option = () => {
    const runs = data.runs.filter((run) => run.bests.length);
    if (!runs.length) return null;
    return {
      legend: runLegend(runs),
      grid: { left: 28, right: 24, top: 44, bottom: 44, containLabel: true },
      dataZoom: [{ type: "inside", zoomOnMouseWheel: "ctrl", moveOnMouseWheel: false }],
      xAxis: valueAxis("updates spent by the search", { min: 0, max: "dataMax", scale: false }),
      yAxis: valueAxis(data.title, { nameGap: 42 }),
      tooltip: tooltip((event) => element("div", { class: "tip" }, element("b", {}, event.seriesName),
        element("div", {}, `best ${formatNumber(event.value[1])} after ${formatCount(event.value[0])} updates`))),
      series: data.runs.map((run, i) => ({
        name: run.name,
        type: "line",
        step: "end",
        symbolSize: 5,
        itemStyle: { color: runColour(i) },
        data: run.bests,
      })),
    };
  };
  return new Plot("Best of the search so far", option, {
    note: "By the updates that all trials up to then have spent. Each value is of one training; collapsed and diverged trials don't count.",
  });
}

/** Returns the learning curves of the trials of all runs. */
function curvesOfRunsPlot(data) {
  let phase = "replica";
  if (!data.runs.some((run) => run.curves.some((curve) => curve.phase === phase))) phase = "search";
  const option = () => {
    const curves = data.runs.flatMap((run, i) =>
      run.curves.filter((curve) => curve.phase === phase).map((curve) => ({ ...curve, i, run })));
    if (!curves.length) return null;
    const limits = robustLimits(curves.flatMap((curve) => curve.points.map((point) => point[1])));
    return {
      legend: runLegend(data.runs),
      grid: { left: 28, right: 24, top: 44, bottom: 44, containLabel: true },
      dataZoom: [{ type: "inside", zoomOnMouseWheel: "ctrl", moveOnMouseWheel: false }],
      xAxis: valueAxis(data.updates_title, { min: 0, max: "dataMax", scale: false }),
      yAxis: valueAxis(data.title, { nameGap: 42, min: limits.min, max: limits.max }),
      tooltip: tooltip((event) => {
        const curve = curves[event.seriesIndex];
        return element("div", { class: "tip" }, element("b", {}, `${curve.run.name}: ${curve.trial} · ${curve.label}`),
          element("div", {}, `${formatNumber(event.value[1])} at update ${formatCount(event.value[0])}`));
      }),
      series: curves.map((curve) => ({
        name: curve.run.name,
        type: "line",
        symbolSize: 4,
        triggerLineEvent: true,
        itemStyle: { color: runColour(curve.i) },
        lineStyle: { width: 1.4, opacity: 0.75 },
        emphasis: { focus: "series", lineStyle: { width: 3 } },
        data: curve.points,
      })),
    };
  };
  const plot = new Plot("Learning curves", option, {
    menus: () => [menu("of", [["replica", "replicas"], ["search", "search"]], phase, (value) => { phase = value; plot.draw(); })],
    note: "One line for each trial, in the colour of its run.",
  });
  return plot;
}

document.addEventListener("DOMContentLoaded", () => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const made = !data.runs.length ? [] : [bestsPlot(data), curvesOfRunsPlot(data)];
  document.getElementById("plots").replaceChildren(...made.map((plot) => plot.root));
  redrawAll();
  window.gansearch = { plots };
});
