/**
 * Runs that steps began: each is fetched when its step is opened, and then followed while it is at work.
 */

/** Steps of a run below another that are shown; the page of the run has all. */
const STEPS = 5000;

export class Nested {
  /** @param {import("./trace-steps.js").Steps} steps @param {{address: string, signal: AbortSignal, follow: (run: string, after: number) => void}} of `address` stands before the id of a run */
  constructor(steps, { address, signal, follow }) {
    this.steps = steps;
    this.address = address;
    this.signal = signal;
    this.follow = follow;
  }

  /** Have the steps of the run that a step began, as they are now; false where there is none. @param {number} row */
  async fetch(row) {
    const { steps } = this;
    const known = steps.begun.get(row);
    if (known !== undefined && steps.runs[known].isOver) return true;
    const id = known === undefined ? await this.find(row) : steps.runs[known].id;
    const outline = id ? await this.json(`${this.address}${id}/steps.json?limit=${STEPS}`) : id;
    if (outline === undefined) steps.gone.add(row);
    if (outline === null) steps.missed.add(row);
    else steps.missed.delete(row);
    if (!id || !outline) return false;
    const run = steps.nest(row, id);
    steps.load(outline, run);
    if (!steps.runs[run].isOver && !outline.is_lost) this.follow(id, outline.last_seq);
    return true;
  }

  /** The id of the run that a step began; undefined if it began none. @param {number} row @returns {Promise<string | null | undefined>} */
  async find(row) {
    const above = this.steps.runs[this.steps.run[row]].id;
    const step = await this.json(`${this.address}${above}/steps/${this.steps.seq[row]}.json`);
    return step === null ? null : (step?.child ?? undefined);
  }

  /** The row of a step, by the numbers of the steps that lead to it. @param {string} address */
  async reach(address) {
    let run = 0;
    /** @type {number | null} */ let row = null;
    for (const seq of address.split(".")) {
      if (row !== null && !(await this.fetch(row))) return null;
      if (row !== null) run = this.steps.begun.get(row) ?? 0;
      row = this.steps.runs[run].places.get(Number(seq)) ?? null;
      if (row === null) return null;
    }
    return row;
  }

  /** What is there; undefined where nothing is, null where nobody knows now. @param {string} url @returns {Promise<any>} */
  async json(url) {
    const answer = await fetch(url, { signal: this.signal }).catch(() => null);
    if (answer?.status === 404) return undefined;
    return answer?.ok ? answer.json().catch(() => null) : null;
  }
}
