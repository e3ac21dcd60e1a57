/**
 * `<live-part id="now">`: a part of a page that is fetched again when runs change, as the block of its name. It stays as
 * it is while somebody is in it: the focus, a pointer that moves or a selection.
 */

const GATHER_MS = 1500;
const AGAIN_MS = 5000;
const RESTS_MS = 5000;

class LivePart extends HTMLElement {
  connectedCallback() {
    this.leaving = new AbortController();
    const { signal } = this.leaving;
    this.moved = -Infinity;
    this.addEventListener("pointermove", () => (this.moved = performance.now()), { signal, passive: true });
    document.addEventListener("live:runs", (event) => {
      const { runs, is_gap } = /** @type {CustomEvent} */ (event).detail;
      if (runs.length || is_gap) this.soon();
    }, { signal });
  }

  disconnectedCallback() {
    clearTimeout(this.timer);
    this.leaving?.abort();
  }

  soon(delay = GATHER_MS) {
    this.timer ??= setTimeout(() => this.renew(), delay);
  }

  get isRead() {
    const chosen = document.getSelection();
    const isPointed = this.matches(":hover") && performance.now() - (this.moved ?? 0) < RESTS_MS;
    return isPointed || this.matches(":focus-within") || (!chosen?.isCollapsed && this.contains(chosen?.anchorNode ?? null));
  }

  async renew() {
    this.timer = undefined;
    if (this.isRead) return this.soon();
    const answer = await fetch(location.href, {
      headers: { "HX-Request-Type": "partial", "HX-Target": `live-part#${this.id}` },
      signal: this.leaving?.signal,
    }).catch(() => null);
    if (this.leaving?.signal.aborted) return;
    if (!answer?.ok || this.isRead) return this.soon(AGAIN_MS);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    this.replaceChildren(...page.body.childNodes);
    document.dispatchEvent(new CustomEvent("htmx:after:swap"));
  }
}

customElements.define("live-part", LivePart);
