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
    const answer = await fetch(`${address}?version=${encodeURIComponent(version)}`).catch(() => null);
    if (answer === null) return say("the server can't be reached; this is the last data received");
    if (!answer.ok) return say((await answer.json()).error);
    if (answer.status !== 204) {
      const next = await answer.json();
      running = next.state;
      take(next);
      version = next.version;
    }
    return sayState();
  };
  const repeat = () => ask().finally(() => setTimeout(repeat, 1000 * SECONDS_BETWEEN));
  setTimeout(repeat, 1000 * SECONDS_BETWEEN);
}
