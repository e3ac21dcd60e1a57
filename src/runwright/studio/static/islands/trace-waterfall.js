/**
 * `<trace-waterfall runs live run compare [over]>`: the steps of a run as a tree beside their times.
 *
 * `runs` is the address before the id of a run, `live` the stream of a run that is not over, `compare` where `c` leads.
 * A step that began a run opens it. What is shown stands in the address of the page.
 */

import { load } from "./fragments.js";
import { OPENED, read, remember } from "./trace-address.js";
import { axisOf } from "./trace-axis.js";
import { bindKeys } from "./trace-keys.js";
import { Live } from "./trace-live.js";
import { look } from "./trace-look.js";
import { Minimap } from "./trace-minimap.js";
import { Nested } from "./trace-nested.js";
import { RowList, make } from "./trace-rows.js";
import { Ruler } from "./trace-ruler.js";
import { Steps } from "./trace-steps.js";
import { toolbar } from "./trace-toolbar.js";

const STEPS = 100_000;
const MAP_MS = 400;
const MISSED = "what it began could not be fetched, try again";

class TraceWaterfall extends HTMLElement {
  async connectedCallback() {
    this.gone = new AbortController();
    const [runs, run] = [this.getAttribute("runs") ?? "", this.getAttribute("run") ?? ""];
    const answer = await fetch(`${runs}${run}/steps.json?limit=${STEPS}`, { signal: this.gone.signal }).catch(() => null);
    if (!answer?.ok) return; // The plain list stays.
    const outline = await answer.json();
    this.steps = new Steps();
    this.steps.load(outline);
    if (!outline.seq.length && this.hasAttribute("over")) return;
    const { signal } = this.gone;
    this.nested = new Nested(this.steps, { address: runs, signal, follow: (id, after) => this.live?.follow(id, after) });
    const given = read();
    this.isRestoring = true;
    /** What the address names and is not shown yet. */
    this.kept = { step: given.step, open: given.open.slice(OPENED) };
    this.view = { ...given, isFull: given.isFull || this.steps.isAllFine() };
    this.opened = this.steps.runs[0].places.get(Number(given.step)) ?? null;
    this.build();
    this.isLive = !this.hasAttribute("over") && !outline.is_lost && outline.status !== "waiting";
    this.steps.rows(this.view); // Only then it is known how far they reach.
    this.steps.now = this.isLive ? Date.now() - this.steps.began : this.steps.lanes[0].end;
    if (!this.hasAttribute("over")) {
      this.live = new Live(this, signal);
      this.live.follow(run, outline.last_seq);
    }
    this.relayout();
    if (this.opened !== null) this.select(this.opened, true);
    await this.restore(given).finally(() => (this.isRestoring = false));
    if (!signal.aborted) remember(this);
  }

  /** Open the runs below that the address names. @param {import("./trace-address.js").Given} given */
  async restore({ step, open }) {
    for (const address of open.slice(0, OPENED)) {
      const row = await this.nested.reach(address);
      if (row !== null) await this.toggle(row, true);
      if (row === null || !this.steps.opens(row)) this.kept.open.push(address);
    }
    const row = step.includes(".") ? await this.nested.reach(step) : null;
    if (row !== null) this.select(row, true);
  }

  disconnectedCallback() {
    this.gone?.abort();
  }

  build() {
    this.map = make("div", "minimap");
    this.ruler = new Ruler();
    this.tree = make("div", "rows");
    for (const [name, value] of Object.entries({ role: "tree", tabindex: "0", "aria-label": "Steps" })) this.tree.setAttribute(name, value);
    this.bar = toolbar(this.steps, this.view, { change: () => this.relayout(true), fit: () => this.fit() });
    this.replaceChildren(this.bar.form, this.map, this.ruler.element, this.tree);
    const { signal } = /** @type {AbortController} */ (this.gone);
    this.list = new RowList(this.tree, (row) => look(this, row), signal);
    this.minimap = new Minimap(this.map, (from, to) => this.zoom(from, to));
    this.tree.addEventListener("scroll", () => this.later(), { signal, passive: true });
    this.tree.addEventListener("click", (event) => this.click(event), { signal });
    const resized = new ResizeObserver(() => {
      this.list.height = this.ruler.room = 0;
      this.isStale = true;
      this.later();
      this.drawMap();
    });
    resized.observe(this.tree);
    signal.addEventListener("abort", () => resized.disconnect());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.drawMap(), { signal });
    bindKeys(this, signal);
  }

  /** Draw in the next frame, whatever comes until then. */
  later() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      if (this.isStale) this.relayout();
      else this.list.draw();
    });
  }

  /** Find out anew which rows there are. @param {boolean} [isAsked] by the person who looks */
  relayout(isAsked = false) {
    this.isStale = false;
    const found = this.steps.rows(this.view);
    this.list.set(found);
    this.axis = axisOf(this.steps, this.view.isWhole);
    const isZoomed = this.view.from > -Infinity;
    this.left = isZoomed ? this.axis.place(Math.max(0, this.view.from)) : 0;
    this.width = Math.max(0.001, (isZoomed ? this.axis.place(Math.min(this.axis.end, this.view.to)) : this.axis.length) - this.left);
    this.bar.count(found, this.steps.seq.length);
    this.ruler.draw(this.axis, this.left, this.width);
    this.list.draw();
    if (isAsked || !this.drawn || performance.now() - this.drawn > MAP_MS || !this.isLive) this.drawMap();
    if (isAsked) remember(this);
  }

  drawMap() {
    this.drawn = performance.now();
    this.minimap.draw(this.steps, this.axis, (kind) => getComputedStyle(this.bar.key(kind)).color);
    this.minimap.mark(this.left / this.axis.length, (this.left + this.width) / this.axis.length);
  }

  /** Where a time stands in what is shown, in percent. @param {number} start @param {number} end */
  place(start, end) {
    const [left, right] = [start, end].map((time) => Math.min(100, Math.max(0, (100 * (this.axis.place(time) - this.left)) / this.width)));
    return { left: round(left), width: round(Math.max(0.15, right - left)) };
  }

  /** @param {MouseEvent} event */
  click(event) {
    const target = event.target instanceof Element ? event.target : null;
    const element = target?.closest("[data-row]");
    if (!target || !(element instanceof HTMLElement)) return;
    const row = Number(element.dataset.row);
    const isTwist = row < 0 || (this.steps.isNest(row) && target.matches(".glyph"));
    if (isTwist) this.toggle(row);
    this.select(row, !isTwist);
  }

  /** Open or close what is below a row. @param {number} row @param {boolean} [asked] */
  async toggle(row, asked) {
    const isOpen = asked ?? !this.steps.opens(row)?.isOpen;
    if (isOpen && row >= 0) await this.fetch(row);
    const lane = this.steps.opens(row);
    if (lane) lane.isOpen = isOpen;
    this.relayout(row >= 0);
  }

  /** Have what a step began, or say that it does not come. @param {number} row */
  async fetch(row) {
    const told = document.getElementById("told");
    if (told) told.textContent = "";
    this.tree.setAttribute("aria-busy", "true");
    try {
      await this.nested.fetch(row);
    } finally {
      this.tree.removeAttribute("aria-busy");
    }
    if (told && this.steps.missed.has(row)) told.textContent = MISSED;
  }

  /** Choose a row, and see its step. @param {number} row @param {boolean} [isOpened] */
  select(row, isOpened = false) {
    if (!this.list.rows.includes(row)) {
      this.steps.reveal(row);
      this.relayout();
    }
    const index = this.list.rows.indexOf(row);
    if (index < 0) return;
    this.list.selected = row;
    this.list.scrollTo(index);
    if (isOpened && row >= 0) this.open(row);
    this.list.draw();
    remember(this);
  }

  /** @param {number} row */
  open(row) {
    if (row === this.opened && document.querySelector("#step .facts")) return;
    this.opened = row;
    load("step", `${this.getAttribute("runs")}${this.steps.runs[this.steps.run[row]].id}/steps/${this.steps.seq[row]}`);
  }

  /** @param {number} from @param {number} to */
  zoom(from, to) {
    const [left, right] = [from, to].map((share) => this.axis.time(share * this.axis.length));
    Object.assign(this.view, from <= 0 && to >= 1 ? { from: -Infinity, to: Infinity } : { from: left, to: right });
    this.relayout(true);
  }

  /** Zoom to the chosen row, or out again. */
  fit() {
    const row = this.list.selected;
    if (this.view.from > -Infinity || row === null) return this.zoom(0, 1);
    const [start, end] = row < 0 ? [this.steps.lanes[-1 - row].start, this.steps.lanes[-1 - row].end] : [this.steps.start[row], this.steps.end(row)];
    this.zoom(this.axis.place(start) / this.axis.length, Math.max(this.axis.place(end), this.axis.place(start) + 1) / this.axis.length - 1e-9);
  }
}

/** @param {number} share */
function round(share) {
  return Math.round(share * 100) / 100;
}

customElements.define("trace-waterfall", TraceWaterfall);
