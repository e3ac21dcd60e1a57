// Runs code once: the job comes as a line of JSON on stdin, what it asks and gives goes out as lines on stdout.
// It keeps nothing from the code, which could do all of this by itself: the host trusts no line.
// The code is loaded by a specifier that is computed, because Deno checks no permission for one that it can read.

// deno-lint-ignore-file no-explicit-any
const encoder = new TextEncoder();
const decoder = new TextDecoder();
const stdout = Deno.stdout;
const write = stdout.writeSync.bind(stdout);
const stringify = JSON.stringify;
const later = (globalThis as any).setImmediate;
const answers = new Map<number, { resolve: (value: any) => void; reject: (error: Error) => void }>();

class CallFailed extends Error {
  override name = "CallFailed";
  constructor(message: string, public code: string) {
    super(message);
  }
}

class HttpResponse {
  body: Uint8Array;
  constructor(public status: number, public headers: Record<string, string>, body: string) {
    this.body = Uint8Array.from(atob(body), (each) => each.charCodeAt(0));
  }
  get isOk(): boolean {
    return this.status < 400;
  }
  get text(): string {
    return decoder.decode(this.body);
  }
  json(): any {
    return JSON.parse(this.text);
  }
}

function send(message: unknown): void {
  let left = encoder.encode(stringify(message) + "\n");
  while (left.length > 0) left = left.subarray(write(left));
}

let asked = 0;

function ask(kind: string, name: string, given: Record<string, unknown>): Promise<any> {
  const id = ++asked;
  return new Promise((resolve, reject) => {
    answers.set(id, { resolve, reject });
    send({ type: "call", id, kind, name, arguments: given });
    rest();
  });
}

function tell(kind: string, name: string, given: Record<string, unknown>): void {
  send({ type: "call", id: 0, kind, name, arguments: given });
}

// The code rests when the next task's turn comes: all that follows from what it was given has been done by then.
let resting: Promise<void> | null = null;

function rest(): Promise<void> {
  return resting ??= new Promise((resolve) =>
    later(() => {
      resting = null;
      if (answers.size > 0) send({ type: "rest" });
      resolve();
    })
  );
}

function callTool(name: string, given: Record<string, unknown> = {}): Promise<any> {
  return ask("tool", name, given);
}

async function request(method: string, url: string, options: Record<string, any> = {}): Promise<HttpResponse> {
  const headers: Record<string, string> = { ...options.headers };
  let body = options.body ?? null;
  if (options.json !== undefined) {
    body = stringify(options.json);
    headers["content-type"] ??= "application/json";
  }
  if (typeof body === "string") body = encoder.encode(body);
  if (body !== null) body = btoa(Array.from(body as Uint8Array, (each) => String.fromCharCode(each)).join(""));
  const answer = await ask("http", method.toUpperCase(), { method: method.toUpperCase(), url, headers, body });
  return new HttpResponse(answer.status, answer.headers, answer.body);
}

const http = {
  request,
  get: (url: string, options?: Record<string, any>) => request("GET", url, options),
  post: (url: string, options?: Record<string, any>) => request("POST", url, options),
  put: (url: string, options?: Record<string, any>) => request("PUT", url, options),
  delete: (url: string, options?: Record<string, any>) => request("DELETE", url, options),
};

function memoryOf(scope: string): Record<string, any> {
  const act = (name: string, given: Record<string, unknown> = {}) => ask("memory", name, { scope, ...given });
  return {
    get: async (name: string, otherwise: unknown = null) => (await act("get", { name })) ?? otherwise,
    set: (name: string, value: unknown) => act("set", { name, value }),
    append: (name: string, text: string) => act("append", { name, value: text }),
    delete: (name: string) => act("delete", { name }),
    list: () => act("list"),
  };
}

const context = {
  model: (messages: unknown, { instructions = "" } = {}) => ask("model", "", { messages, instructions }),
  run: (agent: string, input: unknown = null) => ask("run", agent, { input }),
  ask: (question: string, { schema = null, expires_s = null }: Record<string, any> = {}) =>
    ask("ask", "", { question, schema, expires_s }),
  sleep: (duration_s: number) => ask("sleep", "", { duration_s }),
  now: async () => new Date(await ask("now", "", {})),
  random: () => ask("random", "", {}),
  uuid: () => ask("uuid", "", {}),
  progress: (message = "", { fraction = null }: Record<string, any> = {}) => tell("progress", "", { message, fraction }),
  emit: (name: string, value: unknown = null) => tell("emit", name, { value }),
  memory: { ...memoryOf("agent"), thread: memoryOf("thread") },
};

// mulberry32
function seeded(seed: number): () => number {
  let state = Math.trunc(seed * 2 ** 32);
  return () => {
    state = (state + 0x6D2B79F5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function settle(answer: any): void {
  const waiting = answers.get(answer.id);
  answers.delete(answer.id);
  if (answer.error) waiting?.reject(new CallFailed(answer.error.message, answer.error.code));
  else waiting?.resolve(answer.result);
}

async function* lines(): AsyncGenerator<any> {
  let unread = "";
  const streaming = new TextDecoder();
  for await (const chunk of Deno.stdin.readable) {
    unread += streaming.decode(chunk, { stream: true });
    const found = unread.split("\n");
    unread = found.pop()!;
    for (const line of found) yield JSON.parse(line);
  }
}

// What the code prints goes to stderr as it is, or to the host as text: stdout is the channel.
function text(chunk: Uint8Array): number {
  send({ type: "text", text: decoder.decode(chunk) });
  return chunk.length;
}

function offer(job: any): void {
  const say = (...parts: unknown[]) => {
    const shown = parts.map((part) => typeof part === "string" ? part : Deno.inspect(part));
    send({ type: "text", text: shown.join(" ") + "\n" });
  };
  Object.assign(console, { log: say, info: say, debug: say });
  Object.assign(globalThis, { callTool, http, context, CallFailed });
  if (job.seed !== null) Math.random = seeded(job.seed);
  stdout.writeSync = text;
  stdout.write = (chunk: Uint8Array) => Promise.resolve(text(chunk));
}

function describe(error: any, job: any): unknown {
  const known = error instanceof Error;
  const message = String(known ? error.message : error).slice(0, 10_000);
  const shown = (known ? String(error.stack) : message).replaceAll(job.url, job.file);
  const trace = shown.split("\n").filter((line) => !line.includes("harness.ts:")).join("\n").slice(0, 20_000);
  const place = new RegExp(job.file.replace(".", "\\.") + ":(\\d+)").exec(shown);
  const is_memory = known && error.name === "RangeError" && /allocation failed|out of memory|could not allocate/i.test(message);
  return {
    type: "failed",
    is_memory,
    error: {
      type: known ? error.name : "Error",
      message: message.replaceAll(job.url, job.file),
      traceback: trace,
      file: place ? job.file : null,
      line: place ? Number(place[1]) : null,
    },
  };
}

async function perform(job: any): Promise<unknown> {
  const module = await import(job.url);
  const entry = module[job.entry];
  if (typeof entry !== "function") {
    const names = Object.keys(module).filter((name) => typeof module[name] === "function").sort().join(", ");
    throw new ReferenceError(`the code exports no function '${job.entry}'; its functions: ${names || "none"}`);
  }
  const result = await entry(job.inputs);
  const size = encoder.encode(stringify(result) ?? "null").length;
  if (size > job.longest) throw new RangeError(`the result has ${size} bytes as JSON, and ${job.longest} are taken`);
  return result ?? null;
}

async function work(job: any): Promise<void> {
  const fail = (event: any) => {
    event.preventDefault();
    send(describe(event.reason ?? event.error, job));
  };
  addEventListener("unhandledrejection", fail);
  addEventListener("error", fail);
  let end;
  try {
    end = { type: "done", result: await perform(job) };
  } catch (error) {
    end = describe(error, job);
  }
  send(end);
}

let job: any = null;
send({ type: "ready" });
for await (const line of lines()) {
  // One answer at a time, so that the code acts on them in the order in which they came.
  if (job !== null) {
    settle(line);
    await rest();
  } else {
    job = line;
    offer(job);
    work(job);
  }
}
