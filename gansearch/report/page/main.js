// Puts the plots where the page has room for them and, on a live page, keeps them up to date.

const PLACES = {
  ranking: (store) => (store.run.objectives.length
    ? [frontPlot(store), ...store.run.objectives.map((_, i) => rankingPlot(store, i))]
    : [rankingPlot(store, 0)]),
  measures: (store) => {
    const i = store.run.objectives.length || 1;
    return store.data.scales.length > i ? [rankingPlot(store, i)] : [];
  },
  curve: (store) => [scoreCurvePlot(store)],
  players: (store) => [outputsPlot(store)],
  stability: (store) => [survivalPlot(store), importancesPlot(store)],
};

/** Puts plots into the places of the page; those of before, with what the reader has chosen. */
function fillPlaces(store, made) {
  for (const place of document.querySelectorAll("[data-plots]")) {
    const key = place.dataset.plots;
    if (!made.has(key)) made.set(key, PLACES[key](store));
    place.replaceChildren(...made.get(key).map((plot) => plot.root));
  }
  for (const block of document.querySelectorAll("code[data-command]")) {
    block.replaceWith(copyable(block.textContent));
  }
  for (const link of document.querySelectorAll('nav a[href^="#"]')) {
    link.hidden = !document.getElementById(link.getAttribute("href").slice(1));
  }
}

function start() {
  const data = JSON.parse(document.getElementById("data").textContent);
  const store = new Store(data);
  const alone = document.body.dataset.trial;
  if (alone) return showAlone(store, alone);
  const panel = trialPanel(store);
  document.body.append(panel.root);
  const made = new Map();
  fillPlaces(store, made);
  followLinks(panel);
  const trials = document.getElementById("explorer");
  if (!store.trials.length) {
    trials.replaceChildren(element("p", {}, "No trial has begun yet."));
  }
  const explored = store.trials.length ? explorer(store, panel.open) : null;
  const reasons = reasonsTable(store);
  if (explored) {
    trials.replaceChildren(explored.root);
    document.getElementById("reasons").replaceChildren(reasons.root);
    document.getElementById("timeline").replaceChildren(timelinePlot(store, panel.open).root);
    explored.draw();
    reasons.draw();
  }
  redrawAll();
  panel.follow();
  window.gansearch = { store, panel, plots };
  const url = document.body.dataset.live;
  if (url) keepUpToDate(url, (next) => {
    const isFirst = !store.trials.length && next.data.trials.trial_id.length;
    if (isFirst) return location.reload();
    store.update(next.data);
    document.getElementById("sections").innerHTML = next.sections; // escaped by the server
    fillPlaces(store, made);
    if (explored) explored.draw();
    reasons.draw();
    redrawAll();
    return panel.refresh();
  });
}

document.addEventListener("DOMContentLoaded", start);
