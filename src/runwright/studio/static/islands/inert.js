/**
 * Text of others that is shown by scripts, as the server shows it.
 */

/** Characters of a text that a page shows. */
const SHOWN = 20_000;

const UNSEEN =
  /[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u180b-\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;

/** Text whose characters do not act on what stands around them. @param {string} text */
export function inert(text) {
  return text.replace(UNSEEN, (found) => `⟨U+${(found.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

/** The beginning of a long text, and how much is left out. @param {string} text */
export function cut(text) {
  if (text.length <= SHOWN) return text;
  return `${text.slice(0, SHOWN)}\n… ${(text.length - SHOWN).toLocaleString("en")} more characters`;
}
