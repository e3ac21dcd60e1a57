/**
 * A turn of a conversation that is under way: what its run says as it comes, and at the end what the server renders.
 *
 * Attributes: `events` is the stream of the run, `turn` the page that shows the turn when it is over. Without them
 * the turn is over and nothing is done.
 */

import { cut, inert } from "./inert.js";

const AGAIN_MS = 1000;
const BY_ITSELF = new Set(["child", "timer"]);

/** @typedef {{type: string, seq: number, step_id: number | null, [field: string]: any}} RunEvent */

class ChatTurn extends HTMLElement {
  #leave = new AbortController();
  #seen = 0;
  /** @type {Map<number, HTMLElement>} */
  #places = new Map();

  connectedCallback() {
    const events = this.getAttribute("events");
    if (!events) return;
    this.#leave = new AbortController();
    this.#seen = 0;
    this.#places.clear();
    this.#follow(events).catch((error) => {
      if (error.name !== "AbortError") throw error;
    });
  }

  disconnectedCallback() {
    this.#leave.abort();
  }

  /** Read the stream until the run is over or needs somebody, however often the connection breaks. @param {string} events */
  async #follow(events) {
    const signal = this.#leave.signal;
    for (;;) {
      try {
        const answer = await fetch(`${events}?after=${this.#seen}`, { signal });
        if (answer.status === 204 || (await this.#read(answer))) break;
      } catch (error) {
        if (signal.aborted) throw error;
      }
      await new Promise((done) => setTimeout(done, AGAIN_MS));
    }
    await this.#finish();
  }

  /** @param {Response} answer @returns {Promise<boolean>} whether the turn is over */
  async #read(answer) {
    if (!answer.ok || !answer.body) return false;
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return false;
      const frames = (rest + value).split("\n\n");
      rest = frames.pop() ?? "";
      for (const frame of frames) {
        const data = frame.split("\n").find((line) => line.startsWith("data: "));
        if (data && this.#take(JSON.parse(data.slice(6)))) {
          await reader.cancel();
          return true;
        }
      }
    }
  }

  /** @param {RunEvent} event @returns {boolean} whether the turn is over */
  #take(event) {
    if (event.seq) this.#seen = event.seq;
    switch (event.type) {
      case "message.delta":
        this.#text(event, "stream").append(inert(event.text));
        break;
      case "reasoning.delta":
        this.#text(event, "stream soft").append(inert(event.text));
        break;
      case "message.completed": {
        const place = this.#text(event, "stream");
        if (!place.textContent && typeof event.message.content === "string") place.append(inert(event.message.content));
        break;
      }
      case "step.started":
        if (event.kind === "tool" || event.kind === "child") this.#call(event);
        break;
      case "step.completed":
      case "step.failed":
        this.#called(event);
        break;
      case "run.waiting":
        return !BY_ITSELF.has(event.reason);
      case "run.completed":
      case "run.failed":
      case "run.cancelled":
        return true;
    }
    return false;
  }

  /** The paragraph of a step. @param {RunEvent} event @param {string} kind */
  #text(event, kind) {
    const step = event.step_id ?? 0;
    let place = this.#places.get(step);
    if (!place || place.className !== kind) {
      place = document.createElement("p");
      place.className = kind;
      this.querySelector(".answer")?.append(place);
      this.#places.set(step, place);
    }
    return place;
  }

  /** @param {RunEvent} event */
  #call(event) {
    const call = document.createElement("details");
    call.className = "call";
    const head = document.createElement("summary");
    const name = document.createElement("code");
    name.textContent = inert(event.name);
    head.append(status("running"), " ", name);
    call.append(head, body(event.request));
    this.querySelector(".answer")?.before(call);
    this.#places.set(event.seq, call);
  }

  /** @param {RunEvent} event */
  #called(event) {
    const call = this.#places.get(event.step_id ?? 0);
    if (call?.className !== "call") return;
    const failed = event.type === "step.failed";
    call.querySelector(".status")?.replaceWith(status(failed ? "failed" : "completed"));
    call.append(body(failed ? event.error.message : event.result));
  }

  /** Put what the server renders in place of what was streamed. */
  async #finish() {
    const page = this.getAttribute("turn") ?? "";
    const headers = { accept: "text/html", "hx-request-type": "partial", "hx-target": "div#chat" };
    const answer = await fetch(page, { headers, signal: this.#leave.signal });
    const read = new DOMParser().parseFromString(await answer.text(), "text/html");
    const turn = read.getElementById(this.id);
    // A run may have gone on between the two answers: then the turn that comes is a live one again.
    if (turn) this.replaceWith(document.adoptNode(turn));
    document.dispatchEvent(new CustomEvent("htmx:after:swap"));
  }
}

/** @param {string} word */
function status(word) {
  const shown = document.createElement("span");
  shown.className = `status ${word}`;
  shown.textContent = word;
  return shown;
}

/** @param {unknown} value */
function body(value) {
  const shown = document.createElement("pre");
  shown.className = "json";
  shown.tabIndex = 0;
  shown.textContent = inert(cut(typeof value === "string" ? value : JSON.stringify(value ?? null, null, 2)));
  return shown;
}

customElements.define("chat-turn", ChatTurn);
document.addEventListener("keydown", (event) => {
  const field = event.target;
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || !(field instanceof HTMLTextAreaElement)) return;
  if (!field.matches("form.say .message")) return;
  event.preventDefault();
  field.form?.requestSubmit();
});
