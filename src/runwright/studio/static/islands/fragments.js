/**
 * Parts of pages that islands ask for.
 */

/** Put the part of a page into the element that it is named after. @param {string} id @param {string} url */
export function load(id, url) {
  const target = document.getElementById(id);
  if (!target) return;
  // Without a source of its own a request waits for all others, and the server is not told where it goes.
  const headers = { "HX-Target": `${target.tagName.toLowerCase()}#${id}` };
  htmx.ajax("GET", url, { source: target, target, swap: "innerHTML", headers });
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
