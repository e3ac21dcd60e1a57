/**
 * How the rows of a run look: a lane, a step, and a step that began another run.
 */

import { inert } from "./inert.js";
import { marks } from "./trace-marks.js";
import { sign } from "./trace-rows.js";

const LONGEST = 200;

/** @typedef {{glyph: string, kind: string, label: string, marks: string, told: string, spent: string, took: string, state: string, spoken: string, left: number, width: number, isOpen: boolean | null}} Shown */

/** @param {any} trace the element `trace-waterfall` @param {number} row @returns {Shown} */
export function look(trace, row) {
  return row < 0 ? lane(trace, row) : step(trace, row);
}

/** @param {any} trace @param {number} row @returns {Shown} */
function lane(trace, row) {
  const lane = trace.steps.lanes[-1 - row];
  const isOpen = lane.isOpen || Boolean(trace.view.query);
  return {
    ...trace.place(lane.start, lane.end),
    glyph: isOpen ? "▾" : "▸",
    kind: "lane",
    label: `${brief(lane.name)} (${lane.steps})${lane.errors ? ` ✗ ${lane.errors}` : ""}`,
    marks: "",
    told: "",
    spent: spent(lane.tokens, lane.nano),
    took: span(lane.end - lane.start),
    state: lane.errors ? "failed" : "",
    spoken: `lane ${brief(lane.name)}, ${lane.steps} steps, ${lane.errors} errors`,
    isOpen,
  };
}

/** @param {any} trace @param {number} row @returns {Shown} */
function step(trace, row) {
  const { steps, view } = trace;
  const [start, end, status, kind] = [steps.start[row], steps.end(row), steps.status[row], steps.kind[row]];
  const isError = steps.isError(row);
  const name = brief(steps.name[row]);
  const took = span(end - start);
  const told = marks({ attempt: steps.attempt[row], isTaped: steps.taped[row], decided: steps.decided[row] }, view.isFull);
  const inner = steps.opens(row);
  const isOpen = steps.isNest(row) ? Boolean(inner?.shown && (inner.isOpen || view.query)) : null;
  const run = inner && steps.runs[steps.begun.get(row)];
  const gone = steps.gone.has(row) ? " (its run is not here)" : steps.missed.has(row) ? " (not fetched)" : "";
  const count = inner?.steps ? ` (${run.hasMore ? "first " : ""}${inner.steps})` : "";
  return {
    ...trace.place(start, end),
    glyph: isOpen === null ? sign(kind) : `${isOpen ? "▾" : "▸"} ${sign(kind)}`,
    kind,
    label: `${isError ? "✗ " : ""}${name}${count}${gone}${inner?.errors ? ` ✗ ${inner.errors}` : ""}`,
    marks: told.short,
    told: told.long,
    spent: inner?.steps ? spent(inner.tokens, inner.nano) : spent(steps.tokens[row], steps.nano[row]),
    took: steps.duration[row] === null ? status : took,
    state: `${isError ? "failed" : status}${row === trace.opened ? " opened" : ""}`,
    spoken: `${kind} ${name}, ${status}, ${took}${count}${gone}${steps.missed.has(row) ? ", try again" : ""}${told.long && `, ${told.long}`}`,
    isOpen,
  };
}

/** Tokens and cost, where there are any. @param {number} tokens @param {number | null} nano */
function spent(tokens, nano) {
  const usd = (nano ?? 0) / 1e9;
  const cost = usd ? `$${usd >= 1 ? usd.toFixed(2) : usd.toPrecision(2)} · ` : "";
  return `${tokens ? `${tokens} tok · ` : ""}${cost}`;
}

/** Milliseconds as a person writes them. @param {number} ms */
export function span(ms) {
  if (ms < 1) return `${Math.round(ms * 1000)} µs`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const minutes = Math.round(ms / 60_000);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** A name in a row. @param {string} text */
function brief(text) {
  return inert(text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text);
}
