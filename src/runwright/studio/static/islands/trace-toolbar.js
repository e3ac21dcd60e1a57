/**
 * What stands above the tree of steps: the filter, the level, and which sign stands for what.
 */

import { openSheet } from "./studio.js";
import { make, sign } from "./trace-rows.js";

const KINDS = ["model", "tool", "child", "memory", "http", "failed"];

/** @param {import("./trace-steps.js").Steps} steps @param {import("./trace-steps.js").View} view @param {{change: () => void, fit: () => void}} on */
export function toolbar(steps, view, on) {
  const form = document.createElement("form");
  form.className = "tools";
  form.setAttribute("role", "search");
  form.addEventListener("submit", (event) => event.preventDefault());
  const field = document.createElement("input");
  Object.assign(field, { type: "search", name: "q", placeholder: "Filter steps  /", value: view.query });
  field.setAttribute("aria-label", "Filter steps");
  field.addEventListener("input", () => {
    view.query = field.value.trim();
    on.change();
  });
  const level = toggle("All kinds", "Memory, clock and other steps too", view.isFull, (isOn) => {
    view.isFull = isOn;
    on.change();
  });
  const idle = toggle("Idle times", "Show times in which nothing happened as long as they were", view.isWhole, (isOn) => {
    view.isWhole = isOn;
    on.change();
  });
  const count = make("output", "count");
  const legend = make("span", "legend");
  /** @type {Map<string, Element>} */
  const keys = new Map();
  for (const kind of KINDS) {
    const key = make("span", `key ${kind}`);
    key.textContent = kind === "failed" ? "✗ failed" : `${sign(kind)} ${kind}`;
    keys.set(kind, key);
    legend.append(key);
  }
  form.append(field, level, idle, button("Fit", on.fit), button("Keys", openSheet), legend, count);
  return {
    form,
    /** The element that has the colour of a kind. @param {string} kind */
    key: (kind) => keys.get(kind) ?? count,
    /** @param {import("./trace-steps.js").Rows} found @param {number} all */
    count(found, all) {
      const shown = found.shown === all ? `${all} ${all === 1 ? "step" : "steps"}` : `${found.shown} of ${all} steps`;
      const said = found.errors ? `${shown} · ${found.errors} failed` : shown;
      if (count.textContent !== said) count.textContent = said;
    },
  };
}

/** @param {string} text @param {string} title @param {boolean} isOn @param {(isOn: boolean) => void} act */
function toggle(text, title, isOn, act) {
  const made = button(text, () => {
    isOn = !isOn;
    made.setAttribute("aria-pressed", `${isOn}`);
    act(isOn);
  });
  made.title = title;
  made.setAttribute("aria-pressed", `${isOn}`);
  return made;
}

/** @param {string} text @param {() => void} act */
function button(text, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "plain";
  made.textContent = text;
  made.addEventListener("click", act);
  return made;
}
