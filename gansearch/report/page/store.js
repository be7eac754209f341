// The trials of the page, which of them are shown, and who must be told when that changes.

/** A run as the page shows it; `update` takes newer data of the same run. */
class Store {
  constructor(data) {
    this.listeners = [];
    this.view = {
      phase: "search",
      statuses: new Set(),
      text: "",
      reason: null,
      ranges: new Map(), // by column: {low, high} or {hidden: Set of texts}
      brushed: null, // ids that the parallel coordinates select, or null for all
      sort: null,
      n_rows: 50,
      selected: null,
    };
    this.update(data);
    if (!this.trials.some((trial) => trial.phase === "search")) this.view.phase = "replica";
  }

  update(data) {
    this.data = data;
    this.run = data.run;
    const columns = Object.entries(data.trials);
    const n = data.trials.trial_id.length;
    this.trials = Array.from({ length: n }, (_, i) => {
      const trial = {};
      for (const [name, values] of columns) trial[name] = values[i];
      return trial;
    });
    this.byId = new Map(this.trials.map((trial) => [trial.trial_id, trial]));
    this.columns = this.makeColumns();
    this.objective = this.columns.find((column) => column.key === this.run.objective);
  }

  /** Returns what trials can be sorted, filtered and drawn by. */
  makeColumns() {
    const measures = this.data.measures
      .filter((measure) => measure.of_trials || measure.key === this.run.objective)
      .map((measure) => ({ ...measure, kind: "number", isNumber: true, isMeasure: true }));
    const parameters = this.data.parameters
      .filter((parameter) => parameter.varies)
      .map((parameter) => ({
        key: `config.${parameter.key}`,
        title: parameter.key,
        doc: parameter.doc,
        kind: ["int", "float"].includes(parameter.kind) && !parameter.choice ? "number" : "text",
        isNumber: ["int", "float"].includes(parameter.kind),
        isInteger: parameter.kind === "int",
        log: parameter.log,
        isParameter: true,
        searched: parameter.searched,
      }));
    const counts = [
      { key: "updates", title: "updates", kind: "number", isNumber: true },
      { key: "seconds", title: "seconds", kind: "number", isNumber: true, decimals: 1 },
      { key: "number", title: "number", kind: "number", isNumber: true },
    ];
    const fronts = this.run.objectives.length
      ? [{ key: "front", title: "front", kind: "number", isNumber: true, isInteger: true, better: "lower" }]
      : [];
    return [...measures, ...fronts, ...counts, ...parameters];
  }

  column(key) {
    return this.columns.find((column) => column.key === key);
  }

  listen(listener) {
    this.listeners.push(listener);
  }

  /** Changes the view and tells the listeners what has changed, once a frame. */
  change(values) {
    Object.assign(this.view, values);
    this.changed = { ...this.changed, ...values };
    if (this.isDue) return;
    this.isDue = true;
    requestAnimationFrame(() => {
      this.isDue = false;
      const changed = this.changed;
      this.changed = {};
      for (const listener of this.listeners) listener(changed);
    });
  }

  /** Returns the trials that the filters leave; `brush: false` for all that a brush chooses from. */
  filtered({ brush = true } = {}) {
    const { phase, statuses, text, ranges, brushed, reason } = this.view;
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    return this.trials.filter(
      (trial) =>
        (!phase || trial.phase === phase) &&
        (!statuses.size || statuses.has(trial.status)) &&
        (reason === null || reasonKind(trial) === reason) &&
        words.every((word) => searchText(trial).includes(word)) &&
        [...ranges].every(([key, range]) => isWithin(trial[key], range)) &&
        (!brush || brushed === null || brushed.has(trial.trial_id)),
    );
  }

  /** Returns the trials in the order of the table. */
  sorted() {
    const { key, descending } = this.view.sort || {
      key: this.run.objective,
      descending: !this.run.minimize,
    };
    const sign = descending ? -1 : 1;
    // Scores of what collapsed, diverged or failed don't count, unless the reader sorts by them.
    const isUnsound = (trial) => !this.view.sort && UNSOUND.includes(trial.status);
    return this.filtered().sort((a, b) => {
      if (isUnsound(a) !== isUnsound(b)) return isUnsound(a) - isUnsound(b);
      const [x, y] = [a[key], b[key]];
      const [noX, noY] = [x === null || x === undefined, y === null || y === undefined];
      if (noX || noY) return noX - noY;
      if (typeof x === "number" && typeof y === "number") return sign * (x - y);
      return sign * String(x).localeCompare(String(y), "en", { numeric: true });
    });
  }

  /** Returns the lowest and highest value of a column, null without any. */
  extent(key, trials = this.trials) {
    const values = trials.map((trial) => trial[key]).filter((value) => typeof value === "number");
    return values.length ? [Math.min(...values), Math.max(...values)] : null;
  }

  /** Returns the values of a column as texts, in their order. */
  categories(key, trials = this.trials) {
    const values = new Map();
    for (const trial of trials) {
      if (trial[key] !== null && trial[key] !== undefined) {
        values.set(formatValue(trial[key]), trial[key]);
      }
    }
    const isNumber = [...values.values()].every((value) => typeof value === "number");
    const texts = [...values.keys()];
    return isNumber
      ? texts.sort((a, b) => values.get(a) - values.get(b))
      : texts.sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  }
}

/** Whether a value passes a filter; one without a limit lets everything pass. */
function isWithin(value, range) {
  if (range.hidden ? !range.hidden.size : range.low === null && range.high === null) return true;
  if (value === null || value === undefined) return false;
  if (range.hidden) return !range.hidden.has(formatValue(value));
  return (range.low === null || value >= range.low) && (range.high === null || value <= range.high);
}

function searchText(trial) {
  trial.searched ||= `${trial.trial_id} ${trial.label} ${trial.config_id} ${trial.status} ${
    trial.reason || ""
  } ${trial.device || ""}`.toLowerCase();
  return trial.searched;
}

/** Returns what a trial's reason has in common with others: its first part, without numbers. */
function reasonKind(trial) {
  const first = (trial.reason || "").split(/[;,]|: (?=[a-z]* ?\d)/)[0];
  const kind = first.replace(/[-+]?\d[\d.,]*(e[-+]?\d+)?( ?%)?/gi, "#").trim();
  return `${trial.status}\n${kind}`;
}

/** Returns what to say where a page of a large run counts trials. */
function randomNote(store) {
  const [n, all] = [store.trials.filter((trial) => trial.is_random).length, store.data.n_trials];
  return store.trials.length < all ? ` Counted are ${formatCount(n)} trials that were drawn at random.` : "";
}

const DIED = ["collapsed", "diverged"];
const UNSOUND = [...DIED, "failed"];
const SURVIVED = ["completed", "pruned"];
