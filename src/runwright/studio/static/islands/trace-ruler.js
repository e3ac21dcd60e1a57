/**
 * The times above the bars, and how long the idle stretches are that were folded.
 */

import { span } from "./trace-look.js";
import { make } from "./trace-rows.js";

const TICKS = 5;
const GAPS = 4;
/** What a label takes: pixels of a character, and around its text. */
const WIDE_PX = 6.2;
const AROUND_PX = 8;

/** @typedef {[number, string, string]} Mark percent, text, class */

export class Ruler {
  constructor() {
    this.element = make("div", "ruler");
    this.scale = this.element.appendChild(document.createElement("div"));
    this.said = "";
    this.room = 0;
  }

  /** @param {import("./trace-axis.js").Axis} axis @param {number} left @param {number} width what of it is in view */
  draw(axis, left, width) {
    this.room ||= Math.max(1, this.scale.clientWidth);
    /** @type {Mark[]} */
    const marks = [];
    for (const gap of axis.gaps) {
      const at = (100 * (gap.at - left)) / width;
      if (at < 0 || at >= 100 || marks.length >= GAPS) continue;
      this.put(marks, [at, `⋯ ${span(gap.to - gap.from)} idle`, at > 75 ? "gap late" : "gap"]);
    }
    for (let at = 0; at < TICKS; at++) {
      this.put(marks, [(100 * at) / TICKS, span(Math.max(0, axis.time(left + (width * at) / TICKS))), "tick"]);
    }
    const said = marks.map((mark) => mark.join(" ")).join();
    if (said === this.said) return;
    this.said = said;
    this.scale.replaceChildren(...marks.map(mark));
  }

  /** Add a label where none is in its way. @param {Mark[]} marks @param {Mark} added */
  put(marks, added) {
    const [from, to] = this.extent(added);
    const isFree = marks.every((each) => {
      const [left, right] = this.extent(each);
      return to <= left || from >= right;
    });
    if (isFree) marks.push(added);
  }

  /** From where to where a label goes, in pixels. @param {Mark} of @returns {[number, number]} */
  extent([percent, text, name]) {
    const at = (percent * this.room) / 100;
    const size = text.length * WIDE_PX + AROUND_PX;
    return name === "gap late" ? [at - size, at] : [at, at + size];
  }
}

/** @param {Mark} of */
function mark([left, text, name]) {
  const made = make("span", name);
  made.style.left = `${left}%`;
  made.textContent = text;
  return made;
}
