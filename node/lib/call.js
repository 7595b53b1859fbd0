// What is started: the program, its arguments, and the descriptor on which it tells the outcome.
import { resolve } from "node:path";
import { constants } from "node:os";

import { SandboxError, told } from "./errors.js";
import { environment, flags, program } from "./options.js";

/** Taken out of the options of child_process: they would say something about ringfence, not about the command. */
const OURS = ["ringfence", "cwd", "env", "shell", "stdio", "timeout", "argv0", "input"];

export function call(file, args, options) {
  const own = options.ringfence ?? {};
  const cwd = resolve(options.cwd instanceof URL ? options.cwd.pathname : (options.cwd ?? "."));
  const [env, variables] = environment(options.env, own.envClear);
  const stdio = streams(options);
  const passed = stdio.flatMap((stream, at) => (at > 2 && stream !== "ignore" ? [`--pass-fd=${at}`] : []));
  const time = options.timeout ? [`--timeout=${options.timeout}ms`] : [];
  const number = stdio.length;
  const words = [...flags(own), ...variables, ...passed, ...time, `--cd=${cwd}`];
  const shell = typeof options.shell === "string" ? options.shell : "/bin/sh";
  const command = options.shell ? [shell, "-c", [file, ...args].join(" ")] : [file, ...args];
  const rest = Object.fromEntries(Object.entries(options).filter(([name]) => !OURS.includes(name)));
  return {
    program: program(own, cwd),
    argv: ["run", ...words, `--json-outcome=${number}`, "--", ...command],
    number,
    options: { ...rest, argv0: "ringfence", env, stdio: [...stdio, "pipe"] },
  };
}

function streams({ stdio = "pipe" }) {
  if (typeof stdio === "string") return [stdio, stdio, stdio];
  const all = stdio.map((stream, at) => stream ?? (at > 2 ? "ignore" : "pipe"));
  while (all.length < 3) all.push("pipe");
  if (all.includes("ipc")) throw new TypeError("a sandboxed command has no IPC channel");
  return all;
}

/** `ringfence plan` or `why` with these options. */
export function question(verb, options, last) {
  const own = options.ringfence ?? {};
  const cwd = resolve(options.cwd ?? ".");
  const [env, variables] = environment(options.env, own.envClear);
  const words = [verb, "--json", ...flags(own), ...variables, `--cd=${cwd}`, ...last];
  return { program: program(own, cwd), argv: words, options: { env, argv0: "ringfence" } };
}

/**
 * What was told. Throws a SandboxError where the command has not run, or nothing that is understood was told.
 */
export function outcomeOf(text, code, signal, stderr = "") {
  let outcome = null;
  try {
    outcome = JSON.parse(text);
  } catch {
    // Nothing, or a part: below it is said so.
  }
  if (outcome?.version !== 1 || typeof outcome.ending?.kind !== "string" || typeof outcome.code !== "number") {
    if (signal) throw new SandboxError(`ringfence was killed by ${signal}`, { stderr });
    throw told(String(stderr), `ringfence exited with ${code} and told no outcome`);
  }
  if (outcome.ending.kind === "failed") {
    const { error, hint } = outcome.ending;
    throw new SandboxError(error, { hint, stderr, outcome });
  }
  return { limits: [], denials: [], timed_out: null, ...outcome };
}

/** The exit code and the signal, as child_process tells them; 124 where a time-out sent it. */
export function endOf(outcome) {
  if (outcome.ending.kind !== "signal" || outcome.timed_out) return { code: outcome.code, signal: null };
  const name = Object.keys(constants.signals).find((name) => constants.signals[name] === outcome.ending.signal);
  return { code: null, signal: name ?? `SIG${outcome.ending.signal}` };
}
