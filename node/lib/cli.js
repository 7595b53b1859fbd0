#!/usr/bin/env node
// The command line: starts the program, and ends as it does.
import { spawnSync } from "node:child_process";
import { constants } from "node:os";

import { findBinary } from "./binary.js";

let program;
try {
  // What commands may write stands in arguments that only the program reads.
  program = findBinary();
} catch (error) {
  process.stderr.write(`error: ${error.message}\n`);
  process.exit(125);
}
// It passes these on; here they must not end this process before.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"]) process.on(signal, () => {});
const done = spawnSync(program, process.argv.slice(2), { argv0: "ringfence", stdio: "inherit" });
process.exit(done.status ?? 128 + constants.signals[done.signal]);
