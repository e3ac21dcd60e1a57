/**
 * Parts of pages that islands ask for.
 */

const FOCUSED = "a, button, summary, input, select, textarea, [tabindex]";

/** Put the part of a page into the element that it is named after. @param {string} id @param {string} url */
export function load(id, url) {
  const target = document.getElementById(id);
  if (!target) return;
  // Without a source of its own a request waits for all others, and the server is not told where it goes.
  const headers = { "HX-Target": `${target.tagName.toLowerCase()}#${id}` };
  htmx.ajax("GET", url, { source: target, target, swap: "innerHTML", headers });
}

/** Fetch a part of this page anew. The focus stays on the like element, and what was folded or unfolded stays so. @param {string} id */
export function renew(id) {
  const part = document.getElementById(id);
  part?.addEventListener("htmx:before:swap", () => part.addEventListener("htmx:after:swap", restorer(part), { once: true }), { once: true });
  load(id, location.href);
}

/** What brings back how a part of a page is now. @param {HTMLElement} part */
function restorer(part) {
  const focused = part.contains(document.activeElement) ? placeOf(part, document.activeElement) : null;
  const folds = [...part.querySelectorAll("details")].map((fold) => ({ isOpen: fold.open, ...placeOf(part, fold.querySelector("summary")) }));
  return () => {
    for (const fold of folds) alike(part, fold.name)[fold.nth]?.parentElement?.toggleAttribute("open", fold.isOpen);
    if (focused) (alike(part, focused.name)[focused.nth] ?? part).focus({ preventScroll: true });
  };
}

/** Where an element stands among those that are called the same. @param {Element} part @param {Element | null} element */
function placeOf(part, element) {
  const name = nameOf(element);
  return { name, nth: alike(part, name).findIndex((each) => each === element) };
}

/** @param {Element} part @param {string} name @returns {HTMLElement[]} */
function alike(part, name) {
  return [.../** @type {NodeListOf<HTMLElement>} */ (part.querySelectorAll(FOCUSED))].filter((each) => nameOf(each) === name);
}

/** @param {Element | null} element */
function nameOf(element) {
  return `${element?.tagName} ${element?.getAttribute("aria-label") ?? element?.getAttribute("href") ?? element?.textContent?.trim()}`;
}

/** Whether somebody writes in a part of the page, or has written there. @param {Element} part */
export function isWritten(part) {
  const fields = [...part.querySelectorAll("input:not([type=hidden]), textarea, select")];
  return fields.some((field) => field === document.activeElement || isChanged(field));
}

/** @param {Element} field */
function isChanged(field) {
  if (field instanceof HTMLSelectElement) {
    return field.selectedIndex !== Math.max(0, [...field.options].findIndex((option) => option.defaultSelected));
  }
  const { value, defaultValue, checked, defaultChecked } = /** @type {HTMLInputElement} */ (field);
  return value !== defaultValue || checked !== defaultChecked;
}
