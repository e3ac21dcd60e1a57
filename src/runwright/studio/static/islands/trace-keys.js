/**
 * The keys of the tree of steps.
 */

/** @typedef {any} Trace the element `trace-waterfall` */

const FOLLOW_MS = 150;

/** @param {Trace} trace @param {AbortSignal} signal */
export function bindKeys(trace, signal) {
  trace.tree.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const act = KEYS[event.key];
    if (!act) return;
    event.preventDefault();
    act(trace);
  }, { signal });
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target instanceof HTMLElement && event.target.closest("input, textarea, select, dialog");
    if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "c") location.href = trace.getAttribute("compare") ?? "";
    else if (["e", "f", "j", "k", "[", "]"].includes(event.key) && event.target !== trace.tree) {
      trace.tree.focus();
      KEYS[event.key](trace);
    }
  }, { signal });
}

/** @type {Record<string, (trace: Trace) => void>} */
const KEYS = {
  j: (trace) => move(trace, 1),
  ArrowDown: (trace) => move(trace, 1),
  k: (trace) => move(trace, -1),
  ArrowUp: (trace) => move(trace, -1),
  PageDown: (trace) => move(trace, Math.floor(trace.list.height / 26) - 1),
  PageUp: (trace) => move(trace, 1 - Math.floor(trace.list.height / 26)),
  Home: (trace) => move(trace, -Infinity),
  End: (trace) => move(trace, Infinity),
  ArrowLeft: close,
  ArrowRight: open,
  h: close,
  l: open,
  Enter: (trace) => {
    const row = trace.list.selected;
    if (row === null) return;
    if (row < 0) trace.toggle(row);
    else trace.select(row, true);
  },
  "[": (trace) => sibling(trace, -1),
  "]": (trace) => sibling(trace, 1),
  e: nextError,
  f: (trace) => trace.fit(),
};

/** @param {Trace} trace @param {number} by */
function move(trace, by) {
  const { rows, selected } = trace.list;
  if (!rows.length) return;
  const at = selected === null ? -1 : rows.indexOf(selected);
  go(trace, rows[Math.min(rows.length - 1, Math.max(0, at < 0 && by < Infinity ? 0 : at + by))]);
}

/** Choose a row; where a step is seen already, see this one when the keys rest. @param {Trace} trace @param {number} row */
function go(trace, row) {
  trace.select(row);
  clearTimeout(trace.following);
  if (trace.opened === null || row < 0) return;
  trace.following = setTimeout(() => trace.select(row, true), FOLLOW_MS);
}

/** @param {Trace} trace */
function close(trace) {
  const row = trace.list.selected;
  if (row === null) return;
  if (trace.steps.opens(row)?.isOpen) return trace.toggle(row, false);
  const above = trace.steps.above(row);
  if (above !== null) trace.select(above);
}

/** @param {Trace} trace */
function open(trace) {
  const row = trace.list.selected;
  if (row === null || !trace.steps.isNest(row)) return;
  if (trace.steps.opens(row)?.isOpen) move(trace, 1);
  else trace.toggle(row, true);
}

/** @param {Trace} trace @param {number} by */
function sibling(trace, by) {
  const { rows, depths, selected } = trace.list;
  const at = selected === null ? -1 : rows.indexOf(selected);
  if (at < 0) return;
  for (let index = at + by; index >= 0 && index < rows.length && depths[index] >= depths[at]; index += by) {
    if (depths[index] === depths[at]) return go(trace, rows[index]);
  }
}

/** @param {Trace} trace */
function nextError(trace) {
  const { rows } = trace.steps.rows(trace.view, true);
  const from = trace.list.selected === null ? -1 : rows.indexOf(trace.list.selected);
  const errors = rows.map((/** @type {number} */ row, /** @type {number} */ index) => [row, index]).filter(([row]) => row >= 0 && trace.steps.isError(row));
  const next = errors.find(([, index]) => index > from) ?? errors[0];
  if (next) trace.select(next[0], true);
}
