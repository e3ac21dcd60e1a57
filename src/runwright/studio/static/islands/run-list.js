/**
 * Keeps the list of runs as it is while runs change: rows are patched by their id, and what is new is counted, so that
 * nothing moves under who reads. What is chosen stands in the address.
 *
 * Attributes: `where` what it is filtered by, `children` and `older` as the page is.
 */

const GATHER_MS = 250;
const AGAIN_MS = 5000;
const AT_ONCE = 50;

class RunList extends HTMLElement {
  connectedCallback() {
    this.where = JSON.parse(this.getAttribute("where") ?? "{}");
    /** @type {Set<string>} */
    this.changed = new Set();
    /** @type {Set<string>} */
    this.newer = new Set();
    this.leaving = new AbortController();
    const { signal } = this.leaving;
    document.addEventListener("live:runs", (event) => this.told(/** @type {CustomEvent} */ (event).detail), { signal });
    this.addEventListener("change", () => this.picked(), { signal });
    this.picked();
  }

  disconnectedCallback() {
    clearTimeout(this.timer);
    this.leaving?.abort();
  }

  /** @param {{runs: any[], is_gap?: boolean}} detail */
  told({ runs, is_gap }) {
    for (const run of runs) {
      if (document.getElementById(run.id)) this.changed.add(run.id);
      else if (this.fits(run)) this.newer.add(run.id);
    }
    if (is_gap) this.newer.add("many");
    const bar = document.querySelector(".newer");
    if (bar instanceof HTMLElement && this.newer.size) {
      bar.hidden = false;
      const count = /** @type {HTMLElement} */ (bar.querySelector("span"));
      count.textContent = this.newer.has("many") ? "many" : `${this.newer.size}`;
    }
    if (this.changed.size) this.timer ??= setTimeout(() => this.patch(), GATHER_MS);
  }

  /** Whether a run that is not shown would stand above this page. @param {any} run */
  fits(run) {
    if (this.hasAttribute("older") || (run.parent_run_id && !this.hasAttribute("children"))) return false;
    const first = this.querySelector("tbody tr")?.id ?? "";
    return run.id > first && Object.entries(this.where).every(([name, value]) =>
      name === "tag" ? run.tags.includes(value) : run[name] === value,
    );
  }

  /** Take the changed rows from the server, which alone knows how they look. */
  async patch() {
    const ids = [...this.changed].slice(0, AT_ONCE);
    ids.forEach((id) => this.changed.delete(id));
    const address = new URL(location.href);
    address.searchParams.set("ids", ids.join(","));
    const answer = await fetch(address, {
      headers: { "HX-Request-Type": "partial", "HX-Target": "tbody#rows" },
      signal: this.leaving?.signal,
    }).catch(() => null);
    if (this.leaving?.signal.aborted) return;
    if (answer?.ok) {
      const page = new DOMParser().parseFromString(`<table>${await answer.text()}</table>`, "text/html");
      for (const row of page.querySelectorAll("tr")) this.exchange(row);
    } else {
      ids.forEach((id) => this.changed.add(id));
    }
    this.timer = this.changed.size ? setTimeout(() => this.patch(), answer?.ok ? GATHER_MS : AGAIN_MS) : undefined;
  }

  /** Cells that differ are exchanged; the rest, with the focus and what is chosen, stays. @param {HTMLTableRowElement} fresh */
  exchange(fresh) {
    const row = document.getElementById(fresh.id);
    if (!(row instanceof HTMLTableRowElement)) return;
    for (const index of [1, 5, 6, 7]) {
      if (row.cells[index].innerHTML !== fresh.cells[index].innerHTML) {
        row.cells[index].replaceChildren(...fresh.cells[index].childNodes);
      }
    }
  }

  /** Count what is chosen, and keep it in the address. */
  picked() {
    const picks = [...this.querySelectorAll("input[name=pick]:checked")].map((box) => /** @type {any} */ (box).value);
    const [compare, cancel] = this.querySelectorAll(".tray button");
    if (!compare) return;
    /** @type {HTMLElement} */ (this.querySelector(".tray output")).textContent = `${picks.length}`;
    compare.toggleAttribute("disabled", picks.length !== 2);
    cancel.toggleAttribute("disabled", !picks.length);
    this.querySelector(".tray")?.toggleAttribute("hidden", !picks.length);
    const address = new URL(location.href);
    if (picks.length) address.searchParams.set("pick", picks.join(","));
    else address.searchParams.delete("pick");
    if (address.href !== location.href) history.replaceState(history.state, "", address);
    const back = this.querySelector("input[name=back]");
    if (back instanceof HTMLInputElement) back.value = address.search.slice(1);
  }
}

customElements.define("run-list", RunList);
