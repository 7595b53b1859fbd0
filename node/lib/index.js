// Commands in a sandbox, in the shape of node:child_process.
import * as child_process from "node:child_process";
import { promisify } from "node:util";

import { call, endOf, outcomeOf, question } from "./call.js";
import { SandboxError, told } from "./errors.js";

export { findBinary } from "./binary.js";
export { SandboxError };

const DEFAULT_BUFFER = 1024 * 1024;

/** `(file, args, options, callback)`, of which all but the first may be missing. */
function sorted(rest) {
  const args = Array.isArray(rest[0]) ? rest.shift() : [];
  const options = typeof rest[0] === "object" && rest[0] !== null ? rest.shift() : {};
  const callback = rest.find((item) => typeof item === "function");
  return { args, options, callback };
}

/** As child_process.spawn, in a sandbox. */
export function spawn(file, ...rest) {
  const { args, options } = sorted(rest);
  const started = call(file, args, options);
  const child = child_process.spawn(started.program, started.argv, started.options);
  const channel = child.stdio[started.number];
  child.outcome = new Promise((resolve, reject) => {
    const parts = [];
    channel?.on("data", (part) => parts.push(part));
    channel?.on("error", () => {});
    child.once("error", reject);
    child.once("close", (code, signal) => {
      try {
        resolve(outcomeOf(Buffer.concat(parts).toString(), code, signal, child.said?.() ?? ""));
      } catch (error) {
        reject(error);
      }
    });
  });
  // Who does not look at it has the exit code.
  child.outcome.catch(() => {});
  return child;
}

/** Runs a command to its end. Rejects only where there was no sandbox, the time was over, or too much was printed. */
export function run(file, ...rest) {
  return start(file, rest).result;
}

function start(file, rest) {
  const { args, options } = sorted(rest);
  const { input, maxBuffer = DEFAULT_BUFFER, encoding = "utf8" } = options;
  const child = spawn(file, args, options);
  const [stdout, stderr] = [child.stdout, child.stderr].map((stream) => collect(stream, maxBuffer, child));
  child.said = () => stderr.text("utf8") ?? "";
  child.stdin?.on("error", () => {});
  if (input === undefined) child.stdin?.end();
  else child.stdin?.end(input);
  const result = child.outcome.then((outcome) => {
    const result = {
      ...endOf(outcome),
      stdout: stdout.text(encoding),
      stderr: stderr.text(encoding),
      outcome,
      denials: outcome.denials,
      limits: outcome.limits,
    };
    if (stdout.over || stderr.over) throw failed("ERR_CHILD_PROCESS_STDIO_MAXBUFFER", "maxBuffer exceeded", file, args, result);
    if (outcome.timed_out) throw failed("ETIMEDOUT", outcome.timed_out, file, args, result);
    return result;
  });
  result.catch(() => {});
  return { child, result };
}

function collect(stream, most, child) {
  const kept = { parts: [], size: 0, over: false, text: () => null };
  if (!stream) return kept;
  stream.on("data", (part) => {
    const room = most - kept.size;
    kept.parts.push(part.subarray(0, room));
    kept.size += part.length;
    if (kept.size > most && !kept.over) {
      kept.over = true;
      child.kill();
    }
  });
  kept.text = (encoding) => {
    const all = Buffer.concat(kept.parts);
    return encoding === "buffer" || encoding === null ? all : all.toString(encoding);
  };
  return kept;
}

/** What execFile tells of a command that did not exit with 0. */
function failed(code, why, file, args, result) {
  const error = new Error(`Command failed: ${[file, ...args].join(" ")}\n${why ?? result.stderr ?? ""}`);
  const { stdout, stderr, outcome, signal } = result;
  return Object.assign(error, { code, signal, killed: code === "ETIMEDOUT", cmd: file, stdout, stderr, outcome });
}

/** As child_process.execFile, in a sandbox; promisified, it resolves to `{stdout, stderr, outcome}`. */
export function execFile(file, ...rest) {
  const { args, options, callback } = sorted([...rest]);
  const { child, result } = start(file, rest);
  if (callback) {
    checked(result, file, args).then(
      ({ stdout, stderr }) => callback(null, stdout, stderr),
      (error) => callback(error, error.stdout ?? "", error.stderr ?? ""),
    );
  }
  return child;
}

execFile[promisify.custom] = (file, ...rest) => {
  const { args } = sorted([...rest]);
  const { child, result } = start(file, rest);
  return Object.assign(checked(result, file, args), { child });
};

async function checked(result, file, args) {
  const done = await result;
  if (done.code !== 0) throw failed(done.code, null, file, args, done);
  return done;
}

/** As child_process.spawnSync, in a sandbox. Throws only where there was none. */
export function spawnSync(file, ...rest) {
  const { args, options } = sorted(rest);
  const started = call(file, args, options);
  const encoding = options.encoding ?? "buffer";
  const done = child_process.spawnSync(started.program, started.argv, {
    ...started.options,
    encoding: "buffer",
    input: typeof options.input === "string" ? Buffer.from(options.input) : options.input,
  });
  if (done.error && done.error.code !== "ENOBUFS") throw done.error;
  const output = done.output.slice(0, started.number);
  const outcome = outcomeOf(done.output[started.number]?.toString() ?? "", done.status, done.signal, output[2]?.toString());
  const shown = output.map((part) => (part === null || encoding === "buffer" ? part : part.toString(encoding)));
  const { code, signal } = endOf(outcome);
  const result = { pid: done.pid, status: code, signal, output: shown, stdout: shown[1], stderr: shown[2], outcome };
  if (done.error) result.error = done.error;
  if (outcome.timed_out) result.error = Object.assign(new Error(`${outcome.timed_out}: ${file}`), { code: "ETIMEDOUT" });
  return { ...result, denials: outcome.denials, limits: outcome.limits };
}

/** As child_process.execFileSync, in a sandbox. */
export function execFileSync(file, ...rest) {
  const { args, options } = sorted(rest);
  const done = spawnSync(file, args, { stdio: ["pipe", "pipe", "inherit"], ...options });
  if (done.error) throw Object.assign(done.error, done);
  if (done.status !== 0) throw Object.assign(failed(done.status, null, file, args, done), done);
  return done.stdout;
}

/** What would be done for a command, as `ringfence plan --json` tells it. Nothing is run. */
export async function plan(file = "true", ...rest) {
  const { args, options } = sorted(rest);
  const { code, stdout, stderr } = await ask(question("plan", options, ["--", file, ...args]));
  if (code !== 0) throw told(stderr, `ringfence plan exited with ${code}`);
  return JSON.parse(stdout);
}

/** Whether a path may be read, or with `write` written, inside, and which rule says so. */
export async function why(path, options = {}) {
  const last = options.write ? [`--write=${path}`] : ["--", String(path)];
  const { code, stdout, stderr } = await ask(question("why", options, last));
  if (!stdout) throw told(stderr, `ringfence why exited with ${code}`);
  return JSON.parse(stdout);
}

function ask({ program, argv, options }) {
  return new Promise((resolve, reject) => {
    const whole = { ...options, maxBuffer: 64 * DEFAULT_BUFFER };
    const asked = child_process.execFile(program, argv, whole, (error, stdout, stderr) => {
      if (error && typeof error.code !== "number") reject(error);
      else resolve({ code: error?.code ?? 0, stdout, stderr });
    });
    asked.stdin?.end();
  });
}

/** Options for many commands. */
export class Sandbox {
  #options;

  /** `{cwd, env, …}` as for spawn, and `ringfence: {…}`. */
  constructor(options = {}) {
    this.#options = options;
  }

  #with(rest) {
    const { args, options, callback } = sorted(rest);
    const ringfence = { ...this.#options.ringfence, ...options.ringfence };
    return [args, { ...this.#options, ...options, ringfence }, ...(callback ? [callback] : [])];
  }

  spawn(file, ...rest) {
    return spawn(file, ...this.#with(rest));
  }

  run(file, ...rest) {
    return run(file, ...this.#with(rest));
  }

  execFile(file, ...rest) {
    return execFile(file, ...this.#with(rest));
  }

  spawnSync(file, ...rest) {
    return spawnSync(file, ...this.#with(rest));
  }

  execFileSync(file, ...rest) {
    return execFileSync(file, ...this.#with(rest));
  }

  plan(file, ...rest) {
    return plan(file, ...this.#with(rest));
  }

  why(path, options = {}) {
    return why(path, this.#with([options])[1]);
  }
}
