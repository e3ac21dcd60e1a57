/**
 * What every page has: times in the reader's zone, keys, and buttons that copy.
 */

/** @type {[number, string][]} */
const UNITS = [[60, "min"], [3600, "h"], [86_400, "d"]];
const LONG_AGO_S = 7 * 86_400;
const TICK_MS = 30_000;

/** How long ago it is, or how long until then; after a week the date. @param {Date} at */
function ago(at) {
  const seconds = (Date.now() - at.getTime()) / 1000;
  const long = Math.abs(seconds);
  if (long > LONG_AGO_S) return at.toLocaleDateString(undefined, { dateStyle: "medium" });
  if (long < UNITS[0][0]) return seconds < 0 ? "in a moment" : "just now";
  const [size, unit] = UNITS.findLast(([size]) => long >= size) ?? UNITS[0];
  const told = `${Math.floor(long / size)} ${unit}`;
  return seconds < 0 ? `in ${told}` : `${told} ago`;
}

/** Show the times of the page as a reader thinks of them, and in full when they are pointed at. */
function localize() {
  for (const time of document.querySelectorAll("time[datetime]")) {
    const at = new Date(/** @type {HTMLTimeElement} */ (time).dateTime);
    const full = at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
    const shown = time.matches(".exact") ? full : ago(at);
    if (!time.hasAttribute("title")) time.setAttribute("title", `${full} · ${at.toISOString()}`);
    if (time.textContent !== shown) time.textContent = shown;
  }
}

const WAIT_MS = 1500;
let isGoing = false;

/** The next link in the rows of lists, so that Enter opens it. @param {number} by */
function move(by) {
  const rows = [...document.querySelectorAll("main tbody tr")].filter((row) => row.querySelector("a"));
  if (!rows.length) return;
  const at = rows.findIndex((row) => row.contains(document.activeElement));
  const row = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(Math.max(at + by, 0), rows.length - 1)];
  /** @type {HTMLElement} */ (row.querySelector("a")).focus();
  row.scrollIntoView({ block: "nearest" });
}

/** To the page of a letter. @param {string} letter */
function go(letter) {
  const link = document.querySelector(`nav a[data-letter="${CSS.escape(letter)}"]`);
  if (link instanceof HTMLElement) link.click();
}

/** Show which keys there are. */
export function openSheet() {
  /** @type {HTMLDialogElement | null} */ (document.getElementById("keys"))?.showModal();
}

/** @type {Record<string, () => void>} */
const KEYS = {
  "/": () => /** @type {HTMLElement | null} */ (document.querySelector("[role=search] input"))?.focus(),
  "?": openSheet,
  j: () => move(1),
  k: () => move(-1),
  x: () => /** @type {HTMLElement | null} */ (document.activeElement?.closest("tr")?.querySelector("input[type=checkbox]"))?.click(),
  g: () => {
    isGoing = true;
    setTimeout(() => (isGoing = false), WAIT_MS);
  },
};

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
  go(event.key);
}, { capture: true });

document.addEventListener("keydown", (event) => {
  if (isTyped(event) || event.defaultPrevented) return;
  const act = Object.hasOwn(KEYS, event.key) ? KEYS[event.key] : undefined;
  if (!act) return;
  event.preventDefault();
  act();
});

document.addEventListener("click", async (event) => {
  const button = event.target instanceof Element ? event.target.closest("[data-copy]") : null;
  if (!(button instanceof HTMLElement)) return;
  try {
    await navigator.clipboard.writeText(button.dataset.copy ?? "");
    button.textContent = "copied";
  } catch {
    // Without https there is no clipboard: the text beside the button is selected instead.
    const text = button.parentElement?.querySelector("code");
    if (text) document.getSelection()?.selectAllChildren(text);
    button.textContent = "selected";
  }
  setTimeout(() => (button.textContent = "copy"), WAIT_MS);
});

localize();
setInterval(localize, TICK_MS);
document.addEventListener("htmx:after:swap", localize);
document.querySelector(".side [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
