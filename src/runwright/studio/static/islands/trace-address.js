/**
 * What is shown of a run, as it stands in the address of its page.
 */

const SETTLED_MS = 150;
/** Runs below that a page opens by itself. */
export const OPENED = 20;

/** @typedef {{query: string, isFull: boolean, isWhole: boolean, from: number, to: number, step: string, open: string[]}} Given */

/** What the address says. @returns {Given} */
export function read() {
  const given = new URLSearchParams(location.search);
  const [from, to] = (given.get("zoom") ?? "").split("~").map(Number);
  const zoom = to > from ? { from, to } : { from: -Infinity, to: Infinity };
  const open = (given.get("open") ?? "").split(" ").filter(Boolean);
  return { query: given.get("q") ?? "", isFull: given.get("level") === "full", isWhole: given.get("idle") === "shown", ...zoom, step: given.get("step") ?? "", open };
}

/** Keep it, when it rests and is restored: browsers do not let an address be changed at every key. @param {any} trace the element `trace-waterfall` */
export function remember(trace) {
  clearTimeout(trace.settling);
  if (trace.isRestoring) return;
  trace.settling = setTimeout(() => {
    const { view, steps, opened, kept } = trace;
    const url = new URL(location.href);
    const zoom = view.from > -Infinity ? `${Math.floor(view.from)}~${Math.ceil(view.to)}` : null;
    const nested = steps.runs.filter((/** @type {any} */ run) => run.above !== null);
    const open = nested.filter((/** @type {any} */ run) => steps.lanes[run.lane].isOpen).map((/** @type {any} */ run) => steps.address(run.above));
    kept.open = kept.open.filter((/** @type {string} */ address) => !open.includes(address));
    const values = {
      step: (opened === null ? kept.step : steps.address(opened)) || null,
      q: view.query || null,
      level: view.isFull ? "full" : null,
      idle: view.isWhole ? "shown" : null,
      zoom,
      open: [...open, ...kept.open].join(" ") || null,
    };
    for (const [name, value] of Object.entries(values)) {
      if (value === null) url.searchParams.delete(name);
      else url.searchParams.set(name, value);
    }
    history.replaceState(history.state, "", url);
  }, SETTLED_MS);
}
