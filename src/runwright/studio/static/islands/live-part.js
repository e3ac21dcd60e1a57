/**
 * `<live-part id="now">`: a part of a page that is fetched again when runs change, as the block of its name. It stays as
 * it is while somebody is in it: the focus, the pointer or a selection.
 */

const GATHER_MS = 1500;

class LivePart extends HTMLElement {
  connectedCallback() {
    this.leaving = new AbortController();
    const { signal } = this.leaving;
    document.addEventListener("live:runs", () => this.soon(), { signal });
  }

  disconnectedCallback() {
    clearTimeout(this.timer);
    this.leaving?.abort();
  }

  soon() {
    this.timer ??= setTimeout(() => this.renew(), GATHER_MS);
  }

  get isRead() {
    const chosen = document.getSelection();
    return this.matches(":focus-within, :hover") || (!chosen?.isCollapsed && this.contains(chosen?.anchorNode ?? null));
  }

  async renew() {
    this.timer = undefined;
    if (this.isRead) return this.soon();
    const answer = await fetch(location.href, {
      headers: { "HX-Request-Type": "partial", "HX-Target": `live-part#${this.id}` },
      signal: this.leaving?.signal,
    }).catch(() => null);
    if (!answer?.ok || this.isRead) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    this.replaceChildren(...page.body.childNodes);
    document.dispatchEvent(new CustomEvent("htmx:after:swap"));
  }
}

customElements.define("live-part", LivePart);
