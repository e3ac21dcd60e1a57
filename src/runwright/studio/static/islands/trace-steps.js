/**
 * The steps of a run and of runs below it as columns, and which rows of them a tree shows.
 *
 * A row is a number: a step by its place in the columns, or a lane by `-1 - place`. A run that a step began is a lane
 * that this step opens. All passes are linear.
 */

import { add, below, lane } from "./trace-lanes.js";

/** @typedef {import("./trace-lanes.js").Lane} Lane */
/** @typedef {import("./trace-lanes.js").Run} Run */
/** @typedef {{query: string, isFull: boolean, isWhole: boolean, from: number, to: number}} View `isWhole` shows idle times */
/** @typedef {{rows: number[], depths: number[], nths: number[], sizes: number[], errors: number, shown: number}} Rows `nths` are places among siblings, of which there are `sizes` */

export const LANES_OPEN = 1000;
const PLAIN = new Set(["model", "tool", "child", "input", "http"]);

export class Steps {
  constructor() {
    /** @type {number[]} */ this.seq = [];
    /** @type {number[]} places of their runs */ this.run = [];
    /** @type {number[]} */ this.lane = [];
    /** @type {string[]} */ this.kind = [];
    /** @type {string[]} */ this.name = [];
    /** @type {string[]} */ this.status = [];
    /** @type {number[]} */ this.attempt = [];
    /** @type {boolean[]} whether the record of another run answered */ this.taped = [];
    /** @type {string[][]} what the guard decided */ this.decided = [];
    /** @type {number[]} milliseconds since the first run began */ this.start = [];
    /** @type {(number | null)[]} */ this.duration = [];
    /** @type {number[]} */ this.tokens = [];
    /** @type {(number | null)[]} */ this.nano = [];
    /** @type {Lane[]} */ this.lanes = [lane("", "", { depth: -1, parent: -1, above: null })];
    /** @type {Run[]} */ this.runs = [below("", 0, null)];
    /** @type {Map<number, number>} the places of runs by the steps that began them */ this.begun = new Map();
    /** @type {Set<number>} steps that began no run, or one that is not here any more */ this.gone = new Set();
    /** @type {Set<number>} steps of which what they began did not come */ this.missed = new Set();
    this.began = 0;
    this.now = 0;
  }

  /** Take what the server's outline of a run holds. @param {any} outline @param {number} [of] */
  load(outline, of = 0) {
    const run = this.runs[of];
    const isFirst = !run.places.size;
    const begins = Date.parse(outline.began_at);
    if (of === 0) this.began = begins;
    const offset = Math.max(0, begins - this.began);
    run.id = outline.run_id;
    run.isOver = ["completed", "failed", "cancelled"].includes(outline.status);
    run.hasMore = outline.next !== null;
    outline.seq.forEach((/** @type {number} */ seq, /** @type {number} */ at) => {
      const place = this.add(of, seq, outline.lanes[outline.lane[at]], outline.kinds[outline.kind[at]], outline.names[outline.name[at]]);
      const took = outline.duration_us[at];
      this.status[place] = outline.statuses[outline.status_of[at]];
      this.attempt[place] = outline.attempt[at];
      this.taped[place] = Boolean(outline.taped[at]);
      this.decided[place] = outline.decisions[outline.decided[at]];
      this.start[place] = offset + outline.start_us[at] / 1000;
      this.duration[place] = took === null ? null : took / 1000;
      this.tokens[place] = outline.input_tokens[at] + outline.output_tokens[at];
      this.nano[place] = outline.nano_usd[at];
    });
    if (isFirst) for (const at of run.lanes.values()) this.lanes[at].isOpen = at === run.lane || run.places.size <= LANES_OPEN;
  }

  /** The place of a run that a step began. @param {number} place @param {string} id */
  nest(place, id) {
    const known = this.begun.get(place);
    if (known !== undefined) return known;
    const parent = this.lane[place];
    const of = { depth: this.lanes[parent].depth + 1, parent, above: place };
    const inner = this.lanes.push(lane("", `${this.lanes[parent].path} ${this.name[place]}`, of)) - 1;
    this.lanes[inner].isOpen = false;
    const at = this.runs.push(below(id, inner, place)) - 1;
    this.begun.set(place, at);
    return at;
  }

  /** A step that begins, or the one that is known by that number. @param {number} of @param {number} seq @param {string} path @param {string} kind @param {string} name */
  add(of, seq, path, kind, name) {
    const known = this.runs[of].places.get(seq);
    if (known !== undefined) return known;
    const place = this.seq.push(seq) - 1;
    this.runs[of].places.set(seq, place);
    this.run.push(of);
    this.lane.push(this.lanePlace(of, path));
    this.kind.push(kind);
    this.name.push(name);
    this.status.push("running");
    this.attempt.push(1);
    this.taped.push(false);
    this.decided.push([]);
    this.start.push(0);
    this.duration.push(null);
    this.tokens.push(0);
    this.nano.push(0);
    this.lanes[this.lane[place]].rows.push(place);
    return place;
  }

  /** @param {number} of @param {string} path */
  lanePlace(of, path) {
    const run = this.runs[of];
    const known = run.lanes.get(path);
    if (known !== undefined) return known;
    const cut = path.lastIndexOf("/");
    const parent = this.lanePlace(of, path.slice(0, Math.max(cut, 0)));
    const place = this.lanes.length;
    const above = parent === run.lane ? run.above : -1 - parent;
    this.lanes.push(lane(path.slice(cut + 1), `${this.lanes[run.lane].path} ${path}`, { depth: this.lanes[parent].depth + 1, parent, above }));
    this.lanes[place].isOpen = run.places.size <= LANES_OPEN;
    this.lanes[parent].rows.push(-1 - place);
    run.lanes.set(path, place);
    return place;
  }

  /** Take what happened in a run. @param {any[]} events @param {number} [of] */
  apply(events, of = 0) {
    for (const event of events) {
      const at = Date.parse(event.ts) - this.began;
      this.now = Math.max(this.now, at);
      if (event.type === "step.started") {
        const place = this.add(of, event.seq, event.lane ?? "", event.kind, event.name);
        this.start[place] = at;
        continue;
      }
      const place = this.runs[of].places.get(event.step_id);
      if (place === undefined) continue;
      if (event.type === "step.restarted") this.attempt[place] = event.attempt;
      if (event.type === "guard.decided") this.decide(place, `${event.layer} ${event.action}`);
      if (event.type !== "step.completed" && event.type !== "step.failed") continue;
      this.status[place] = event.type === "step.completed" ? "completed" : event.is_unknown ? "unknown" : "failed";
      this.taped[place] = event.taped != null;
      this.duration[place] = at - this.start[place];
      this.tokens[place] = (event.usage?.input_tokens ?? 0) + (event.usage?.output_tokens ?? 0);
      this.nano[place] = event.cost ? (event.cost.nano_usd ?? null) : 0;
    }
  }

  /** @param {number} place @param {string} decision */
  decide(place, decision) {
    if (!this.decided[place].includes(decision)) this.decided[place] = [...this.decided[place], decision];
  }

  /** When a step ended, or how far it is. @param {number} place */
  end(place) {
    const took = this.duration[place];
    return took === null ? Math.max(this.start[place], this.now) : this.start[place] + took;
  }

  /** @param {number} place */
  isError(place) {
    return this.status[place] === "failed" || this.status[place] === "unknown";
  }

  /** The lane that a row opens: a lane does itself, and a step that of the run which it began, once that is here. @param {number} row */
  opens(row) {
    if (row < 0) return this.lanes[-1 - row];
    const run = this.begun.get(row);
    return run === undefined ? undefined : this.lanes[this.runs[run].lane];
  }

  /** Whether there is something below a row. What a recording answered began no run. @param {number} row */
  isNest(row) {
    return row < 0 || (this.kind[row] === "child" && !this.taped[row] && !this.gone.has(row));
  }

  /** The row that opens the lane in which a row stands, if one does. @param {number} row @returns {number | null} */
  above(row) {
    if (row < 0) return this.lanes[-1 - row].above;
    const at = this.lane[row];
    const run = this.runs[this.run[row]];
    return at === run.lane ? run.above : -1 - at;
  }

  /** Open what is around a row. @param {number} row */
  reveal(row) {
    for (let at = this.above(row); at !== null; at = this.above(at)) {
      const around = this.opens(at);
      if (around) around.isOpen = true;
    }
  }

  /** The numbers of the steps that lead to one, its own last. @param {number} place @returns {string} */
  address(place) {
    const above = this.runs[this.run[place]].above;
    return above === null ? `${this.seq[place]}` : `${this.address(above)}.${this.seq[place]}`;
  }

  /** The rows that are shown, in the order of the tree. @param {View} view @param {boolean} [isWhole] with closed lanes @returns {Rows} */
  rows(view, isWhole = false) {
    const words = view.query.toLowerCase();
    /** @type {Rows} */
    const found = { rows: [], depths: [], nths: [], sizes: [], errors: 0, shown: 0 };
    /** @param {number} at */
    const isShown = (at) => {
      if (this.end(at) < view.from || this.start[at] > view.to) return false;
      const isError = this.isError(at);
      if (!view.isFull && !PLAIN.has(this.kind[at]) && !isError) return false;
      if (!words) return true;
      return `${this.name[at]} ${this.kind[at]} ${this.lanes[this.lane[at]].path} ${this.status[at]} ${this.decided[at]}`.toLowerCase().includes(words);
    };
    /** @param {Lane} each @param {boolean} isHidden */
    const walk = (each, isHidden) => {
      Object.assign(each, { start: Infinity, end: 0, steps: 0, shown: 0, errors: 0, tokens: 0, nano: 0 });
      /** @type {number[]} */ const siblings = [];
      for (const row of each.rows) {
        const inner = this.opens(row);
        const isStep = row >= 0 && isShown(row);
        const length = found.rows.length;
        if (!isHidden && (inner || isStep)) {
          found.rows.push(row);
          found.depths.push(each.depth + 1);
        }
        if (inner) {
          walk(inner, isHidden || !(inner.isOpen || isWhole || words));
          if (!inner.shown && !isStep) found.rows.length = found.depths.length = length;
          add(each, inner);
        }
        if (found.rows.length > length) siblings.push(length);
        if (row >= 0) this.count(each, row);
        if (isStep) each.shown++;
        if (isStep && this.isError(row)) found.errors++;
      }
      siblings.forEach((at, nth) => ([found.nths[at], found.sizes[at]] = [nth + 1, siblings.length]));
    };
    walk(this.lanes[0], false);
    found.shown = this.lanes[0].shown;
    return found;
  }

  /** @param {Lane} each @param {number} place */
  count(each, place) {
    each.start = Math.min(each.start, this.start[place]);
    each.end = Math.max(each.end, this.end(place));
    each.tokens += this.tokens[place];
    each.nano += this.nano[place] ?? 0;
    if (this.isError(place)) each.errors++;
    each.steps++;
  }

  /** Whether the short level would show nothing. */
  isAllFine() {
    return !this.kind.some((kind) => PLAIN.has(kind));
  }
}
