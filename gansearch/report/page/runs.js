// Keeps the list of runs up to date, and what is ticked in it.

const SECONDS_BETWEEN = 5;

async function refresh() {
  const answer = await fetch("/").catch(() => null);
  if (answer !== null && answer.ok) {
    const ticked = new Set([...document.querySelectorAll("input:checked")].map((box) => box.value));
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const [table, newer] = [document, page].map((each) => each.querySelector("tbody"));
    if (table === null || newer === null) {
      if (table !== newer) location.reload();
    } else {
      for (const box of newer.querySelectorAll("input")) box.checked = ticked.has(box.value);
      if (!table.contains(document.activeElement)) table.replaceWith(document.importNode(newer, true));
      for (const box of document.querySelectorAll("tbody input")) box.checked = ticked.has(box.value);
    }
  }
  setTimeout(refresh, 1000 * SECONDS_BETWEEN);
}

setTimeout(refresh, 1000 * SECONDS_BETWEEN);
