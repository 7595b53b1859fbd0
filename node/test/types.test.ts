// Compiled, not run: what callers write is what the declarations say, and what they must not write is an error.
import { promisify } from "node:util";

import { execFile, findBinary, plan, run, Sandbox, SandboxError, spawn, spawnSync, why } from "ringfence";
import type { Denial, Outcome } from "ringfence";

export async function all(): Promise<void> {
  const child = spawn("ls", ["-l"], { stdio: "inherit", ringfence: { gpu: [0, "mig:0/1/0"], allowHosts: "pypi.org" } });
  const outcome: Outcome = await child.outcome;
  const kinds: string = outcome.ending.kind === "signal" ? String(outcome.ending.signal) : outcome.ending.kind;
  const done = await run("ls", { cwd: "/", timeout: 1000, ringfence: { write: ["/x"] } });
  const denials: Denial[] = done.denials;
  execFile("ls", ["-l"], (error, stdout) => stdout.length + (error ? 1 : 0));
  const { stdout } = await promisify(execFile)("ls", ["-l"], {});
  const status: number | null = spawnSync("ls").status;
  const { access } = await why("/etc", { write: true });
  await plan("ls", ["-l"]);
  const sandbox = new Sandbox({ cwd: "/x", ringfence: { memory: "2G" } });
  await sandbox.run("ls");
  // @ts-expect-error there is no such option
  await run("ls", { ringfence: { wriet: ["/x"] } });
  // @ts-expect-error a mode that there is not
  spawn("ls", { ringfence: { sandbox: "open" } });
  throw new SandboxError([kinds, denials, stdout, status, access, findBinary()].join());
}
