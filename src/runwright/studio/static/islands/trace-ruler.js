/**
 * The times above the bars, and how long the idle stretches are that were folded.
 */

import { span } from "./trace-look.js";
import { make } from "./trace-rows.js";

const TICKS = 5;
const GAPS = 4;

export class Ruler {
  constructor() {
    this.element = make("div", "ruler");
    this.scale = this.element.appendChild(document.createElement("div"));
    this.said = "";
  }

  /** @param {import("./trace-axis.js").Axis} axis @param {number} left @param {number} width what of it is in view */
  draw(axis, left, width) {
    /** @type {[number, string, string][]} */
    const marks = [];
    for (let at = 0; at < TICKS; at++) {
      marks.push([(100 * at) / TICKS, span(Math.max(0, axis.time(left + (width * at) / TICKS))), "tick"]);
    }
    for (const gap of axis.gaps) {
      const at = (100 * (gap.at - left)) / width;
      if (at < 0 || at >= 100 || marks.length >= TICKS + GAPS) continue;
      marks.push([at, `⋯ ${span(gap.to - gap.from)} idle`, at > 75 ? "gap late" : "gap"]);
    }
    const said = marks.map((mark) => mark.join(" ")).join();
    if (said === this.said) return;
    this.said = said;
    this.scale.replaceChildren(...marks.map(mark));
  }
}

/** @param {[number, string, string]} of */
function mark([left, text, name]) {
  const made = make("span", name);
  made.style.left = `${left}%`;
  made.textContent = text;
  return made;
}
