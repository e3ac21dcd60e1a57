/**
 * What every page has: times in the reader's zone, keys, and buttons that copy.
 */

/** @type {[number, string][]} */
const UNITS = [[60, "min"], [3600, "h"], [86_400, "d"]];
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const LONG_AGO_S = 7 * 86_400;
const TICK_MS = 30_000;

/** How long ago it is, or how long until then; after a week the date. @param {Date} at */
function ago(at) {
  const seconds = (Date.now() - at.getTime()) / 1000;
  const long = Math.abs(seconds);
  if (long > LONG_AGO_S) return DAY.format(at);
  if (long < UNITS[0][0]) return seconds < 0 ? "in a moment" : "just now";
  const [size, unit] = UNITS.findLast(([size]) => long >= size) ?? UNITS[0];
  const told = `${Math.floor(long / size)} ${unit}`;
  return seconds < 0 ? `in ${told}` : `${told} ago`;
}

/** Show times as a reader thinks of them, and in full when they are pointed at or printed. @param {boolean} isPrinted */
function localize(isPrinted = false) {
  for (const time of document.querySelectorAll("time[datetime]")) {
    const at = new Date(/** @type {HTMLTimeElement} */ (time).dateTime);
    if (!time.hasAttribute("title")) time.setAttribute("title", `${FULL.format(at)} · ${at.toISOString()}`);
    const shown = isPrinted || time.matches(".exact") ? FULL.format(at) : ago(at);
    if (time.textContent !== shown) time.textContent = shown;
  }
}

/** Let the focus into what scrolls, also where nothing in it takes it: then keys scroll it. */
function reach() {
  for (const box of document.querySelectorAll(".wide, main table, .sides .prose")) {
    const isLarger = box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight;
    if (isLarger && !box.querySelector("a, button, input")) box.setAttribute("tabindex", "0");
  }
}

const WAIT_MS = 1500;
let isGoing = false;

/** The rows of lists that lead somewhere. A tree has keys of its own. */
function rows() {
  if (document.querySelector("[role=tree]")) return [];
  return [...document.querySelectorAll("main tbody tr")].filter((row) => row.querySelector("a"));
}

/** To the link of a row, so that Enter opens it. @param {Element | undefined} row */
function enter(row) {
  /** @type {HTMLElement | null | undefined} */ (row?.querySelector("a"))?.focus();
  row?.scrollIntoView({ block: "nearest" });
}

/** @param {Element[]} all */
const here = (all) => all.findIndex((row) => row.contains(document.activeElement));

/** @param {number} by */
function move(by) {
  const all = rows();
  const at = here(all);
  enter(all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + by, 0), all.length - 1)]);
}

/** Down the list to the next row that failed, and from the last one to the first. */
function nextFailed() {
  const all = rows();
  const failed = all.filter((row) => row.querySelector(".status.failed"));
  const at = here(all);
  enter(failed.find((row) => all.indexOf(row) > at) ?? failed[0]);
}

/** Press what is there to be pressed. @param {Element | null | undefined} element */
function press(element) {
  if (element instanceof HTMLElement) element.click();
}

/** Show which keys this page has. */
export function openSheet() {
  const sheet = /** @type {HTMLDialogElement | null} */ (document.getElementById("keys"));
  for (const key of sheet?.querySelectorAll("[data-for]") ?? []) {
    key.toggleAttribute("hidden", !document.querySelector(/** @type {HTMLElement} */ (key).dataset.for ?? ""));
  }
  sheet?.showModal();
}

/** @type {Record<string, () => void>} */
const KEYS = {
  "/": () => /** @type {HTMLElement | null} */ (document.querySelector("[role=search] input"))?.focus(),
  "?": openSheet,
  j: () => move(1),
  k: () => move(-1),
  e: nextFailed,
  x: () => press(document.activeElement?.closest("tr")?.querySelector("input[type=checkbox]")),
  c: () => press(document.querySelector("run-list .tray button.plain:enabled")),
  g: () => {
    isGoing = true;
    setTimeout(() => (isGoing = false), WAIT_MS);
  },
};

/** @type {Record<string, string>} within a list, where nothing that scrolls has the focus */
const ARROWS = { ArrowDown: "j", ArrowUp: "k" };

/** Whether a key is for who types, or for the browser. @param {KeyboardEvent} event */
function isTyped(event) {
  const isTyping = event.target instanceof HTMLElement && event.target.closest("input:not([type=checkbox]), textarea, select, [contenteditable], dialog");
  return isTyping || event.ctrlKey || event.metaKey || event.altKey;
}

// Before the keys of a part of the page: the letter behind `g` is no other key.
document.addEventListener("keydown", (event) => {
  if (!isGoing || isTyped(event)) return;
  isGoing = false;
  event.preventDefault();
  event.stopPropagation();
  press(document.querySelector(`nav a[data-letter="${CSS.escape(event.key)}"]`));
}, { capture: true });

document.addEventListener("keydown", (event) => {
  if (isTyped(event) || event.defaultPrevented) return;
  const isInRow = document.activeElement?.matches("main tbody tr :is(a, button, input, summary)");
  const key = isInRow ? (ARROWS[event.key] ?? event.key) : event.key;
  const act = Object.hasOwn(KEYS, key) ? KEYS[key] : undefined;
  if (!act) return;
  event.preventDefault();
  act();
});

document.addEventListener("click", async (event) => {
  const button = event.target instanceof Element ? event.target.closest("[data-copy]") : null;
  if (!(button instanceof HTMLElement)) return;
  let told = "copied";
  try {
    await navigator.clipboard.writeText(button.dataset.copy ?? "");
  } catch {
    // Without https there is no clipboard: the text beside the button is selected instead.
    const text = button.parentElement?.querySelector("code, .id, a");
    if (text) document.getSelection()?.selectAllChildren(text);
    told = "selected";
  }
  say(button, told);
  setTimeout(() => say(button, ""), WAIT_MS);
});

/** Say what became of a copy, in its button and to screen readers. @param {HTMLElement} button @param {string} text */
function say(button, text) {
  button.textContent = text || "copy";
  const told = document.getElementById("told");
  if (told) told.textContent = text;
}

function fresh() {
  localize();
  reach();
}

fresh();
setInterval(localize, TICK_MS);
addEventListener("beforeprint", () => localize(true));
addEventListener("afterprint", () => localize());
document.addEventListener("htmx:after:swap", fresh);
document.querySelector(".side [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
