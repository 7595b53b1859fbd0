// Options as `ringfence run` takes them: one word each, so that a value that starts with a dash stays one.
import { resolve } from "node:path";

import { findBinary } from "./binary.js";

const many = (value) => (Array.isArray(value) ? value : [value]);
const each = (flag) => (value) => many(value).map((item) => `${flag}=${item}`);
const commas = (flag) => (value) => [`${flag}=${many(value).join(",")}`];
const one = (flag) => (value) => [`${flag}=${value}`];
const on = (flag) => (value) => (value ? [flag] : []);
const time = (flag) => (milliseconds) => [`${flag}=${milliseconds}ms`];

const OPTIONS = {
  sandbox: one("--sandbox"),
  config: one("--config"),
  profile: each("--profile"),
  gpu: commas("--gpu"),
  gpuClass: commas("--gpu-class"),
  gpuHideOthers: on("--gpu-hide-others"),
  cdiDir: each("--cdi-dir"),
  read: each("--read"),
  write: each("--write"),
  modify: each("--modify"),
  deny: each("--deny"),
  device: each("--device"),
  unix: each("--unix"),
  net: one("--net"),
  allowHosts: each("--allow-host"),
  denyHosts: each("--deny-host"),
  httpMethods: commas("--http-methods"),
  transparent: on("--transparent"),
  publish: each("--publish"),
  exposeHost: each("--expose-host"),
  noUnix: on("--no-unix"),
  git: one("--git"),
  tmp: one("--tmp"),
  noProc: on("--no-proc"),
  envPass: each("--env"),
  envClear: on("--env-clear"),
  allow: each("--allow"),
  backend: one("--backend"),
  landlock: one("--landlock"),
  audit: on("--audit"),
  explain: on("--explain"),
  quiet: on("--quiet"),
  log: one("--log"),
  allowUnenforced: on("--allow-unenforced"),
  memory: one("--memory"),
  pids: one("--pids"),
  cpus: one("--cpus"),
  openFiles: one("--open-files"),
  fileSize: one("--file-size"),
  tmpSize: one("--tmp-size"),
  idleTimeout: time("--idle-timeout"),
  cgroup: one("--cgroup"),
  binary: () => [],
};

/** The flags of these options. Throws a TypeError for what is no option. */
export function flags(options) {
  return Object.entries(options).flatMap(([name, value]) => {
    if (!Object.hasOwn(OPTIONS, name)) throw new TypeError(`\`${name}\` is not an option of ringfence`);
    return value === undefined || value === null ? [] : OPTIONS[name](value);
  });
}

/** The program for commands with these options that start in `cwd`. */
export function program(options, cwd) {
  if (options.binary) return resolve(options.binary);
  if (options.sandbox === "full-access") return findBinary();
  const listed = (...names) => names.flatMap((name) => many(options[name] ?? []));
  const workspace = options.sandbox === "read-only" ? [] : [cwd];
  return findBinary({ writable: [...workspace, ...listed("write", "modify")], readonly: listed("read", "deny") });
}

// Names that ringfence, or what starts it, reads for itself: there they would say something about it, not about the command.
const STEERING = /^(HOME|XDG_(CACHE|CONFIG)_HOME|XDG_RUNTIME_DIR|PATH|TMPDIR|GLIBC_TUNABLES|(LD|RUST|MALLOC|RINGFENCE)_.*)$/s;
// Those of them that it needs to find the user's configuration and other engines.
const NEEDED = ["HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "PATH"];

/**
 * The environment to start ringfence with, and flags, so that the command gets `env`: what is the same in the caller's own
 * is judged as if it came from there, so `{...process.env, NAME: "value"}` hands no secret over; the rest is set on purpose.
 */
export function environment(env, clear) {
  const own = process.env;
  if (env === undefined || env === null) return [{ ...own }, []];
  const started = Object.fromEntries(NEEDED.filter((name) => own[name] !== undefined).map((name) => [name, own[name]]));
  const words = [];
  for (const [name, given] of Object.entries(env)) {
    if (given === undefined) continue;
    const value = String(given);
    if (name === "" || name.includes("=") || (name + value).includes("\0")) {
      throw new TypeError(`\`${name}\` cannot be the name of a variable`);
    }
    const same = own[name] === value;
    const steers = STEERING.test(name);
    if (same || !steers) started[name] = value;
    if (clear || !same) words.push(steers ? `--env=${name}=${value}` : `--env=${name}`);
  }
  return [started, words];
}
