/**
 * The steps of a run as columns, which rows of them a tree shows, and where they stand in time.
 *
 * A row is a number: a step by its place in the columns, or a lane by `-1 - place`. All passes are linear.
 */

/** @typedef {{path: string, name: string, depth: number, parent: number, rows: number[], isOpen: boolean, start: number, end: number, steps: number, errors: number, tokens: number}} Lane */
/** @typedef {{query: string, isFull: boolean, from: number, to: number}} View */
/** @typedef {{rows: number[], depths: number[], errors: number, shown: number}} Rows */

export const LANES_OPEN = 1000;
const PLAIN = new Set(["model", "tool", "child", "input", "http"]);
const FOLD_SHARE = 0.2;
const FOLD_MS = 500;
const FOLDED_SHARE = 0.03;

export class Steps {
  constructor() {
    /** @type {number[]} */ this.seq = [];
    /** @type {number[]} */ this.lane = [];
    /** @type {string[]} */ this.kind = [];
    /** @type {string[]} */ this.name = [];
    /** @type {string[]} */ this.status = [];
    /** @type {number[]} */ this.attempt = [];
    /** @type {boolean[]} whether the record of another run answered */ this.taped = [];
    /** @type {string[][]} what the guard decided */ this.decided = [];
    /** @type {number[]} milliseconds since the run began */ this.start = [];
    /** @type {(number | null)[]} */ this.duration = [];
    /** @type {number[]} */ this.tokens = [];
    /** @type {Map<number, number>} */ this.places = new Map();
    /** @type {Map<string, number>} */ this.lanePlaces = new Map([["", 0]]);
    /** @type {Lane[]} */ this.lanes = [lane("", "", -1, -1)];
    this.began = 0;
    this.now = 0;
  }

  /** Take what the server's outline holds. @param {any} outline */
  load(outline) {
    this.began = Date.parse(outline.began_at);
    outline.seq.forEach((/** @type {number} */ seq, /** @type {number} */ at) => {
      const place = this.add(seq, outline.lanes[outline.lane[at]], outline.kinds[outline.kind[at]], outline.names[outline.name[at]]);
      const took = outline.duration_us[at];
      this.status[place] = outline.statuses[outline.status_of[at]];
      this.attempt[place] = outline.attempt[at];
      this.taped[place] = Boolean(outline.taped[at]);
      this.decided[place] = outline.decisions[outline.decided[at]];
      this.start[place] = outline.start_us[at] / 1000;
      this.duration[place] = took === null ? null : took / 1000;
      this.tokens[place] = outline.input_tokens[at] + outline.output_tokens[at];
    });
    for (const each of this.lanes) each.isOpen = each.depth < 0 || this.seq.length <= LANES_OPEN;
  }

  /** A step that begins, or the one that is known by that number. @param {number} seq @param {string} path @param {string} kind @param {string} name */
  add(seq, path, kind, name) {
    const known = this.places.get(seq);
    if (known !== undefined) return known;
    const place = this.seq.push(seq) - 1;
    this.places.set(seq, place);
    this.lane.push(this.lanePlace(path));
    this.kind.push(kind);
    this.name.push(name);
    this.status.push("running");
    this.attempt.push(1);
    this.taped.push(false);
    this.decided.push([]);
    this.start.push(0);
    this.duration.push(null);
    this.tokens.push(0);
    this.lanes[this.lane[place]].rows.push(place);
    return place;
  }

  /** @param {string} path */
  lanePlace(path) {
    const known = this.lanePlaces.get(path);
    if (known !== undefined) return known;
    const cut = path.lastIndexOf("/");
    const parent = this.lanePlace(path.slice(0, Math.max(cut, 0)));
    const place = this.lanes.push(lane(path, path.slice(cut + 1), this.lanes[parent].depth + 1, parent)) - 1;
    this.lanes[place].isOpen = this.seq.length <= LANES_OPEN;
    this.lanes[parent].rows.push(-1 - place);
    this.lanePlaces.set(path, place);
    return place;
  }

  /** Take what happened. @param {any[]} events */
  apply(events) {
    for (const event of events) {
      const at = Date.parse(event.ts) - this.began;
      this.now = Math.max(this.now, at);
      if (event.type === "step.started") {
        const place = this.add(event.seq, event.lane ?? "", event.kind, event.name);
        this.start[place] = at;
        continue;
      }
      const place = this.places.get(event.step_id);
      if (place === undefined) continue;
      if (event.type === "step.restarted") this.attempt[place] = event.attempt;
      if (event.type === "guard.decided") this.decide(place, `${event.layer} ${event.action}`);
      if (event.type !== "step.completed" && event.type !== "step.failed") continue;
      this.status[place] = event.type === "step.completed" ? "completed" : event.is_unknown ? "unknown" : "failed";
      this.taped[place] = event.taped != null;
      this.duration[place] = at - this.start[place];
      this.tokens[place] = (event.usage?.input_tokens ?? 0) + (event.usage?.output_tokens ?? 0);
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

  /** The lane that a row stands in. @param {number} row */
  laneOf(row) {
    return row < 0 ? this.lanes[-1 - row].parent : this.lane[row];
  }

  /** Open the lanes around a row. @param {number} row */
  reveal(row) {
    for (let at = this.laneOf(row); at > 0; at = this.lanes[at].parent) this.lanes[at].isOpen = true;
  }

  /** The rows that are shown, in the order of the tree. @param {View} view @param {boolean} [isWhole] with closed lanes @returns {Rows} */
  rows(view, isWhole = false) {
    const words = view.query.toLowerCase();
    /** @type {Rows} */
    const found = { rows: [], depths: [], errors: 0, shown: 0 };
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
      Object.assign(each, { start: Infinity, end: 0, steps: 0, errors: 0, tokens: 0 });
      for (const row of each.rows) {
        if (row < 0) {
          const inner = this.lanes[-1 - row];
          const length = found.rows.length;
          if (!isHidden) push(row, inner.depth);
          walk(inner, isHidden || !(inner.isOpen || isWhole || words));
          if (!inner.steps) found.rows.length = found.depths.length = length;
          add(each, inner.start, inner.end, inner.tokens, inner.errors, inner.steps);
        } else if (isShown(row)) {
          if (!isHidden) push(row, each.depth + 1);
          add(each, this.start[row], this.end(row), this.tokens[row], this.isError(row) ? 1 : 0, 1);
        }
      }
    };
    const push = (/** @type {number} */ row, /** @type {number} */ depth) => {
      found.rows.push(row);
      found.depths.push(depth);
    };
    walk(this.lanes[0], false);
    found.errors = this.lanes[0].errors;
    found.shown = this.lanes[0].steps;
    return found;
  }

  /** Whether the short level would show nothing. */
  isAllFine() {
    return !this.kind.some((kind) => PLAIN.has(kind));
  }

  /** Time without long stretches in which nothing happened. */
  axis() {
    let busy = 0;
    let end = 0;
    for (let at = 0; at < this.seq.length; at++) {
      const stop = this.end(at);
      if (stop > end) busy += stop - Math.max(end, this.start[at]);
      end = Math.max(end, stop);
    }
    const least = Math.max(FOLD_MS, busy * FOLD_SHARE);
    const axis = new Axis(Math.max(busy * FOLDED_SHARE, 1));
    end = 0;
    for (let at = 0; at < this.seq.length; at++) {
      if (this.start[at] - end > least) axis.fold(end, this.start[at]);
      end = Math.max(end, this.end(at));
    }
    axis.close(Math.max(end, 1));
    return axis;
  }
}

/** From milliseconds to a place on a line on which idle time is short. */
export class Axis {
  /** @param {number} folded what is left of an idle stretch */
  constructor(folded) {
    this.folded = folded;
    /** @type {{from: number, to: number, at: number}[]} */ this.gaps = [];
    this.saved = 0;
    this.end = 0;
    this.length = 1;
  }

  /** @param {number} from @param {number} to */
  fold(from, to) {
    this.gaps.push({ from, to, at: from - this.saved });
    this.saved += Math.max(0, to - from - this.folded);
  }

  /** @param {number} end */
  close(end) {
    this.end = end;
    this.length = end - this.saved;
  }

  /** @param {number} time */
  place(time) {
    let low = 0;
    let high = this.gaps.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.gaps[middle].from < time) low = middle + 1;
      else high = middle;
    }
    const gap = this.gaps[low - 1];
    if (!gap) return time;
    if (time >= gap.to) return gap.at + this.folded + (time - gap.to);
    return gap.at + (this.folded * (time - gap.from)) / (gap.to - gap.from);
  }

  /** The time at a place. @param {number} place */
  time(place) {
    let time = place;
    for (const gap of this.gaps) {
      if (place <= gap.at) break;
      if (place < gap.at + this.folded) return gap.from + ((gap.to - gap.from) * (place - gap.at)) / this.folded;
      time = gap.to + (place - gap.at - this.folded);
    }
    return time;
  }
}

/** @param {string} path @param {string} name @param {number} depth @param {number} parent @returns {Lane} */
function lane(path, name, depth, parent) {
  return { path, name, depth, parent, rows: [], isOpen: true, start: 0, end: 0, steps: 0, errors: 0, tokens: 0 };
}

/** @param {Lane} each @param {number} start @param {number} end @param {number} tokens @param {number} errors @param {number} steps */
function add(each, start, end, tokens, errors, steps) {
  each.start = Math.min(each.start, start);
  each.end = Math.max(each.end, end);
  each.tokens += tokens;
  each.errors += errors;
  each.steps += steps;
}
