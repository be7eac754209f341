// A live page: newer data of the same run every few seconds, from the server that gave the page.

const SECONDS_BETWEEN = 3;

/** Asks for what is new at an address; `take` gets it. Says so while the server can't be reached. */
function keepUpToDate(address, take) {
  const state = element("p", { class: "live", role: "status" });
  document.querySelector("nav").append(state);
  let { version, state: running } = document.body.dataset;
  const say = (text) => { state.textContent = text; };
  const sayState = () => say(`${running} · as of ${new Date().toLocaleTimeString("en-GB")}`);
  sayState();
  const ask = async () => {
    try {
      const response = await fetch(`${address}?version=${encodeURIComponent(version)}`);
      if (response.status === 200) {
        const next = await response.json();
        ({ version, state: running } = next);
        take(next);
      }
      if (response.ok) sayState();
      else say((await response.json()).error);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // what fetch raises without a server
      say("the server can't be reached: this is its last word");
    }
    setTimeout(ask, 1000 * SECONDS_BETWEEN);
  };
  setTimeout(ask, 1000 * SECONDS_BETWEEN);
}
