// The trials of a run: filters, the table, and the plots that follow them.

/** Builds the section in which a reader plays with the trials. */
function explorer(store, open) {
  const plots = [
    historyPlot(store, open),
    parallelPlot(store, open),
    curvesPlot(store, open),
    scatterPlot(store, open),
  ];
  const [filters, table] = [filterPanel(store), trialsTable(store, open)];
  const note = element("p", { class: "note" });
  const root = element(
    "div", {},
    note, filters.root, plots[0].root, plots[1].root, table.root, plots[2].root, plots[3].root,
  );
  store.listen((changed) => {
    if ("selected" in changed && Object.keys(changed).length === 1) return;
    const isOrder = Object.keys(changed).every((name) => ["sort", "n_rows"].includes(name));
    table.draw();
    if (isOrder) return;
    filters.draw();
    for (const plot of plots) plot.draw();
  });
  const draw = () => {
    note.textContent = sampleNote(store);
    filters.draw();
    table.draw();
  };
  return { root, draw };
}

function sampleNote(store) {
  const [n, all] = [store.trials.length, store.data.n_trials];
  if (n === all) return "";
  return `This page has ${formatCount(n)} of ${formatCount(all)} trials: the replicas, the best of the search, ` +
    "and a random sample of all. trials.parquet in the run's folder has all.";
}

/** Returns the filters: phase, words, statuses with counts, ranges, and reasons. */
function filterPanel(store) {
  const root = element("div", { class: "filters" });
  const search = element("input", {
    type: "search",
    placeholder: "words of ids, names, reasons",
    "aria-label": "search",
    oninput: () => store.change({ text: search.value }),
  });
  const body = element("div");
  const ranges = element("div", { class: "ranges" });
  root.append(body, ranges);
  let shown = "";
  const draw = () => {
    const { phase, statuses, reason } = store.view;
    const inPhase = store.trials.filter((trial) => !phase || trial.phase === phase);
    const phases = ["search", "replica"].filter((name) => store.trials.some((trial) => trial.phase === name));
    const chips = store.data.statuses.map((status) => {
      const n = inPhase.filter((trial) => trial.status === status).length;
      if (!n) return null;
      const dot = element("span", { class: "dot", style: `background: ${statusColour(status)}` });
      return element("button", {
        type: "button",
        class: "chip",
        "data-status": status,
        "aria-pressed": String(statuses.has(status)),
        onclick: () => {
          const next = new Set(statuses);
          if (!next.delete(status)) next.add(status);
          store.change({ statuses: next, reason: null });
        },
      }, dot, `${status} ${formatCount(n)}`);
    });
    const isFiltered = statuses.size || store.view.text || store.view.ranges.size || store.view.brushed || reason !== null;
    const n = store.filtered().length;
    const names = { search: "search", replica: "replicas" };
    const row = element("div", { class: "row" },
      menu("phase", [...phases.map((name) => [name, names[name]]), ["", "both"]], phase,
        (value) => store.change({ phase: value, brushed: null })),
      search,
      menu("add a range of", [["", "…"], ...store.columns.map((column) => [column.key, column.title])], "", (key) => {
        if (!key) return;
        const next = new Map(store.view.ranges);
        next.set(key, store.column(key).kind === "text" || store.categories(key).length <= 6
          ? { hidden: new Set() }
          : { low: null, high: null });
        store.change({ ranges: next });
      }),
    );
    body.replaceChildren(
      row,
      element("div", { class: "row" }, chips, element("span", { class: "note", role: "status" },
        `${formatCount(n)} of ${formatCount(inPhase.length)} shown`),
      isFiltered ? element("button", {
        type: "button",
        class: "clear",
        onclick: () => {
          search.value = "";
          store.change({ statuses: new Set(), text: "", ranges: new Map(), brushed: null, reason: null });
        },
      }, "Show all") : null),
    );
    if (document.activeElement !== search && search.value !== store.view.text) search.value = store.view.text;
    const keys = [...store.view.ranges].map(([key, range]) => `${key} ${range.hidden ? store.categories(key) : ""}`).join("\n");
    if (keys !== shown) {
      shown = keys;
      ranges.replaceChildren(...[...store.view.ranges].map(([key, range]) => rangeField(store, key, range)));
    }
  };
  // A field that is typed into must not be replaced by the same.
  const keepFocus = () => {
    const had = document.activeElement === search;
    draw();
    if (had) search.focus();
  };
  return { root, draw: keepFocus };
}

/** Returns the field of a filter by a column: two ends of a range, or boxes for values. */
function rangeField(store, key, range) {
  const column = store.column(key);
  const set = (values) => {
    const next = new Map(store.view.ranges);
    next.set(key, { ...next.get(key), ...values });
    store.change({ ranges: next });
  };
  const remove = element("button", {
    type: "button",
    "aria-label": `remove the range of ${column.title}`,
    onclick: () => {
      const next = new Map(store.view.ranges);
      next.delete(key);
      store.change({ ranges: next });
    },
  }, "×");
  const field = element("fieldset", {}, element("legend", {}, column.title));
  if (range.hidden) {
    for (const name of store.categories(key)) {
      const box = element("input", { type: "checkbox", checked: !range.hidden.has(name), onchange: () => {
        const hidden = new Set(store.view.ranges.get(key).hidden);
        if (box.checked) hidden.delete(name);
        else hidden.add(name);
        set({ hidden });
      } });
      field.append(element("label", {}, box, ` ${name} `));
    }
  } else {
    const extent = store.extent(key) || [null, null];
    for (const [end, i] of [["low", 0], ["high", 1]]) {
      const input = element("input", {
        type: "number",
        step: "any",
        value: range[end],
        placeholder: formatNumber(extent[i]),
        "aria-label": `${column.title}, ${end === "low" ? "from" : "to"}`,
        oninput: () => set({ [end]: input.value === "" ? null : Number(input.value) }),
      });
      field.append(input, i === 0 ? " to " : "");
    }
  }
  field.append(" ", remove);
  return field;
}

/** Returns the table of the trials that are shown, which a click on a heading sorts. */
function trialsTable(store, open) {
  const root = element("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "trials" });
  const draw = () => {
    const trials = store.sorted();
    const columns = tableColumns(store);
    const sort = store.view.sort || { key: store.run.objective, descending: !store.run.minimize };
    const head = columns.map((column) => {
      const isSorted = column.key === sort.key;
      const direction = sort.descending ? "descending" : "ascending";
      return element("th", {
        scope: "col",
        class: column.isNumber ? "right" : "left",
        "aria-sort": isSorted ? direction : "none",
      }, element("button", {
        type: "button",
        class: "sort",
        title: column.doc || `sort by ${column.title}`,
        onclick: () => store.change({
          sort: { key: column.key, descending: isSorted ? !sort.descending : Boolean(column.isNumber) && column.better !== "lower" },
        }),
      }, column.title, isSorted ? (sort.descending ? " ↓" : " ↑") : ""));
    });
    const rows = trials.slice(0, store.view.n_rows).map((trial) => element(
      "tr",
      { "data-trial": trial.trial_id, onclick: () => open(trial.trial_id) },
      columns.map((column) => tableCell(store, column, trial)),
    ));
    const left = trials.length - rows.length;
    root.replaceChildren(
      element("table", { class: "trials" }, element("thead", {}, element("tr", {}, head)), element("tbody", {}, rows)),
      left > 0 ? element("button", {
        type: "button",
        onclick: () => store.change({ n_rows: store.view.n_rows + 200 }),
      }, `Show ${formatCount(Math.min(200, left))} more of ${formatCount(left)}`) : "",
    );
  };
  return { root, draw };
}

function tableColumns(store) {
  const measures = store.columns.filter((column) => column.isMeasure && column.beside
    && store.trials.some((trial) => (!store.view.phase || trial.phase === store.view.phase) && trial[column.key] !== null));
  return [
    { key: "trial_id", title: "trial", kind: "text" },
    { key: "status", title: "status", kind: "text" },
    { key: "label", title: "configuration", kind: "text" },
    ...(store.run.objectives.length ? [store.column("front")] : []),
    ...measures,
    store.column("updates"),
    store.column("seconds"),
    ...store.columns.filter((column) => column.isParameter),
    { key: "reason", title: "reason", kind: "text" },
  ];
}

function tableCell(store, column, trial) {
  const value = trial[column.key];
  if (column.key === "trial_id") {
    return element("th", { scope: "row" }, element("a", { href: `#trial=${encodeURIComponent(value)}` }, value));
  }
  if (column.key === "status") return element("td", {}, statusBadge(value));
  if (column.key === "reason") return element("td", { class: "reason", title: value || "" }, value || "");
  const text = column.isMeasure || column.decimals !== undefined
    ? formatNumber(value, column.decimals)
    : formatValue(value);
  return element("td", { class: column.isNumber ? "right" : "left" }, text);
}

function statusBadge(status) {
  return element("span", { class: "badge" },
    element("span", { class: "dot", style: `background: ${statusColour(status)}` }), status);
}

/** Returns a table of why trials ended, whose rows filter the trials. */
function reasonsTable(store) {
  const root = element("div", { class: "wide" });
  const showButton = (kind, n) => element("button", {
    type: "button",
    class: "link",
    title: "show these trials above",
    onclick: () => {
      store.change({ phase: "", reason: kind, statuses: new Set(), brushed: null });
      document.getElementById("trials").scrollIntoView();
    },
  }, formatCount(n));
  const draw = () => {
    const kinds = new Map();
    const hasSearch = store.trials.some((trial) => trial.phase === "search");
    for (const trial of store.trials) {
      if ((hasSearch && trial.phase !== "search") || !trial.is_random || !trial.reason) continue;
      const kind = reasonKind(trial);
      if (!kinds.has(kind)) kinds.set(kind, []);
      kinds.get(kind).push(trial);
    }
    const order = store.data.statuses;
    const rows = [...kinds].sort(([, a], [, b]) =>
      (DIED.includes(b[0].status) - DIED.includes(a[0].status)) || (order.indexOf(b[0].status) - order.indexOf(a[0].status)) || (b.length - a.length));
    if (!rows.length) {
      root.replaceChildren(element("p", {}, "All trials that have ended were completed."));
      return;
    }
    const note = randomNote(store);
    root.replaceChildren(note ? element("p", { class: "note" }, note.trim()) : "", element("table", { class: "reasons" },
      element("thead", {}, element("tr", {}, ["status", "trials", "reason, for example"].map((title) => element("th", { scope: "col" }, title)))),
      element("tbody", {}, rows.slice(0, 30).map(([kind, trials]) => element("tr", {},
        element("td", {}, statusBadge(trials[0].status)),
        element("td", { class: "right" }, showButton(kind, trials.length)),
        element("td", { class: "prose" },
          element("a", { href: `#trial=${encodeURIComponent(trials[0].trial_id)}` }, trials[0].trial_id), `: ${trials[0].reason}`),
)))));
  };
  return { root, draw };
}
