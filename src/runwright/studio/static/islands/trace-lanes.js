/**
 * Lanes of steps, and runs whose steps are shown.
 */

/** @typedef {{name: string, path: string, depth: number, parent: number, above: number | null, rows: number[], isOpen: boolean, start: number, end: number, steps: number, shown: number, errors: number, tokens: number, nano: number}} Lane `above` is the row that opens it; sums are of all its steps, `shown` counts those that fit what is looked for */
/** @typedef {{id: string, lane: number, above: number | null, places: Map<number, number>, lanes: Map<string, number>, isOver: boolean, hasMore: boolean}} Run `above` is the step that began it */

/** @param {string} name @param {string} path @param {{depth: number, parent: number, above: number | null}} of @returns {Lane} */
export function lane(name, path, of) {
  return { name, path, ...of, rows: [], isOpen: true, start: 0, end: 0, steps: 0, shown: 0, errors: 0, tokens: 0, nano: 0 };
}

/** @param {string} id @param {number} lane @param {number | null} above @returns {Run} */
export function below(id, lane, above) {
  return { id, lane, above, places: new Map(), lanes: new Map([["", lane]]), isOver: false, hasMore: false };
}

/** @param {Lane} each @param {Lane} inner */
export function add(each, inner) {
  each.start = Math.min(each.start, inner.start);
  each.end = Math.max(each.end, inner.end);
  each.tokens += inner.tokens;
  each.nano += inner.nano;
  each.errors += inner.errors;
  each.steps += inner.steps;
  each.shown += inner.shown;
}
