// What all plots share: their frame, colours, tooltips, and the instances that are on the page.

const plots = new Set();

/** A plot in an element: `option` returns what ECharts draws, or null if there is nothing. */
class Plot {
  constructor(title, option, { height = 340, width = 0, onpick = null, menus = null, note = null } = {}) {
    this.option = option;
    this.note = note;
    this.onpick = onpick;
    this.height = height;
    this.menusOf = menus;
    this.canvas = element("div", { class: "plot", role: "img" });
    this.caption = element("figcaption");
    this.title = title;
    this.menus = element("div", { class: "menus" });
    // Wider than a narrow screen, it is scrolled.
    const wide = element("div", { class: "wide" }, this.canvas);
    if (width) this.canvas.style.minWidth = `${width}px`;
    this.root = element("figure", { class: "chart" }, this.menus, wide, this.caption);
    this.root.dataset.title = title;
    plots.add(this);
  }

  draw() {
    if (!this.root.isConnected) return;
    this.drawMenus();
    const option = this.option();
    // With a menu the reader can choose what there is.
    this.root.hidden = option === null && !this.menus.children.length;
    this.canvas.hidden = option === null;
    if (option === null) {
      this.caption.textContent = `${this.title}. There is nothing to draw of what is chosen.`;
      return;
    }
    this.canvas.style.height = `${typeof this.height === "function" ? this.height() : this.height}px`;
    if (this.chart) this.chart.resize();
    else {
      this.chart = echarts.init(this.canvas, null, { renderer: "canvas" });
      this.chart.on("click", (event) => this.pick(event));
      if (this.onready) this.onready(this.chart);
    }
    if (this.keeps && this.keeps() && this.isDrawn) return;
    this.isDrawn = true;
    this.chart.setOption({ ...frame(), ...this.withChoices(option) }, { notMerge: true });
    this.canvas.setAttribute("aria-label", this.title);
    const note = typeof this.note === "function" ? this.note() : this.note;
    this.caption.replaceChildren(element("b", {}, `${this.title}. `), note || "");
  }

  /** Draws the menus, anew only where their entries have changed: one may be open. */
  drawMenus() {
    if (!this.menusOf) return;
    const menus = this.menusOf();
    const entries = menus.map((each) => each.textContent).join("\n");
    if (entries === this.entries) return;
    this.entries = entries;
    this.menus.replaceChildren(...menus);
  }

  /** Returns an option with the zoom and the hidden names that the reader has chosen so far. */
  withChoices(option) {
    const before = this.chart.getOption();
    if (!before || !before.series) return option;
    const zoom = (before.dataZoom || []).find((each) => each.type === "inside");
    if (zoom && option.dataZoom) {
      option.dataZoom = option.dataZoom.map((each) => ({ ...each, start: zoom.start, end: zoom.end }));
    }
    if (before.legend && option.legend) option.legend = { ...option.legend, selected: before.legend[0].selected };
    return option;
  }

  pick(event) {
    const id = (event.data && event.data.trial) || event.seriesId;
    if (this.onpick && id) this.onpick(id);
  }

  dispose() {
    plots.delete(this);
    if (this.chart) this.chart.dispose();
    this.chart = null;
  }
}

/** Returns what every plot has: its colours, its tools and its text. */
function frame() {
  return {
    animation: false,
    backgroundColor: "transparent",
    textStyle: { fontFamily: "system-ui, sans-serif", color: pageColour("ink") },
    aria: { enabled: true },
    toolbox: {
      right: 4,
      top: 0,
      itemSize: 13,
      iconStyle: { borderColor: pageColour("soft") },
      feature: {
        dataZoom: { title: { zoom: "zoom", back: "zoom back" } },
        restore: { title: "restore" },
        saveAsImage: { title: "save", backgroundColor: pageColour("paper") },
      },
    },
    tooltip: tooltip(),
  };
}

function tooltip(formatter = null) {
  return {
    trigger: "item",
    confine: true,
    backgroundColor: pageColour("paper"),
    borderColor: pageColour("line"),
    textStyle: { color: pageColour("ink"), fontSize: 12 },
    ...(formatter ? { formatter } : {}),
  };
}

/** Returns an axis of values with a title. */
function valueAxis(title, more = {}) {
  return {
    type: "value",
    name: title,
    nameLocation: "middle",
    nameGap: 28,
    scale: true,
    axisLine: { lineStyle: { color: pageColour("soft") } },
    axisLabel: { color: pageColour("soft"), hideOverlap: true, formatter: axisNumber },
    splitLine: { lineStyle: { color: pageColour("line"), opacity: 0.6 } },
    nameTextStyle: { color: pageColour("soft") },
    ...more,
  };
}

function axisNumber(value) {
  const size = Math.abs(value);
  if (size >= 1e6) return `${Number((value / 1e6).toPrecision(3))}M`;
  if (size >= 1e4) return `${Number((value / 1e3).toPrecision(3))}k`;
  return size !== 0 && size < 1e-3 ? value.toExponential(0) : String(Number(value.toPrecision(4)));
}

function categoryAxis(title, names, more = {}) {
  return {
    ...valueAxis(title),
    type: "category",
    data: names,
    axisLabel: { color: pageColour("soft"), hideOverlap: true },
    ...more,
  };
}

/** Returns an axis for a column of trials: of numbers, their logarithms, or texts. */
function axisOf(store, column, trials, more = {}) {
  if (column.kind === "text") {
    return categoryAxis(column.title, store.categories(column.key, trials), more);
  }
  const unit = column.unit ? ` (${column.unit})` : "";
  return valueAxis(`${column.title}${unit}`, { type: isLog(column, trials) ? "log" : "value", ...more });
}

/** Whether a column is drawn by its logarithm: where a search does so and all values allow it. */
function isLog(column, trials) {
  return Boolean(column.log) && trials.every((trial) => {
    const value = trial[column.key];
    return value === null || value === undefined || value > 0;
  });
}

/** Returns a value of a trial as an axis takes it. */
function axisValue(column, trial) {
  const value = trial[column.key];
  if (value === null || value === undefined) return null;
  return column.kind === "text" ? formatValue(value) : value;
}

/** Returns a legend for statuses, of which a click hides or shows one. */
function statusLegend(statuses) {
  return {
    data: statuses.map((status) => ({ name: status, icon: SYMBOLS[status].replace("empty", "").toLowerCase() })),
    left: 0,
    top: 0,
    itemWidth: 12,
    itemHeight: 9,
    textStyle: { color: pageColour("ink"), fontSize: 12 },
    inactiveColor: pageColour("line"),
  };
}

/** Returns the statuses that some of the trials have, in their usual order. */
function statusesOf(store, trials) {
  return store.data.statuses.filter((status) => trials.some((trial) => trial.status === status));
}

/** Returns the tooltip of a trial: its name, status, score, and what else is said. */
function describeTrial(store, trial, lines = []) {
  const score = trial[store.run.objective];
  return element(
    "div",
    { class: "tip" },
    element("b", {}, `${trial.trial_id} · ${trial.label}`),
    element("div", {}, `${trial.status}, ${formatCount(trial.updates)} updates`),
    store.objective && score !== null
      ? element("div", {}, `${store.objective.title} ${formatNumber(score, store.objective.decimals)}`)
      : null,
    lines.map((line) => element("div", {}, line)),
  );
}

/** Returns the edge of what a front dominates, as a line; none but of two objectives on the axes. */
function frontSeries(store, axes, points) {
  const { objectives } = store.run;
  const isDrawn = objectives.length === 2 && objectives.every((each) =>
    [axes.x, axes.y].some((key) => key === each.key || key === each.test));
  if (!isDrawn || points.length < 2) return [];
  const sign = (key) => (objectives.find((each) => key === each.key || key === each.test).minimize ? -1 : 1);
  const sorted = [...points].sort((a, b) => sign(axes.x) * (a.value[0] - b.value[0]));
  return [{
    name: "front",
    type: "line",
    step: "start",
    symbol: "none",
    silent: true,
    z: 1,
    lineStyle: { color: pageColour("soft"), width: 1.5, type: "dashed" },
    data: sorted.map((point) => point.value),
  }];
}

/** Returns limits that leave out what lies far from the rest, and how many values they leave out. */
function robustLimits(values) {
  const sorted = values.filter((value) => value !== null).sort((a, b) => a - b);
  if (sorted.length < 8) return { n_outside: 0 };
  const at = (share) => sorted[Math.round(share * (sorted.length - 1))];
  const reach = 3 * (at(0.9) - at(0.25)) || 1;
  const [low, high] = [at(0.25) - reach, at(0.9) + reach];
  const limits = { n_outside: 0 };
  if (sorted[0] < low) limits.min = Number(low.toPrecision(3));
  if (sorted[sorted.length - 1] > high) limits.max = Number(high.toPrecision(3));
  limits.n_outside = sorted.filter((value) => value < low || value > high).length;
  return limits;
}

function redrawAll() {
  for (const plot of plots) plot.draw();
}

window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawAll);
window.addEventListener("resize", () => {
  for (const plot of plots) if (plot.chart) plot.chart.resize();
});
