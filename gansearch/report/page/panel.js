// The panel of one trial: what it was, how it went, why it ended, what it made, what to type.

/** Returns the panel, with `open(id)` and `close()`; `#trial=ID` in the address opens it too. */
function trialPanel(store) {
  const body = element("div");
  const dialog = element("dialog", { class: "panel", "aria-label": "trial" }, body);
  let charts = [];
  let key = null;
  let shown = null;
  const kept = { trial: null, updates: null }; // where the slider stands
  const signature = (id) => JSON.stringify([store.byId.get(id), store.data.pictures[id]]);

  const close = () => dialog.open && dialog.close();
  const open = (id) => {
    if (!store.byId.has(id)) return;
    setAddress(hashOf(id));
    show(id);
  };
  const show = (id) => {
    const trial = store.byId.get(id);
    charts.forEach((chart) => chart.dispose());
    charts = panelCharts(store, trial, key, (chosen) => { key = chosen; });
    body.replaceChildren(panelBar(store, trial, { open, close }), ...panelParts(store, trial, charts, kept, open));
    shown = signature(id);
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    store.change({ selected: id });
    charts.forEach((chart) => chart.draw());
  };
  dialog.addEventListener("close", () => {
    store.change({ selected: null });
    if (location.hash.startsWith("#trial=")) setAddress("");
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) close(); });
  const follow = () => {
    const match = location.hash.match(/^#trial=(.*)$/);
    if (match) {
      try { open(decodeURIComponent(match[1])); } catch (error) { if (!(error instanceof URIError)) throw error; }
    }
  };
  window.addEventListener("hashchange", follow);
  const refresh = () => {
    const id = store.view.selected;
    if (!dialog.open || !id || !store.byId.has(id) || signature(id) === shown) return;
    const top = dialog.scrollTop;
    show(id);
    dialog.scrollTop = top;
  };
  return { root: dialog, open, close, follow, refresh };
}

/** Fills the page with the panel of its only trial. */
function showAlone(store, id) {
  const trial = store.byId.get(id);
  const charts = panelCharts(store, trial, null, () => {});
  document.querySelector("main").replaceChildren(...panelParts(store, trial, charts, {}));
  charts.forEach((chart) => chart.draw());
  window.gansearch = { store, plots };
}

/** Sets what follows the path in the page's address; a page in a frame of a notebook has none. */
function setAddress(hash) {
  if (isFramed() || location.hash === hash) return;
  history.replaceState(null, "", hash || location.pathname + location.search);
}

function isFramed() {
  return location.protocol === "about:";
}

/** Lets links within the page work in a frame, where they would lead out of it. */
function followLinks(panel) {
  if (!isFramed()) return;
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#"]');
    if (!link) return;
    event.preventDefault();
    const target = link.getAttribute("href").slice(1);
    if (target.startsWith("trial=")) panel.open(decodeURIComponent(target.slice(6)));
    else document.getElementById(target).scrollIntoView();
  });
}

function hashOf(id) {
  return `#trial=${encodeURIComponent(id)}`;
}

/** Returns the buttons that lead to other trials of the table, and away. */
function panelBar(store, trial, { open, close }) {
  const ids = store.sorted().map((each) => each.trial_id);
  const at = ids.indexOf(trial.trial_id);
  const step = (to, title) => element("button", { type: "button", disabled: at < 0 || !ids[to], onclick: () => open(ids[to]) }, title);
  return element("div", { class: "bar" },
    step(at - 1, "‹ previous"), step(at + 1, "next ›"),
    element("button", { type: "button", class: "close", onclick: close }, "Close"));
}

/** Returns what a panel has; `open` leads to another trial, null where the page has no other. */
function panelParts(store, trial, [curve, schedule], kept, open = null) {
  return [
    element("h2", {}, `${trial.trial_id} · ${trial.label}`),
    element("p", {}, statusBadge(trial.status), ` · ${trialFacts(store, trial)}`),
    trial.reason ? element("p", { class: "why" }, trial.reason) : null,
    element("h3", {}, "Scores"), scoresList(store, trial),
    element("h3", {}, "Curves"), curve.root,
    ...picturesOf(store, trial, kept),
    element("h3", {}, "Configuration"), schedule ? schedule.root : null, configurationTable(store, trial),
    ...(open ? siblings(store, trial, open) : []),
    element("h3", {}, "Commands"), ...commandsOf(store, trial),
  ].filter(Boolean);
}

function trialFacts(store, trial) {
  const kept = !store.run.keeps_best || trial.kept_updates === null ? "" : `, best state after ${formatCount(trial.kept_updates)}`;
  return `${trial.phase}, seed ${trial.seed}; ${formatCount(trial.updates)} updates (D ${formatCount(trial.d_updates)}, ` +
    `G ${formatCount(trial.g_updates)})${kept}; trained for ${formatSeconds(trial.seconds)} on ${trial.device || "-"}`;
}

// Units that the name of a measure says already.
const SPOKEN_UNITS = ["share", "ratio", "probability", "data", "classes"];

function scoresList(store, trial) {
  const measures = store.data.measures.filter((measure) => trial[measure.key] !== null && trial[measure.key] !== undefined);
  if (!measures.length) return element("p", { class: "note" }, "No score yet.");
  return element("dl", { class: "facts" }, measures.map((measure) => element("div", {},
    element("dt", {}, measure.title),
    element("dd", {}, `${formatNumber(trial[measure.key], measure.decimals)} ${SPOKEN_UNITS.includes(measure.unit) ? "" : measure.unit}`))));
}

/** Returns the plots of a panel: its curve, and its schedule where it has one to draw. */
function panelCharts(store, trial, chosen, onchoose) {
  return [panelCurve(store, trial, chosen, onchoose), panelSchedule(store, trial)].filter(Boolean);
}

/** Returns the numbers that change in mid-training, as multiples of what they are at the start. */
function panelSchedule(store, trial) {
  const points = trial.points || [];
  const start = (name) => trial[`config.${name}`];
  const names = [...new Set(points.flatMap((point) => Object.keys(point)))].filter((name) => name !== "at" && start(name) > 0);
  if (!names.length) return null;
  const end = store.run.max_updates;
  const series = (name, i) => {
    const found = [[0, 1]];
    for (const point of points) if (point[name] > 0) found.push([point.at, point[name] / start(name)]);
    return {
      name,
      type: "line",
      step: "end",
      symbolSize: 5,
      lineStyle: { type: ["solid", "dashed", "dotted"][Math.floor(i / 2) % 3] },
      itemStyle: { color: [BLUE, VERMILION][i % 2] },
      data: [...found, [end, found[found.length - 1][1]]],
    };
  };
  return new Plot(`Schedule of ${trial.trial_id}`, () => ({
    legend: { left: 0, top: 0, textStyle: { color: pageColour("ink") } },
    grid: { left: 24, right: 24, top: 32, bottom: 44, containLabel: true },
    xAxis: valueAxis(store.run.updates_title, { min: 0, max: end, scale: false }),
    yAxis: { ...valueAxis("times the first", { nameGap: 34 }), type: "log" },
    tooltip: { ...tooltip(), trigger: "axis", valueFormatter: (value) => formatNumber(value) },
    series: names.map(series),
  }), { height: 240, note: "As multiples of the values at the start; names and zeros are in the table alone." });
}

/** Returns the curve of any measure of one trial. */
function panelCurve(store, trial, chosen, onchoose) {
  const curve = store.data.curves[trial.trial_id];
  if (!curve) {
    const why = trial.updates ? "This page has no curve of this trial; history/ in the run's folder has all." : "No report yet.";
    return { root: element("p", { class: "note" }, why), draw: () => {}, dispose: () => {} };
  }
  const pairs = { "D's outputs": ["d_real", "d_fake"], losses: ["d_loss", "g_loss"], "coverage and recall": ["coverage", "recall"] };
  const measures = store.data.measures.filter((measure) => curve[measure.key]);
  const options = [
    ...measures.map((measure) => [measure.key, measure.title]),
    ...Object.entries(pairs).filter(([, keys]) => keys.every((key) => curve[key])).map(([name]) => [name, name]),
  ];
  let key = options.some(([name]) => name === chosen) ? chosen : options.length ? options[0][0] : null;
  const colours = [BLUE, VERMILION];
  const option = () => {
    if (!key) return null;
    const keys = pairs[key] || [key];
    return {
      legend: keys.length > 1 ? { left: 0, top: 0, textStyle: { color: pageColour("ink") } } : { show: false },
      grid: { left: 24, right: 24, top: 32, bottom: 44, containLabel: true },
      dataZoom: [{ type: "inside", zoomOnMouseWheel: "ctrl", moveOnMouseWheel: false }],
      xAxis: valueAxis(store.run.updates_title, { min: 0, max: Math.max(store.run.max_updates, ...curve.updates), scale: false }),
      yAxis: valueAxis("", { nameGap: 44 }),
      tooltip: { ...tooltip(), trigger: "axis", valueFormatter: (value) => formatNumber(value) },
      series: keys.map((name, i) => ({
        name,
        type: "line",
        symbolSize: 5,
        itemStyle: { color: colours[i] },
        data: curve.updates.map((updates, at) => [updates, curve[name][at]]),
      })),
    };
  };
  const plot = new Plot(`Curve of ${trial.trial_id}`, option, {
    height: 260,
    menus: () => options.length ? [menu("measure", options, key, (value) => { key = value; onchoose(value); plot.draw(); })] : [],
    note: "The axis ends at the budget of a full training.",
  });
  return plot;
}

function picturesOf(store, trial, kept) {
  const pictures = store.data.pictures[trial.trial_id];
  const title = element("h3", {}, "Samples");
  if (!pictures) {
    const why = trial.updates ? "This page has no pictures of this trial: see models/ in the run's folder." : "No samples yet.";
    return [title, element("p", { class: "note" }, why)];
  }
  return [
    title,
    pictures.strip ? (pictures.frames ? sampleSlider(trial, pictures, kept) : pictureFigure(pictures.strip, "Samples of the same noise, from the first evaluation to the last.")) : null,
    pictures.nearest ? pictureFigure(pictures.nearest, "Unpicked samples at the end of the training, beside what is nearest in the training data.") : null,
  ];
}

function pictureFigure(uri, caption) {
  return element("figure", {}, element("img", { src: uri, alt: caption }), element("figcaption", {}, caption));
}

/** Returns the samples of the same noise at one evaluation, which a slider chooses. */
function sampleSlider(trial, pictures, kept) {
  const { updates, frames } = pictures.frames;
  const at = kept.trial === trial.trial_id ? updates.indexOf(kept.updates) : -1;
  const canvas = element("canvas", { class: "frame", role: "img" });
  const said = element("output");
  const image = new Image();
  const input = element("input", {
    type: "range", min: 0, max: frames.length - 1, step: 1, value: at < 0 ? frames.length - 1 : at,
    "aria-label": "evaluation",
    oninput: () => {
      const i = Number(input.value);
      // At the end it follows a trial that trains.
      Object.assign(kept, { trial: trial.trial_id, updates: i === frames.length - 1 ? null : updates[i] });
      draw();
    },
  });
  const draw = () => {
    const i = Number(input.value);
    const [left, top, width, height] = frames[i];
    canvas.width = width;
    canvas.height = height;
    said.textContent = `update ${formatCount(updates[i])}`;
    input.setAttribute("aria-valuetext", said.textContent);
    canvas.setAttribute("aria-label", `samples of ${trial.trial_id} at ${said.textContent}`);
    if (image.complete && image.naturalWidth) {
      canvas.getContext("2d").drawImage(image, left, top, width, height, 0, 0, width, height);
    }
  };
  image.onload = draw;
  image.src = pictures.strip;
  draw();
  return element("figure", { class: "slider" }, canvas, element("div", { class: "row" }, input, said),
    element("figcaption", {}, "Unpicked samples of the same noise over the training; move the slider."));
}

/** Returns the configuration, with what differs from the baseline marked. */
function configurationTable(store, trial) {
  const base = store.run.baseline_config;
  const rows = store.data.parameters
    .map((parameter) => ({ parameter, value: trial[`config.${parameter.key}`] }))
    .filter(({ value }) => value !== null && value !== undefined);
  const differs = ({ parameter, value }) => base && formatValue(base[parameter.key]) !== formatValue(value);
  rows.sort((a, b) => (differs(b) ? 1 : 0) - (differs(a) ? 1 : 0));
  return element("div", { class: "wide" }, element("table", {},
    element("thead", {}, element("tr", {}, ["parameter", "value", ...(base ? [store.run.baseline] : [])].map((title) => element("th", { scope: "col" }, title)))),
    element("tbody", {}, rows.map((row) => element("tr", { class: differs(row) ? "differs" : null },
      element("th", { scope: "row", title: row.parameter.doc }, row.parameter.key),
      element("td", {}, formatValue(row.value)),
      base ? element("td", { class: "note" }, formatValue(base[row.parameter.key])) : null)))));
}

/** Returns links to other trials of the same configuration. */
function siblings(store, trial, open) {
  const others = store.trials.filter((each) => each.config_id === trial.config_id && each !== trial);
  if (!others.length) return [];
  return [
    element("h3", {}, "Other trainings of this configuration"),
    element("p", {}, others.slice(0, 40).map((other) => element("span", { class: "sibling" },
      element("button", { type: "button", class: "link", onclick: () => open(other.trial_id) }, other.trial_id),
      ` ${other.status} `))),
  ];
}

function commandsOf(store, trial) {
  const lines = [
    ["Train this configuration again, on fresh seeds:", store.run.commands.again],
    trial.status === "completed" ? ["Samples of its generator:", store.run.commands.sample] : null,
  ].filter((line) => line && line[1]);
  return lines.flatMap(([title, text]) => [
    element("p", { class: "note" }, title),
    copyable(`${text}${trial.trial_id}`),
  ]);
}
