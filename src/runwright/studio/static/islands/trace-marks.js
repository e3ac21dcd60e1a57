/**
 * What became of a step beside its being done, in a sign and a word: sent again, answered from elsewhere, held up.
 */

import { inert } from "./inert.js";

/** What the guard did, by its actions. The others are said where all kinds of steps are shown. @type {Record<string, string>} */
const WORDS = {
  hit: "≡ cached",
  joined: "≡ shared",
  answered: "≡ answered",
  switched: "⇄ fallback",
  doubled: "⇉ doubled",
  waited: "◷ waited",
  held: "⊘ held",
  refused: "⊘ refused",
  shed: "⊘ refused",
};
/** Said by the number of attempts. */
const AGAIN = "retry resend";

/** @typedef {{attempt: number, isTaped: boolean, decided: string[]}} Story */

/** The signs of a row, and all of it in words. @param {Story} story @param {boolean} isFull */
export function marks({ attempt, isTaped, decided }, isFull) {
  /** @type {Set<string>} */
  const short = new Set();
  /** @type {string[]} */
  const long = [];
  if (attempt > 1) {
    short.add(`↻ ${attempt}×`);
    long.push(`${attempt} attempts`);
  }
  if (isTaped) {
    short.add("◉ taped");
    long.push("answered by a recording");
  }
  for (const decision of decided) {
    const word = WORDS[decision.slice(decision.indexOf(" ") + 1)];
    const told = inert(decision.replaceAll("_", " "));
    if (word) short.add(word);
    else if (isFull && decision !== AGAIN) short.add(told);
    if (decision !== AGAIN) long.push(`guard: ${told}`);
  }
  return { short: [...short].join("  "), long: long.join(", ") };
}
