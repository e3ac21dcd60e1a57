/**
 * A virtual list: only rows in view are elements. An element stays with its row while that is in view, so that a
 * frame changes what changed and nothing else.
 */

export const ROW_PX = 26;
const AROUND = 4;
/** Rows on paper at the most. */
const PRINTED = 500;
const INDENT_PX = 14;
const SIGNS = { model: "◆", tool: "■", child: "▣", memory: "▤", http: "↔", input: "?", sleep: "◌" };

export class RowList {
  /** @param {HTMLElement} tree @param {(row: number) => import("./trace-look.js").Shown} show @param {AbortSignal} signal */
  constructor(tree, show, signal) {
    this.tree = tree;
    this.show = show;
    this.sheet = document.createElement("div");
    this.sheet.className = "sheet";
    this.sheet.setAttribute("role", "none");
    tree.append(this.sheet);
    /** @type {number[]} */ this.rows = [];
    /** @type {number[]} */ this.depths = [];
    /** @type {number[]} */ this.nths = [];
    /** @type {number[]} */ this.sizes = [];
    /** @type {Map<number, Row>} */ this.held = new Map();
    /** @type {Row[]} */ this.spare = [];
    /** @type {number | null} */ this.selected = null;
    this.height = 0;
    // On paper nothing scrolls.
    window.addEventListener("beforeprint", () => this.print(), { signal });
    window.addEventListener("afterprint", () => (this.height = 0), { signal });
  }

  print() {
    this.tree.scrollTop = 0;
    this.height = Math.min(this.rows.length, PRINTED) * ROW_PX;
    this.draw();
  }

  /** @param {import("./trace-steps.js").Rows} found */
  set({ rows, depths, nths, sizes }) {
    const isAtEnd = this.tree.scrollTop > 0 && this.tree.scrollTop + this.height >= this.rows.length * ROW_PX - 2;
    const isLonger = rows.length > this.rows.length;
    if (rows.length !== this.rows.length) this.sheet.style.height = `${rows.length * ROW_PX}px`;
    Object.assign(this, { rows, depths, nths, sizes });
    if (isAtEnd && isLonger) this.tree.scrollTop = rows.length * ROW_PX;
  }

  /** Make elements of what is in view. */
  draw() {
    this.height ||= this.tree.clientHeight;
    const first = Math.max(0, Math.floor(this.tree.scrollTop / ROW_PX) - AROUND);
    const last = Math.min(this.rows.length, Math.ceil((this.tree.scrollTop + this.height) / ROW_PX) + AROUND);
    const inView = new Set(this.rows.slice(first, last));
    for (const [key, row] of this.held) {
      if (inView.has(key)) continue;
      this.held.delete(key);
      this.spare.push(row);
    }
    for (let index = first; index < last; index++) {
      const key = this.rows[index];
      const row = this.held.get(key) ?? this.take(key);
      const place = { index, depth: this.depths[index], nth: this.nths[index], size: this.sizes[index] };
      row.update(this.show(key), key, place, key === this.selected);
    }
    for (const row of this.spare.splice(0)) row.element.remove();
    const active = this.selected !== null && this.held.get(this.selected);
    if (active) this.tree.setAttribute("aria-activedescendant", active.element.id);
    else this.tree.removeAttribute("aria-activedescendant");
  }

  /** @param {number} key */
  take(key) {
    const row = this.spare.pop() ?? new Row(this.sheet);
    this.held.set(key, row);
    return row;
  }

  /** Scroll so that a row is in view. @param {number} index */
  scrollTo(index) {
    const top = index * ROW_PX;
    if (top < this.tree.scrollTop) this.tree.scrollTop = top;
    else if (top + ROW_PX > this.tree.scrollTop + this.height) this.tree.scrollTop = top + ROW_PX - this.height;
  }
}

class Row {
  /** @param {HTMLElement} sheet */
  constructor(sheet) {
    this.element = make("div", "row");
    this.element.setAttribute("role", "treeitem");
    this.glyph = make("span", "glyph");
    this.label = make("span", "label");
    this.marks = make("span", "marks");
    this.meta = make("span", "meta");
    const track = make("span", "track");
    this.bar = make("i", "bar");
    track.append(this.bar);
    this.element.append(this.glyph, this.label, this.marks, this.meta, track);
    sheet.append(this.element);
    /** @type {Map<string, unknown>} */ this.was = new Map();
  }

  /** @param {import("./trace-look.js").Shown} shown @param {number} key @param {{index: number, depth: number, nth: number, size: number}} place @param {boolean} isSelected */
  update(shown, key, { index, depth, nth, size }, isSelected) {
    const { element, glyph, label, marks, meta, bar } = this;
    this.set("key", key, () => {
      element.id = `row${key}`;
      element.dataset.row = `${key}`;
    });
    this.set("top", index, () => (element.style.top = `${index * ROW_PX}px`));
    this.set("nth", nth, () => element.setAttribute("aria-posinset", `${nth}`));
    this.set("size", size, () => element.setAttribute("aria-setsize", `${size}`));
    this.set("depth", depth, () => {
      glyph.style.marginLeft = `${depth * INDENT_PX}px`;
      element.setAttribute("aria-level", `${depth + 1}`);
    });
    this.set("look", `${shown.kind} ${shown.state}`, () => (element.className = `row ${shown.kind} ${shown.state}`));
    this.set("glyph", shown.glyph, () => (glyph.textContent = shown.glyph));
    this.set("label", shown.label, () => (label.textContent = shown.label));
    this.set("marks", shown.marks, () => (marks.textContent = shown.marks));
    this.set("told", shown.told, () => (marks.title = shown.told));
    this.set("spent", shown.spent, () => (meta.dataset.spent = shown.spent));
    this.set("took", shown.took, () => (meta.textContent = shown.took));
    this.set("spoken", shown.spoken, () => element.setAttribute("aria-label", shown.spoken));
    this.set("left", shown.left, () => (bar.style.left = `${shown.left}%`));
    this.set("width", shown.width, () => (bar.style.width = `${shown.width}%`));
    this.set("selected", isSelected, () => element.setAttribute("aria-selected", `${isSelected}`));
    this.set("open", shown.isOpen, () => {
      if (shown.isOpen === null) element.removeAttribute("aria-expanded");
      else element.setAttribute("aria-expanded", `${shown.isOpen}`);
    });
  }

  /** Do what a value asks for where it is another one. @param {string} name @param {unknown} value @param {() => void} change */
  set(name, value, change) {
    if (this.was.get(name) === value) return;
    this.was.set(name, value);
    change();
  }
}

/** The sign of a kind of steps. @param {string} kind */
export function sign(kind) {
  return kind in SIGNS ? SIGNS[/** @type {keyof typeof SIGNS} */ (kind)] : "·";
}

/** @param {string} tag @param {string} name */
export function make(tag, name) {
  const made = document.createElement(tag);
  made.className = name;
  return made;
}
