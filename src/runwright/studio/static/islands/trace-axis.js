/**
 * Time without long stretches in which nothing happened.
 */

const FOLD_SHARE = 0.2;
const FOLD_MS = 500;
const FOLDED_SHARE = 0.03;

/** The line that steps stand on. What a step began lies within it, so the order of the others is that of time. @param {import("./trace-steps.js").Steps} steps @param {boolean} isWhole with the idle stretches as long as they are */
export function axisOf(steps, isWhole) {
  let busy = 0;
  let end = 0;
  for (let at = 0; at < steps.seq.length; at++) {
    const stop = steps.end(at);
    if (stop > end) busy += stop - Math.max(end, steps.start[at]);
    end = Math.max(end, stop);
  }
  const least = Math.max(FOLD_MS, busy * FOLD_SHARE);
  const axis = new Axis(Math.max(busy * FOLDED_SHARE, 1));
  end = 0;
  for (let at = 0; at < steps.seq.length; at++) {
    if (!isWhole && steps.start[at] - end > least) axis.fold(end, steps.start[at]);
    end = Math.max(end, steps.end(at));
  }
  axis.close(Math.max(end, 1));
  return axis;
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
