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
