// Puts the plots where the page has room for them and, on a live page, keeps them up to date.

const PLACES = {
  ranking: (store) => store.data.scales.slice(0, 1).map((scale) => rankingPlot(store, scale)),
  measures: (store) => store.data.scales.slice(1).map((scale) => rankingPlot(store, scale)),
  curve: (store) => [scoreCurvePlot(store)],
  players: (store) => [outputsPlot(store)],
  stability: (store) => [survivalPlot(store), importancesPlot(store)],
};

/** Fills the places of a part of the page; returns their plots. */
function fillPlaces(store) {
  const filled = [];
  for (const place of document.querySelectorAll("[data-plots]")) {
    const made = (PLACES[place.dataset.plots] || (() => []))(store);
    place.replaceChildren(...made.map((plot) => plot.root));
    filled.push(...made);
  }
  for (const block of document.querySelectorAll("code[data-command]")) {
    block.replaceWith(copyable(block.textContent));
  }
  return filled;
}

function start() {
  const data = JSON.parse(document.getElementById("data").textContent);
  const store = new Store(data);
  const alone = document.body.dataset.trial;
  if (alone) return showAlone(store, alone);
  const panel = trialPanel(store);
  document.body.append(panel.root);
  let filled = fillPlaces(store);
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
    for (const plot of filled) plot.dispose();
    filled = fillPlaces(store);
    if (explored) explored.draw();
    reasons.draw();
    redrawAll();
    return panel.refresh();
  });
}

document.addEventListener("DOMContentLoaded", start);
