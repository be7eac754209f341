// A live page: newer data of the same run every few seconds, from the server that gave the page.

const SECONDS_BETWEEN = 3;

/** Asks for what is new at an address; `take` gets it. Says so while the server can't be reached. */
function keepUpToDate(address, take) {
  const state = element("p", { class: "live", role: "status" });
  document.querySelector("nav").append(state);
  let version = null;
  const ask = async () => {
    try {
      const response = await fetch(version === null ? address : `${address}?version=${encodeURIComponent(version)}`);
      if (response.status === 200) {
        const next = await response.json();
        version = next.version;
        take(next);
      }
      if (response.status === 200 || response.status === 204) state.textContent = `as of ${new Date().toLocaleTimeString()}`;
      else state.textContent = (await response.json()).error;
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // what fetch raises without a server
      state.textContent = "the server can't be reached: this is its last word";
    }
    setTimeout(ask, 1000 * SECONDS_BETWEEN);
  };
  setTimeout(ask, 1000 * SECONDS_BETWEEN);
}
