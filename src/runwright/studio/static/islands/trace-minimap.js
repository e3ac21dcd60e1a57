/**
 * The whole run on a strip: every step a line, and a brush that says which part is shown.
 */

const HEIGHT = 44;

export class Minimap {
  /** @param {HTMLElement} strip @param {(from: number, to: number) => void} zoom shares of the strip, or 0 and 1 */
  constructor(strip, zoom) {
    this.strip = strip;
    this.canvas = document.createElement("canvas");
    this.canvas.height = HEIGHT;
    this.canvas.setAttribute("aria-hidden", "true");
    this.brush = document.createElement("div");
    this.brush.className = "brush";
    strip.append(this.canvas, this.brush);
    /** @type {number | null} */ this.begun = null;
    strip.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      strip.setPointerCapture(event.pointerId);
      this.begun = this.share(event);
    });
    strip.addEventListener("pointermove", (event) => {
      if (this.begun !== null) this.mark(Math.min(this.begun, this.share(event)), Math.max(this.begun, this.share(event)));
    });
    strip.addEventListener("pointerup", (event) => {
      if (this.begun === null) return;
      const [from, to] = [this.begun, this.share(event)].sort((a, b) => a - b);
      this.begun = null;
      if (to - from < 0.005) zoom(0, 1);
      else zoom(from, to);
    });
  }

  /** @param {PointerEvent} event */
  share(event) {
    const box = this.strip.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
  }

  /** Show which part is in view. @param {number} from @param {number} to */
  mark(from, to) {
    this.brush.hidden = from <= 0 && to >= 1;
    this.brush.style.left = `${from * 100}%`;
    this.brush.style.width = `${(to - from) * 100}%`;
  }

  /** @param {import("./trace-steps.js").Steps} steps @param {import("./trace-axis.js").Axis} axis @param {(kind: string) => string} colour */
  draw(steps, axis, colour) {
    const width = Math.max(1, this.strip.clientWidth);
    const scale = Math.min(2, window.devicePixelRatio || 1);
    this.canvas.width = width * scale;
    this.canvas.height = HEIGHT * scale;
    const pen = this.canvas.getContext("2d");
    if (!pen) return;
    pen.scale(scale, scale);
    const count = steps.seq.length;
    const tall = Math.max(1, Math.min(6, (HEIGHT - 4) / Math.max(count, 1)));
    // The end of the line before, by row of pixels: a step that nobody could tell from it is left out.
    const drawn = new Float64Array(HEIGHT + 1).fill(-1);
    let last = "";
    for (let at = 0; at < count; at++) {
      const left = (axis.place(steps.start[at]) / axis.length) * width;
      const right = Math.max(left + 1, (axis.place(steps.end(at)) / axis.length) * width);
      const top = 2 + (count > 1 ? (at / (count - 1)) * (HEIGHT - 4 - tall) : 0);
      const line = Math.round(top);
      const isError = steps.isError(at);
      if (right <= drawn[line] && !isError) continue;
      drawn[line] = right;
      const kind = isError ? "failed" : steps.kind[at];
      if (kind !== last) pen.fillStyle = colour((last = kind));
      pen.fillRect(left, top, right - left, isError ? Math.max(2, tall) : tall);
    }
  }
}
