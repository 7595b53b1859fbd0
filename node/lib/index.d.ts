import type * as child_process from "node:child_process";

/** Options of `ringfence run`, each with the meaning of the one with the same name. */
export interface Options {
  /** What may be written; `workspace-write` where nothing else is said. */
  sandbox?: "read-only" | "workspace-write" | "full-access";
  /** A policy file: TOML, OpenShell's YAML or Codex's JSON. */
  config?: string;
  /** What well-known tools need, by the names that `ringfence profiles` lists. */
  profile?: string | string[];
  /** `auto`, `off`, `all`, `visible`, an index or a selector, or a list of the last two. */
  gpu?: string | number | Array<string | number>;
  gpuClass?: string | string[];
  gpuHideOthers?: boolean;
  cdiDir?: string | string[];
  read?: string | string[];
  write?: string | string[];
  modify?: string | string[];
  deny?: string | string[];
  device?: string | string[];
  unix?: string | string[];
  net?: "none" | "proxy" | "allow" | "host";
  allowHosts?: string | string[];
  denyHosts?: string | string[];
  httpMethods?: string | string[];
  transparent?: boolean;
  /** Ports, or texts `HOSTPORT:PORT`. */
  publish?: string | number | Array<string | number>;
  exposeHost?: string | number | Array<string | number>;
  noUnix?: boolean;
  git?: "protect" | "commit";
  tmp?: "private" | "host";
  noProc?: boolean;
  /** Variables that are let through though they look like secrets. */
  envPass?: string | string[];
  /** Start with no variable but those of `env` and `envPass`. */
  envClear?: boolean;
  allow?: string | string[];
  backend?: "auto" | "native" | "bwrap" | "landlock";
  landlock?: "required" | "best-effort";
  audit?: boolean;
  /** Note what the command is refused, so that the outcome names it with what would allow it. */
  explain?: boolean;
  /** Print no notes about it on standard error. */
  quiet?: boolean;
  log?: string;
  allowUnenforced?: boolean;
  /** Bytes, or text such as `2G`. */
  memory?: number | string;
  pids?: number;
  cpus?: number;
  openFiles?: number;
  fileSize?: number | string;
  tmpSize?: number | string;
  /** Milliseconds. */
  idleTimeout?: number;
  cgroup?: string;
  /** The program, if it is to be none of those that `findBinary` looks for. */
  binary?: string;
}

/** Something that the sandbox kept from the command. */
export interface Denial {
  what: string;
  access: "read" | "write" | "execute" | "connect" | "call";
  /** The rule that said so. */
  because: string;
  /** What would allow it; `missing`: its path has to be made outside first. */
  remedy: { flag: string; toml: string; missing: boolean } | null;
  certain: boolean;
  count: number;
}

/** How a run ended, as `--json-outcome` tells it. */
export interface Outcome {
  version: 1;
  code: number;
  ending:
    | { kind: "exit"; code: number }
    | { kind: "signal"; signal: number }
    | { kind: "not-executed"; error: string }
    | { kind: "failed"; error: string; hint?: string | null };
  timed_out: "timeout" | "idle-timeout" | null;
  limits: Array<{ limit: string; hits: number }>;
  explained?: boolean;
  denials: Denial[];
}

/** The sandbox could not be made, so the command has not run. */
export class SandboxError extends Error {
  readonly hint: string | null;
  readonly stderr: string | null;
  readonly outcome: Outcome | null;
}

/** What all calls take besides the options of node:child_process. `timeout` is in milliseconds and kept by ringfence. */
export interface Fenced {
  ringfence?: Options;
}

type Text = { encoding?: BufferEncoding | "buffer"; input?: string | Uint8Array; maxBuffer?: number };
export type SpawnOptions = child_process.SpawnOptions & Fenced;
export type RunOptions = SpawnOptions & Text;
export type SyncOptions = child_process.SpawnSyncOptions & Fenced;

/** A child process that is `ringfence`, and what it tells when the command has ended. */
export interface ChildProcess extends child_process.ChildProcess {
  /** Rejects with a SandboxError where the command has not run. */
  readonly outcome: Promise<Outcome>;
}

export interface Result {
  /** `null` where a signal ended it. */
  code: number | null;
  signal: string | null;
  stdout: string | null;
  stderr: string | null;
  outcome: Outcome;
  denials: Denial[];
  limits: Outcome["limits"];
}

export interface SyncResult extends child_process.SpawnSyncReturns<string | Buffer> {
  outcome: Outcome;
  denials: Denial[];
  limits: Outcome["limits"];
}

type Callback = (error: (Error & { code?: number | string; outcome?: Outcome }) | null, stdout: string, stderr: string) => void;

/** As `child_process.spawn`, in a sandbox. */
export function spawn(file: string, args?: readonly string[], options?: SpawnOptions): ChildProcess;
export function spawn(file: string, options: SpawnOptions): ChildProcess;
/** Runs a command to its end. Rejects only where there was no sandbox, the time was over, or too much was printed. */
export function run(file: string, args?: readonly string[], options?: RunOptions): Promise<Result>;
export function run(file: string, options: RunOptions): Promise<Result>;
/** As `child_process.execFile`, in a sandbox. `util.promisify` gives `{stdout, stderr, outcome}`. */
export const execFile: {
  (file: string, callback?: Callback): ChildProcess;
  (file: string, args: readonly string[], callback?: Callback): ChildProcess;
  (file: string, options: RunOptions, callback?: Callback): ChildProcess;
  (file: string, args: readonly string[], options: RunOptions, callback?: Callback): ChildProcess;
  __promisify__(file: string, args?: readonly string[], options?: RunOptions): Promise<Result>;
};
/** As `child_process.spawnSync`, in a sandbox. Throws only where there was none. */
export function spawnSync(file: string, args?: readonly string[], options?: SyncOptions): SyncResult;
export function spawnSync(file: string, options: SyncOptions): SyncResult;
/** As `child_process.execFileSync`, in a sandbox. */
export function execFileSync(file: string, args?: readonly string[], options?: SyncOptions): string | Buffer;
export function execFileSync(file: string, options: SyncOptions): string | Buffer;

/** Where questions are asked about. */
export type Asked = Fenced & { cwd?: string; env?: NodeJS.ProcessEnv };

/** What would be done for a command, as `ringfence plan --json` tells it. Nothing is run. */
export function plan(file?: string, args?: readonly string[], options?: Asked): Promise<Record<string, unknown>>;
export function plan(file: string, options: Asked): Promise<Record<string, unknown>>;

export interface Answer {
  path: string;
  allowed: boolean;
  access: "none" | "read" | "modify" | "write";
  /** The rule that decides, by its path. */
  at: string;
  line: string;
  because: string;
}

/** Whether a path may be read, or with `write` written, inside, and which rule says so. */
export function why(path: string, options?: Asked & { write?: boolean }): Promise<Answer>;

/** Options for many commands; those of a call come in their place. */
export class Sandbox {
  constructor(options?: RunOptions);
  spawn: typeof spawn;
  run: typeof run;
  execFile(file: string, ...rest: unknown[]): ChildProcess;
  spawnSync: typeof spawnSync;
  execFileSync: typeof execFileSync;
  plan: typeof plan;
  why: typeof why;
}

/**
 * The program: the one of the platform's package, `$RINGFENCE_HELPER`, or the first on `PATH`. One below a directory in
 * `writable` is passed over, unless a directory in `readonly` is nearer.
 */
export function findBinary(where?: { writable?: string[]; readonly?: string[] }): string;
