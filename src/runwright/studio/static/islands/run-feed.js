/**
 * What happens in a run, told on the document as `live:run` {run, events, is_over}, grouped by frames.
 */

const TYPES = ["run.started", "run.resumed", "run.waiting", "run.completed", "run.failed", "run.cancelled", "step.started", "step.restarted", "step.completed", "step.failed"];

/** Listen to a run behind an event. @param {string} url @param {string} run @param {number} after @returns {() => void} stops */
export function follow(url, run, after) {
  const stream = new EventSource(`${url}?after=${after}`);
  /** @type {any[]} */
  let events = [];
  const tell = () => {
    const told = events;
    events = [];
    const last = told[told.length - 1].type;
    const is_over = ["run.completed", "run.failed", "run.cancelled"].includes(last);
    if (is_over) stream.close();
    document.dispatchEvent(new CustomEvent("live:run", { detail: { run, events: told, is_over } }));
  };
  for (const type of TYPES) {
    stream.addEventListener(type, (event) => {
      if (events.push(JSON.parse(event.data)) === 1) setTimeout(tell, 40);
    });
  }
  return () => stream.close();
}
