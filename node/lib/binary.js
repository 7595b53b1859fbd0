// Finds the program `ringfence`, and takes none that a sandboxed command could have put there.
import { accessSync, constants, realpathSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, delimiter, dirname, isAbsolute, join, resolve, sep } from "node:path";

import { SandboxError } from "./errors.js";

const NAME = "ringfence";
// As the Rust library has it. Not RINGFENCE: that is `1` inside of every sandbox.
const VARIABLE = "RINGFENCE_HELPER";

/**
 * The program: the one of the platform's package, `$RINGFENCE_HELPER`, or the first on `PATH`. One below a directory in
 * `writable` is passed over, unless a directory in `readonly` is nearer.
 */
export function findBinary({ writable = [], readonly = [] } = {}) {
  const opened = writable.map(real);
  const closed = readonly.map(real);
  const passedOver = [];
  for (const candidate of candidates()) {
    if (!candidate || !isAbsolute(candidate) || !isProgram(candidate)) continue;
    // The link may be replaced as well as what it leads to.
    const places = [real(candidate), join(real(dirname(candidate)), basename(candidate))];
    if (places.some((place) => depth(place, opened) > depth(place, closed))) passedOver.push(candidate);
    else return places[0];
  }
  throw notFound(passedOver);
}

function* candidates() {
  const require = createRequire(import.meta.url);
  try {
    yield require.resolve(`${NAME}-${process.platform}-${process.arch}/bin/${NAME}`);
  } catch {
    // Not installed, or none for this machine: the others may do.
  }
  yield process.env[VARIABLE];
  for (const directory of (process.env.PATH ?? "").split(delimiter)) yield join(directory || ".", NAME);
}

function notFound(passedOver) {
  if (passedOver.length > 0) {
    const [first] = passedOver;
    const modules = first.indexOf(`${sep}node_modules${sep}`);
    const kept = modules < 0 ? dirname(first) : first.slice(0, modules) + `${sep}node_modules`;
    return new SandboxError(
      `the program \`${first}\` lies where the command can write: it could be another one by the next run`,
      { hint: `read: [${JSON.stringify(kept)}] keeps it from changing; or install ringfence outside of the workspace` },
    );
  }
  return new SandboxError(`the program \`${NAME}\` was not found among packages, in ${VARIABLE} and on PATH`, {
    hint: `npm install ${NAME}-${process.platform}-${process.arch}, or ${VARIABLE}=/path/to/${NAME}`,
  });
}

function isProgram(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** The path without links, as far as it exists. */
function real(path) {
  const absolute = resolve(path);
  try {
    return realpathSync(absolute);
  } catch {
    return absolute === dirname(absolute) ? absolute : join(real(dirname(absolute)), basename(absolute));
  }
}

/** How many names the nearest rule above `path` has; -1 for none. */
function depth(path, rules) {
  const above = rules.filter((rule) => path === rule || path.startsWith(rule.endsWith(sep) ? rule : rule + sep));
  return Math.max(-1, ...above.map((rule) => rule.split(sep).filter(Boolean).length));
}
