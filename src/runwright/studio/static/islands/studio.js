/**
 * What every page has: times in the reader's zone, and keys.
 */

/** Show the times below `root` as the reader's clock would. @param {ParentNode} root */
function localize(root) {
  for (const time of root.querySelectorAll("time[datetime]:not([title])")) {
    const at = new Date(/** @type {HTMLTimeElement} */ (time).dateTime);
    time.setAttribute("title", at.toISOString());
    time.textContent = at.toLocaleString(undefined, { dateStyle: "short", timeStyle: "medium" });
  }
}

localize(document);
document.addEventListener("htmx:after:swap", () => localize(document));
document.addEventListener("keydown", (event) => {
  const typing = event.target instanceof HTMLElement && event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const field = document.querySelector("[role=search] input");
  if (field instanceof HTMLElement) {
    event.preventDefault();
    field.focus();
  }
});
