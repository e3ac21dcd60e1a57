/**
 * A run at work, and those below it that are here: what happens in them is heard, and the parts of the page that tell of
 * it are fetched anew.
 */

import { isWritten, renew } from "./fragments.js";

const FOLLOWED = 8; // runs; others are fetched anew when the steps that began them end
const SOON_MS = 100;
const LIST_MS = 1000;
const TICK_MS = 1000;
const ENDS = new Set(["step.completed", "step.failed"]);

export class Live {
  /** @param {any} trace the element `trace-waterfall` @param {AbortSignal} signal */
  constructor(trace, signal) {
    this.trace = trace;
    /** @type {Map<string, number>} timers by the parts of the page that they fetch */ this.asking = new Map();
    document.addEventListener("live:run", (event) => this.hear(/** @type {CustomEvent} */ (event).detail), { signal });
    this.clock = setInterval(() => this.tick(), TICK_MS);
    signal.addEventListener("abort", () => {
      clearInterval(this.clock);
      for (const timer of this.asking.values()) clearTimeout(timer);
    });
  }

  /** @param {string} run @param {number} after */
  follow(run, after) {
    const feeds = [...this.trace.querySelectorAll("live-feed")];
    if (feeds.length >= FOLLOWED || feeds.some((feed) => feed.getAttribute("run") === run)) return;
    const feed = document.createElement("live-feed");
    for (const [name, value] of Object.entries({ src: this.trace.getAttribute("live") ?? "", run, after: `${after}` })) feed.setAttribute(name, value);
    this.trace.append(feed);
  }

  /** @param {{run: string, events: any[], is_over: boolean}} told */
  hear({ run, events, is_over }) {
    const { steps } = this.trace;
    const at = steps.runs.findIndex((/** @type {{id: string}} */ each) => each.id === run);
    if (at < 0) return;
    steps.apply(events, at);
    steps.runs[at].isOver ||= is_over;
    this.redraw();
    this.settle(is_over ? begunBy(steps, at) : events.filter((each) => ENDS.has(each.type)).map((each) => steps.runs[at].places.get(each.step_id)));
    if (at > 0 && is_over) this.trace.querySelector(`live-feed[run="${CSS.escape(run)}"]`)?.remove();
    if (at === 0) this.tell(events, is_over);
  }

  /** Show what became of the run that the page is about; what somebody reads below stays. @param {any[]} events @param {boolean} isOver */
  tell(events, isOver) {
    const last = events.findLast((each) => each.type.startsWith("run."));
    if (last) {
      this.trace.isLive = last.type !== "run.waiting" && !isOver;
      this.renew("output");
      this.renew("summary");
    }
    const { runs, kind } = this.trace.steps;
    if (last || events.some((each) => kind[runs[0].places.get(each.step_id ?? each.seq)] === "child")) this.renew("begun-runs", LIST_MS);
    if (!isOver) return;
    this.trace.isLive = false;
    clearInterval(this.clock);
    this.trace.relayout();
  }

  /** Fetch anew the runs that ended with the steps that began them: not all are followed. @param {Iterable<number>} rows */
  async settle(rows) {
    const { steps, nested } = this.trace;
    for (const row of rows) {
      const run = steps.begun.get(row);
      if (run === undefined || steps.runs[run].isOver || !(await nested.fetch(row))) continue;
      this.redraw();
      if (steps.runs[run].isOver) await this.settle(begunBy(steps, run));
    }
  }

  /** Fetch a part of the page anew, once for all that comes until then; not under who writes there. @param {string} id @param {number} [delay] */
  renew(id, delay = SOON_MS) {
    if (this.asking.has(id)) return;
    const ask = () => {
      this.asking.delete(id);
      const part = document.getElementById(id);
      if (part && isWritten(part)) this.renew(id, TICK_MS);
      else renew(id);
    };
    this.asking.set(id, setTimeout(ask, delay));
  }

  /** While steps run their bars grow. */
  tick() {
    const { steps, isLive } = this.trace;
    if (!isLive || document.hidden) return;
    steps.now = Math.max(steps.now, Date.now() - steps.began);
    this.redraw();
  }

  redraw() {
    this.trace.isStale = true;
    this.trace.later();
  }
}

/** The steps of a run that began others which are here. @param {import("./trace-steps.js").Steps} steps @param {number} run */
function begunBy(steps, run) {
  return [...steps.begun.keys()].filter((place) => steps.run[place] === run);
}
