// Elements, numbers and colours. Every text becomes a text node, so that no name is read as markup.

const COLOURS = {
  completed: "#009E73",
  pruned: "#56B4E9",
  collapsed: "#CC79A7",
  diverged: "#E69F00",
  failed: "#D55E00",
};
const SYMBOLS = {
  completed: "circle",
  pruned: "triangle",
  collapsed: "diamond",
  diverged: "rect",
  failed: "pin",
  running: "emptyCircle",
};
const BLUE = "#3D8FCC";
const VERMILION = "#D55E00";

/** Returns an element with attributes, listeners (`onclick`) and children: elements or texts. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

/** Returns a number as the report's tables have it; a dash for none. */
function formatNumber(value, decimals = null) {
  if (value === null || value === undefined) return "-";
  const size = Math.abs(value);
  if (size >= 1e6) return value.toExponential(2);
  if (decimals !== null && decimals !== undefined) {
    return size >= 1000 ? formatCount(Math.round(value)) : value.toFixed(decimals);
  }
  if (Number.isInteger(value)) return formatCount(value);
  return size !== 0 && size < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(4)));
}

function formatCount(value) {
  return value === null || value === undefined ? "-" : value.toLocaleString("en-US");
}

/** Returns any value of a parameter as text. */
function formatValue(value) {
  if (value === null || value === undefined) return "-";
  if (Array.isArray(value)) return `[${value.join(", ")}]`;
  return typeof value === "number" ? formatNumber(value) : String(value);
}

function formatSeconds(seconds) {
  if (seconds === null || seconds === undefined) return "-";
  if (seconds < 90) return `${formatNumber(seconds, seconds < 10 ? 1 : 0)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Returns a colour of the page, which follows its light or dark setting. */
function pageColour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function statusColour(status) {
  return COLOURS[status] || pageColour("ink");
}

/** Returns a line to type, with a button that copies it. */
function copyable(text) {
  const button = element("button", { type: "button", class: "copy" }, "Copy");
  button.addEventListener("click", () => {
    const done = () => {
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    };
    if (navigator.clipboard && window.isSecureContext) {
      navigator.clipboard.writeText(text).then(done, () => selectText(button.previousSibling));
    } else {
      selectText(button.previousSibling);
    }
  });
  return element("div", { class: "command" }, element("code", {}, text), button);
}

/** Selects an element's text, for the reader to copy where the page may not. */
function selectText(of) {
  const range = document.createRange();
  range.selectNodeContents(of);
  const selection = window.getSelection();
  selection.removeAllRanges();
  selection.addRange(range);
}

/** Returns a labelled menu of `[value, title]` pairs. */
function menu(title, options, value, onchange) {
  const select = element(
    "select",
    { onchange: () => onchange(select.value), "aria-label": title },
    options.map(([key, name]) => element("option", { value: key, selected: key === value }, name)),
  );
  return element("label", { class: "menu" }, `${title} `, select);
}
