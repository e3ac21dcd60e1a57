/**
 * `<trace-waterfall src steps live run compare [over]>`: the steps of a run as a tree beside their times.
 *
 * `src` is the outline, `steps` the address before the number of a step, `live` the stream of a run that is not
 * over, `compare` where `c` leads. What is shown stands in the address of the page.
 */

import { isWritten, load } from "./fragments.js";
import { bindKeys } from "./trace-keys.js";
import { marks } from "./trace-marks.js";
import { Minimap } from "./trace-minimap.js";
import { RowList, brief, make, sign, span } from "./trace-rows.js";
import { Ruler } from "./trace-ruler.js";
import { Steps } from "./trace-steps.js";
import { toolbar } from "./trace-toolbar.js";

const SETTLED_MS = 150;
const MAP_MS = 400;
const WRITTEN_MS = 1000;

class TraceWaterfall extends HTMLElement {
  async connectedCallback() {
    this.gone = new AbortController();
    const answer = await fetch(this.getAttribute("src") ?? "", { signal: this.gone.signal }).catch(() => null);
    if (!answer?.ok) return; // The plain list stays.
    const outline = await answer.json();
    this.steps = new Steps();
    this.steps.load(outline);
    if (!outline.seq.length && this.hasAttribute("over")) return;
    this.read();
    this.build();
    this.isLive = !this.hasAttribute("over") && !outline.is_lost;
    this.steps.now = this.isLive && outline.status === "running" ? Date.now() - this.steps.began : this.steps.lanes[0].end;
    if (!this.hasAttribute("over")) this.listen(outline.last_seq);
    this.relayout();
    if (this.opened !== null) this.select(this.opened, true);
  }

  disconnectedCallback() {
    this.gone?.abort();
    clearInterval(this.clock);
    clearTimeout(this.asking);
  }

  /** What the address says. */
  read() {
    const given = new URLSearchParams(location.search);
    const [from, to] = (given.get("zoom") ?? "").split("~").map(Number);
    this.view = { query: given.get("q") ?? "", isFull: given.get("level") === "full" || this.steps.isAllFine(), from: -Infinity, to: Infinity };
    if (to > from) Object.assign(this.view, { from, to });
    const seq = Number(given.get("step") ?? NaN);
    this.opened = this.steps.places.get(seq) ?? null;
  }

  build() {
    this.map = make("div", "minimap");
    this.ruler = new Ruler();
    this.tree = make("div", "rows");
    for (const [name, value] of Object.entries({ role: "tree", tabindex: "0", "aria-label": "Steps" })) this.tree.setAttribute(name, value);
    this.bar = toolbar(this.steps, this.view, {
      change: () => this.relayout(true),
      fit: () => this.fit(),
    });
    this.replaceChildren(this.bar.form, this.map, this.ruler.element, this.tree);
    this.list = new RowList(this.tree, (row) => this.show(row));
    this.minimap = new Minimap(this.map, (from, to) => this.zoom(from, to));
    const { signal } = /** @type {AbortController} */ (this.gone);
    this.tree.addEventListener("scroll", () => this.later(), { signal, passive: true });
    this.tree.addEventListener("click", (event) => this.click(event), { signal });
    const resized = new ResizeObserver(() => {
      this.list.height = 0;
      this.later();
      this.drawMap();
    });
    resized.observe(this.tree);
    signal.addEventListener("abort", () => resized.disconnect());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.drawMap(), { signal });
    bindKeys(this, signal);
  }

  /** @param {number} after */
  listen(after) {
    const run = this.getAttribute("run") ?? "";
    const { signal } = /** @type {AbortController} */ (this.gone);
    document.addEventListener("live:run", (event) => this.hear(/** @type {CustomEvent} */ (event).detail), { signal });
    const feed = document.createElement("live-feed");
    for (const [name, value] of Object.entries({ src: this.getAttribute("live") ?? "", run, after: `${after}` })) feed.setAttribute(name, value);
    this.append(feed);
    this.clock = setInterval(() => this.tick(), 1000);
  }

  /** @param {{run: string, events: any[], is_over: boolean}} told */
  hear({ run, events, is_over }) {
    if (run !== this.getAttribute("run")) return;
    this.steps.apply(events);
    this.isStale = true;
    if (events.some((each) => each.type.startsWith("run."))) {
      this.isLive = events.findLast((each) => each.type.startsWith("run.")).type !== "run.waiting" && !is_over;
      // The new status and output; what somebody reads below stays.
      load("output", location.href);
      this.summarize();
    }
    if (is_over) {
      this.isLive = false;
      clearInterval(this.clock);
      this.relayout();
    }
    this.later();
  }

  /** Fetch the status anew; not under who answers there. */
  summarize() {
    clearTimeout(this.asking);
    const summary = document.getElementById("summary");
    if (!summary || !isWritten(summary)) return load("summary", location.href);
    this.asking = setTimeout(() => this.summarize(), WRITTEN_MS);
  }

  /** While steps run their bars grow. */
  tick() {
    if (!this.isLive || document.hidden) return;
    this.steps.now = Math.max(this.steps.now, Date.now() - this.steps.began);
    this.isStale = true;
    this.later();
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
    this.list.set(found.rows, found.depths);
    this.axis = this.steps.axis();
    const isZoomed = this.view.from > -Infinity;
    this.left = isZoomed ? this.axis.place(Math.max(0, this.view.from)) : 0;
    this.width = Math.max(0.001, (isZoomed ? this.axis.place(Math.min(this.axis.end, this.view.to)) : this.axis.length) - this.left);
    this.bar.count(found, this.steps.seq.length);
    this.ruler.draw(this.axis, this.left, this.width);
    this.list.draw();
    if (isAsked || !this.drawn || performance.now() - this.drawn > MAP_MS || !this.isLive) this.drawMap();
    if (isAsked) this.remember();
  }

  drawMap() {
    this.drawn = performance.now();
    this.minimap.draw(this.steps, this.axis, (kind) => getComputedStyle(this.bar.key(kind)).color);
    this.minimap.mark(this.left / this.axis.length, (this.left + this.width) / this.axis.length);
  }

  /** How a row looks. @param {number} row @returns {import("./trace-rows.js").Shown} */
  show(row) {
    const { steps } = this;
    const isLane = row < 0;
    const lane = steps.lanes[-1 - row];
    const [start, end] = isLane ? [lane.start, lane.end] : [steps.start[row], steps.end(row)];
    const left = Math.min(100, Math.max(0, (100 * (this.axis.place(start) - this.left)) / this.width));
    const right = Math.min(100, Math.max(0, (100 * (this.axis.place(end) - this.left)) / this.width));
    const place = { left: round(left), width: round(Math.max(0.15, right - left)) };
    if (isLane) {
      const label = `${brief(lane.name)} (${lane.steps})${lane.errors ? ` ✗ ${lane.errors}` : ""}`;
      const isOpen = lane.isOpen || Boolean(this.view.query);
      const spoken = `lane ${brief(lane.name)}, ${lane.steps} steps, ${lane.errors} errors`;
      return { ...place, glyph: isOpen ? "▾" : "▸", kind: "lane", label, marks: "", told: "", meta: span(end - start), state: lane.errors ? "failed" : "", spoken, isOpen };
    }
    const status = steps.status[row];
    const isError = steps.isError(row);
    const took = steps.duration[row] === null ? status : span(end - start);
    const label = `${isError ? "✗ " : ""}${brief(steps.name[row])}`;
    const told = marks({ attempt: steps.attempt[row], isTaped: steps.taped[row], decided: steps.decided[row] }, this.view.isFull);
    const tokens = steps.tokens[row] ? `${steps.tokens[row]} tok · ` : "";
    const state = `${isError ? "failed" : status}${row === this.opened ? " opened" : ""}`;
    const spoken = `${steps.kind[row]} ${brief(steps.name[row])}, ${status}, ${span(end - start)}${told.long && `, ${told.long}`}`;
    return { ...place, glyph: sign(steps.kind[row]), kind: steps.kind[row], label, marks: told.short, told: told.long, meta: tokens + took, state, spoken, isOpen: null };
  }

  /** @param {MouseEvent} event */
  click(event) {
    const element = event.target instanceof Element && event.target.closest("[data-row]");
    if (!(element instanceof HTMLElement)) return;
    const row = Number(element.dataset.row);
    if (row < 0) this.toggle(row);
    this.select(row, row >= 0);
  }

  /** @param {number} row @param {boolean} [isOpen] */
  toggle(row, isOpen) {
    const lane = this.steps.lanes[-1 - row];
    lane.isOpen = isOpen ?? !lane.isOpen;
    this.relayout();
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
    this.remember();
  }

  /** @param {number} row */
  open(row) {
    if (row === this.opened && document.querySelector("#step .facts")) return;
    this.opened = row;
    load("step", `${this.getAttribute("steps")}${this.steps.seq[row]}`);
  }

  /** @param {number} from @param {number} to */
  zoom(from, to) {
    const isWhole = from <= 0 && to >= 1;
    this.view.from = isWhole ? -Infinity : this.axis.time(from * this.axis.length);
    this.view.to = isWhole ? Infinity : this.axis.time(to * this.axis.length);
    this.relayout(true);
  }

  /** Zoom to the chosen row, or out again. */
  fit() {
    const row = this.list.selected;
    if (this.view.from > -Infinity || row === null) return this.zoom(0, 1);
    const [start, end] = row < 0 ? [this.steps.lanes[-1 - row].start, this.steps.lanes[-1 - row].end] : [this.steps.start[row], this.steps.end(row)];
    this.zoom(this.axis.place(start) / this.axis.length, Math.max(this.axis.place(end), this.axis.place(start) + 1) / this.axis.length - 1e-9);
  }

  /** Keep in the address what is shown. Browsers do not let it be changed at every key. */
  remember() {
    clearTimeout(this.settling);
    this.settling = setTimeout(() => {
      const url = new URL(location.href);
      const { query, isFull, from, to } = this.view;
      const step = this.opened === null ? null : this.steps.seq[this.opened];
      const zoom = from > -Infinity ? `${Math.floor(from)}~${Math.ceil(to)}` : null;
      for (const [name, value] of Object.entries({ step, q: query || null, level: isFull ? "full" : null, zoom })) {
        if (value === null) url.searchParams.delete(name);
        else url.searchParams.set(name, `${value}`);
      }
      history.replaceState(history.state, "", url);
    }, SETTLED_MS);
  }
}

/** @param {number} share */
function round(share) {
  return Math.round(share * 100) / 100;
}

customElements.define("trace-waterfall", TraceWaterfall);
