// Attempts to leave a sandbox, one a function: true says that it got through. `host` says where things are outside.
// deno-lint-ignore-file no-explicit-any
import fs from "node:fs";
import process from "node:process";
import { spawnSync } from "node:child_process";

const MIB = 1024 * 1024;

export const read_file = ({ host }: any) => Deno.readTextFileSync(host.secret).includes(host.marker);

export const read_by_node = ({ host }: any) => fs.readFileSync(host.secret, "utf8").includes(host.marker);

export async function import_file({ host }: any) {
  return (await import("file://" + host.secret, { with: { type: "text" } })).default.includes(host.marker);
}

export async function import_by_data({ host }: any) {
  const source = `export { default } from "file://${host.secret}" with { type: "text" };`;
  return (await import("data:application/javascript," + encodeURIComponent(source))).default.includes(host.marker);
}

export async function import_by_blob({ host }: any) {
  const source = `export { default } from "file://${host.secret}" with { type: "text" };`;
  const url = URL.createObjectURL(new Blob([source], { type: "application/javascript" }));
  return (await import(url)).default.includes(host.marker);
}

export function import_by_worker({ host }: any): Promise<boolean> {
  const source = `
    const found = await import("file://${host.secret}", { with: { type: "text" } });
    postMessage(found.default);
  `;
  return new Promise((resolve, reject) => {
    const worker = new Worker("data:application/javascript," + encodeURIComponent(source), { type: "module" });
    worker.onmessage = (event) => resolve(event.data.includes(host.marker));
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new Error(event.message));
    };
  });
}

export const list_folder = ({ host }: any) => [...Deno.readDirSync(host.folder)].length > 0;

export function read_through_link({ host }: any) {
  const link = `${host.folder}/link-js`;
  fs.symlinkSync(host.secret, link);
  try {
    return fs.readFileSync(link, "utf8").includes(host.marker);
  } finally {
    fs.unlinkSync(link);
  }
}

export const read_environments = ({ host }: any) =>
  ["self", "1", String(host.pid)].some((pid) => {
    try {
      const names = fs.readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").map((each) => each.split("=")[0]);
      return names.some((name) => name && !host.known.includes(name));
    } catch {
      return false;
    }
  });

export const read_own_environment = ({ host }: any) =>
  Object.keys(process.env).some((name) => !host.known.includes(name));

export async function connect_tcp({ host }: any) {
  (await Deno.connect({ hostname: "127.0.0.1", port: host.port })).close();
  return true;
}

export async function fetch_http({ host }: any) {
  const answer = await fetch(`http://127.0.0.1:${host.port}/`, { signal: AbortSignal.timeout(2000) });
  await answer.body?.cancel();
  return true;
}

export async function connect_unix({ host }: any) {
  (await Deno.connect({ transport: "unix", path: host.stream })).close();
  return true;
}

export function listen_tcp() {
  Deno.listen({ hostname: "127.0.0.1", port: 0 }).close();
  return true;
}

export const run_program = () => new Deno.Command("/bin/true").outputSync().success;

export const run_by_node = () => spawnSync("/bin/true").status === 0;

export function call_library() {
  const library = Deno.dlopen("libc.so.6", { socket: { parameters: ["i32", "i32", "i32"], result: "i32" } });
  return library.symbols.socket(2, 1, 0) >= 0;
}

export function signal_process({ host }: any) {
  process.kill(host.pid, 0);
  return true;
}

export function write_outside({ host }: any) {
  Deno.writeTextFileSync(`${host.folder}/written-js`, "x");
  Deno.removeSync(`${host.folder}/written-js`);
  return true;
}

export function write_system() {
  for (const folder of ["/", "/usr", "/etc", "/box", "/dev/shm"]) {
    try {
      Deno.writeTextFileSync(`${folder}/x-js`, "x");
      Deno.removeSync(`${folder}/x-js`);
      return true;
    } catch {
      continue;
    }
  }
  return false;
}

export function take_heap() {
  const held: unknown[] = [];
  for (let size = 0; size < 900 * MIB; size += 8 * MIB) held.push(new Array(MIB).fill(size + 0.5));
  return held.length > 0;
}

export function take_buffers() {
  const held = Array.from({ length: 14 }, () => new Uint8Array(64 * MIB).fill(1));
  return held.length === 14;
}

export function take_shared_buffers() {
  const held = Array.from({ length: 14 }, () => new Uint8Array(new SharedArrayBuffer(64 * MIB)).fill(1));
  return held.length === 14;
}

export function take_wasm() {
  const memory = new WebAssembly.Memory({ initial: 16 * 900 });
  new Uint8Array(memory.buffer).fill(1);
  return true;
}

export function take_shared_wasm() {
  const memory = new WebAssembly.Memory({ initial: 16 * 900, maximum: 16 * 900, shared: true });
  new Uint8Array(memory.buffer).fill(1);
  return true;
}

export async function worker_bomb() {
  const source = "data:application/javascript," + encodeURIComponent("postMessage(1); setInterval(() => {}, 1000)");
  const workers = Array.from({ length: 40 }, () => new Worker(source, { type: "module" }));
  try {
    await Promise.all(workers.map((worker) =>
      new Promise((resolve, reject) => {
        worker.onmessage = resolve;
        worker.onerror = reject;
      })
    ));
    // Longer than it takes to be seen.
    await new Promise((resolve) => setTimeout(resolve, 700));
  } finally {
    for (const worker of workers) worker.terminate();
  }
  return true;
}

export function loop_forever() {
  while (true);
}

export const sleep_long = () => new Promise((resolve) => setTimeout(() => resolve(true), 30_000));

export function print_much() {
  for (let count = 0; count < 100; count++) console.log("x".repeat(MIB));
  return true;
}

export function print_much_to_stderr() {
  for (let count = 0; count < 100; count++) console.error("x".repeat(MIB));
  return true;
}

export const give_much = () => "x".repeat(20 * MIB);

export async function replace_globals() {
  const stop = () => {
    throw new Error("no");
  };
  Object.assign(globalThis, { JSON: { stringify: stop, parse: stop }, Promise: stop, Uint8Array: stop });
  TextEncoder.prototype.encode = stop;
  Array.prototype.map = stop;
  await null;
  return true;
}
