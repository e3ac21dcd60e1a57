/**
 * One stream a browser, whatever number of tabs: browsers open six connections to a server and no seventh.
 *
 * `<live-feed src="/live" runs="POSITION">` listens to all runs behind a position, `<live-feed src="/live" run="ID"
 * after="SEQ">` to one behind an event. What comes is told on the document, in every tab that listens:
 * `live:runs` {runs, is_gap}, `live:run` {run, events, is_over, error}. The page says while there is no stream.
 *
 * Tabs that are seen take part. One leads (Web Locks) and has the stream, for the topics of all; the others hear by a
 * BroadcastChannel. Every tab knows how far it has come, so a new leader or stream begins there and nothing is lost.
 */

const GATHER_MS = 50;
const RETRY_MS = [500, 1000, 2000, 5000, 10_000];

/** @typedef {Map<string, number>} Topics from `runs` or `run:ID` to the position or number that is known */

class Hub {
  /** @param {string} src */
  constructor(src) {
    this.src = src;
    this.name = `runwright ${src}`;
    this.tab = `${Date.now()}-${Math.random()}`;
    /** @type {Topics} what this tab listens to */
    this.own = new Map();
    /** @type {Map<string, Topics>} what the tabs know, if this one leads */
    this.tabs = new Map();
    /** @type {Topics} what the stream has said */
    this.said = new Map();
    /** @type {EventSource | null} */
    this.stream = null;
    /** @type {BroadcastChannel | null} */
    this.channel = null;
    /** @type {AbortController | null} */
    this.part = null;
    this.isLeader = false;
    this.timer = 0;
    this.failures = 0;
    document.addEventListener("visibilitychange", () => (document.hidden ? this.leave() : this.join()));
    window.addEventListener("pagehide", () => this.leave());
    window.addEventListener("pageshow", () => this.join());
  }

  /** Listen to a topic from behind what is known of it. @param {string} topic @param {number} known */
  want(topic, known) {
    this.own.set(topic, Math.min(known, this.own.get(topic) ?? known));
    this.join();
    this.announce();
  }

  /** @param {string} topic */
  dismiss(topic) {
    this.own.delete(topic);
    this.announce();
  }

  join() {
    if (this.part || document.hidden || !this.own.size) return;
    this.part = new AbortController();
    if (!navigator.locks) return this.lead(); // Without https every tab has a stream of its own.
    this.channel = new BroadcastChannel(this.name);
    this.channel.onmessage = (event) => this.hear(event.data);
    this.announce();
    const lead = () => new Promise((done) => this.lead(done));
    navigator.locks.request(this.name, { signal: this.part.signal }, lead).catch(() => undefined);
  }

  leave() {
    if (!this.part) return;
    this.channel?.postMessage({ kind: "bye", tab: this.tab });
    this.channel?.close();
    this.part.abort();
    this.part = this.channel = null;
    this.isLeader = false;
    this.close();
    this.done?.(undefined);
    show(true);
  }

  /** @param {(value: unknown) => void} [done] gives the lead away */
  lead(done) {
    if (!this.part) return done?.(undefined);
    this.done = done;
    this.isLeader = true;
    this.tabs = new Map();
    this.channel?.postMessage({ kind: "who" });
    this.announce();
  }

  /** Say what this tab listens to. */
  announce() {
    const message = { kind: "wants", tab: this.tab, topics: [...this.own] };
    if (this.isLeader) this.hear(message);
    else this.channel?.postMessage(message);
  }

  /** @param {{kind: string, tab?: any, topics?: any, topic?: any, message?: any}} heard */
  hear({ kind, tab, topics, topic, message }) {
    if (kind === "told") return this.deliver(topic, message);
    if (kind === "state") return show(message.is_open);
    if (!this.isLeader) return kind === "who" ? this.announce() : undefined;
    if (kind === "bye") this.tabs.delete(tab);
    if (kind === "wants") {
      // What is under way to a tab that takes part already will reach it.
      const before = this.tabs.get(tab);
      const known = topics.map(([name, at]) => [name, Math.max(at, before?.get(name) ?? at)]);
      this.tabs.set(tab, new Map(known));
    }
    this.refresh(GATHER_MS);
  }

  /** Let the stream fit what is wanted, soon. @param {number} delay */
  refresh(delay) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.isLeader && this.open(), delay);
  }

  open() {
    /** @type {Topics} */
    const union = new Map();
    for (const topics of this.tabs.values()) {
      for (const [topic, at] of topics) union.set(topic, Math.min(at, union.get(topic) ?? at));
    }
    const fits = [...union].every(([topic, at]) => at >= (this.said.get(topic) ?? Infinity));
    if (this.stream && fits && union.size === this.said.size) return;
    this.close();
    if (!union.size) return;
    this.said = union;
    const query = new URLSearchParams();
    for (const [topic, at] of union) {
      if (topic === "runs") query.append("runs", `${at}`);
      else query.append("run", `${topic.slice(4)}@${at}`);
    }
    this.listen(new EventSource(`${this.src}?${query}`));
  }

  /** @param {EventSource} stream */
  listen(stream) {
    this.stream = stream;
    stream.onopen = () => {
      this.failures = 0;
      this.state(true);
    };
    stream.onerror = () => this.retry();
    stream.addEventListener("end", () => this.close());
    stream.addEventListener("runs", (event) => {
      const message = JSON.parse(event.data);
      this.told("runs", message.position, message);
    });
    stream.addEventListener("run", (event) => {
      const message = JSON.parse(event.data);
      this.told(`run:${message.run}`, message.seq, message);
    });
    stream.addEventListener("failure", (event) => {
      const message = JSON.parse(event.data);
      if (!message.run || message.error.retryable) this.retry();
      else this.told(`run:${message.run}`, 0, { ...message, events: [] });
    });
  }

  close() {
    clearTimeout(this.timer);
    this.stream?.close();
    this.stream = null;
    this.said = new Map();
  }

  /** Begin again where the tabs are, later each time. */
  retry() {
    this.close();
    this.state(false);
    this.refresh(RETRY_MS[Math.min(this.failures++, RETRY_MS.length - 1)] * (0.75 + Math.random() / 2));
  }

  /** @param {boolean} is_open */
  state(is_open) {
    this.channel?.postMessage({ kind: "state", message: { is_open } });
    show(is_open);
  }

  /** Hand on what the stream said. @param {string} topic @param {number} at @param {any} message */
  told(topic, at, message) {
    const behind = this.said.get(topic) ?? 0;
    for (const topics of [this.said, ...this.tabs.values()]) {
      if ((topics.get(topic) ?? -1) < behind) continue;
      if (message.is_over || message.error) topics.delete(topic);
      else topics.set(topic, message.is_gap ? at : Math.max(at, topics.get(topic) ?? 0));
    }
    const told = { ...message, behind };
    this.channel?.postMessage({ kind: "told", topic, message: told });
    this.deliver(topic, told);
  }

  /** Tell the page what it does not know yet. @param {string} topic @param {any} message */
  deliver(topic, message) {
    const known = this.own.get(topic);
    // What lies between is on its way: the leader heard how far this tab is, and begins there again.
    if (known === undefined || known < message.behind) return;
    if (topic === "runs") {
      // A gap may lead back: the store is another one than that of the page.
      if (message.position === known || (message.position < known && !message.is_gap)) return;
      this.own.set(topic, message.position);
      return tell("live:runs", message);
    }
    const events = message.events.filter((/** @type {{seq: number}} */ event) => event.seq > known);
    const isLast = message.is_over || message.error;
    if (isLast) this.own.delete(topic);
    else this.own.set(topic, Math.max(known, message.seq));
    if (events.length || isLast) tell("live:run", { is_over: false, error: null, ...message, events });
  }
}

/** Say in the page when nothing new can come. @param {boolean} is_open */
function show(is_open) {
  const note = document.getElementById("offline");
  if (note) note.hidden = is_open;
}

/** @param {string} name @param {object} detail */
function tell(name, detail) {
  document.dispatchEvent(new CustomEvent(name, { detail }));
}

/** @type {Map<string, Hub>} */
const hubs = new Map();

class LiveFeed extends HTMLElement {
  connectedCallback() {
    const src = this.getAttribute("src") ?? "";
    this.hub = hubs.get(src) ?? new Hub(src);
    hubs.set(src, this.hub);
    const run = this.getAttribute("run");
    this.topic = run ? `run:${run}` : "runs";
    this.hub.want(this.topic, Number(this.getAttribute(run ? "after" : "runs") ?? 0));
  }

  disconnectedCallback() {
    this.hub?.dismiss(this.topic ?? "");
  }
}

customElements.define("live-feed", LiveFeed);
