/**
 * `<time-chart every="hour|day" from="ID">` draws the table of that id over time: cost as a line, calls as bars behind
 * it. To drag over it is to ask for that time: `since` and `until` stand in the address. The table says the same in words.
 */

/** @type {any} */
const uPlot = /** @type {any} */ (globalThis).uPlot;
const HEIGHT = 200;
/** Points that are shown at least, so that a single one is no wall. */
const LEAST = 24;

/** @param {string} key `2026-11-22` or `2026-11-22T07`, in UTC */
const seconds = (key) => Date.parse(key.length > 10 ? `${key}:00:00Z` : `${key}T00:00:00Z`) / 1000;

class TimeChart extends HTMLElement {
  connectedCallback() {
    const rows = [...document.querySelectorAll(`#${this.getAttribute("from")} tbody tr`)];
    const points = rows.map((row) => /** @type {HTMLElement} */ (row).dataset);
    this.step = this.getAttribute("every") === "hour" ? 3600 : 86_400;
    const times = points.map((point) => seconds(point.at ?? ""));
    const spent = points.map((point) => Number(point.usd));
    const calls = points.map((point) => Number(point.calls));
    this.draw(this.whole(times, spent, calls));
    this.watcher = new ResizeObserver(() => this.plot?.setSize({ width: this.clientWidth, height: HEIGHT }));
    this.watcher.observe(this);
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.recolour = () => this.plot?.redraw();
    this.scheme.addEventListener("change", this.recolour);
  }

  disconnectedCallback() {
    this.watcher?.disconnect();
    this.scheme?.removeEventListener("change", this.recolour ?? (() => undefined));
    this.plot?.destroy();
  }

  /** Times without a call are nothing, not unknown. @param {number[]} times @param {number[][]} columns */
  whole(times, ...columns) {
    const step = this.step ?? 3600;
    const at = new Map(times.map((time, index) => [time, index]));
    const all = [];
    const last = times[times.length - 1] + step;
    for (let time = Math.min(times[0] - step, last - LEAST * step); time <= last; time += step) all.push(time);
    const filled = columns.map((column) => all.map((time) => (at.has(time) ? column[at.get(time) ?? 0] : 0)));
    return [all, ...filled];
  }

  /** @param {number[][]} data */
  draw(data) {
    const colour = (/** @type {string} */ name) => () => this.colour(name);
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
    const money = (/** @type {any} */ _, /** @type {number[]} */ ticks) => ticks.map((tick) => `$${+tick.toPrecision(3)}`);
    this.plot = new uPlot(
      {
        width: this.clientWidth,
        height: HEIGHT,
        tzDate: (/** @type {number} */ at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
        cursor: { drag: { x: true, y: false, setScale: false } },
        legend: { live: true },
        scales: { calls: { range: (/** @type {any} */ _, /** @type {number} */ __, /** @type {number} */ most) => [0, most || 1] }, y: { range: (/** @type {any} */ _, /** @type {number} */ __, /** @type {number} */ most) => [0, most || 1] } },
        axes: [axis, { ...axis, values: money, size: 64 }, { ...axis, scale: "calls", side: 1, grid: { show: false } }],
        series: [
          { label: "UTC" },
          { label: "cost in USD", stroke: colour("--accent"), width: 2 },
          { label: "calls", scale: "calls", stroke: colour("--line"), fill: colour("--line"), paths: uPlot.paths.bars({ size: [0.7] }), points: { show: false } },
        ],
        hooks: { setSelect: [(/** @type {any} */ plot) => this.zoom(plot)] },
      },
      data,
      this,
    );
  }

  /** The colour as the page has it: `light-dark()` is known to elements alone. @param {string} name */
  colour(name) {
    this.style.color = `var(${name})`;
    const found = getComputedStyle(this).color;
    this.style.color = "";
    return found;
  }

  /** @param {any} plot */
  zoom(plot) {
    if (plot.select.width < 8) return;
    const step = this.step ?? 3600;
    const at = (/** @type {number} */ pixel) => plot.posToVal(pixel, "x");
    const text = (/** @type {number} */ time) => new Date(time * 1000).toISOString().slice(0, 16);
    const address = new URL(location.href);
    address.searchParams.set("since", text(Math.floor(at(plot.select.left) / step) * step));
    address.searchParams.set("until", text(Math.ceil(at(plot.select.left + plot.select.width) / step) * step));
    location.assign(address);
  }
}

customElements.define("time-chart", TimeChart);
