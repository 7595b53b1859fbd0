// What was installed, on real sandboxes: each denial stands next to its control.
import assert from "node:assert/strict";
import { execFileSync as plainExec, spawnSync as plainSpawn } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { after, beforeEach, describe, test } from "node:test";
import { promisify } from "node:util";

import * as ringfence from "ringfence";

const { execFile, execFileSync, findBinary, plan, run, Sandbox, SandboxError, spawn, spawnSync, why } = ringfence;
const app = process.cwd();
let place, work;

beforeEach(() => {
  if (place) fs.rmSync(place, { recursive: true });
  place = fs.mkdtempSync("/var/tmp/ringfence-node-");
  work = path.join(place, "work");
  for (const name of ["work", "home", "other"]) fs.mkdirSync(path.join(place, name));
  process.env.HOME = path.join(place, "home");
  for (const name of ["XDG_CONFIG_HOME", "XDG_CACHE_HOME", "RINGFENCE_HELPER"]) delete process.env[name];
  process.chdir(work);
});

after(() => {
  process.chdir("/");
  fs.rmSync(place, { recursive: true });
});

describe("run", () => {
  test("the workspace is writable and nothing else", async () => {
    const script = ["-c", `echo one > file && echo two > ${place}/other/file`];
    const denied = await run("sh", script);
    assert.notEqual(denied.code, 0);
    assert.match(denied.stderr, /Read-only file system/);
    assert.equal(fs.readFileSync("file", "utf8"), "one\n");
    assert.equal((await run("sh", script, { ringfence: { write: [`${place}/other`] } })).code, 0);
    assert.equal(fs.readFileSync(`${place}/other/file`, "utf8"), "two\n");
  });

  test("deny hides", async () => {
    fs.writeFileSync("secret", "s");
    assert.equal((await run("cat", ["secret"])).stdout, "s");
    assert.notEqual((await run("cat", ["secret"], { ringfence: { deny: "secret" } })).code, 0);
  });

  test("input, shell, cwd and buffers", async () => {
    assert.equal((await run("tr", ["a-z", "A-Z"], { input: "grüße" })).stdout, "GRüßE");
    assert.equal((await run("echo $RINGFENCE", { shell: true })).stdout, "1\n");
    fs.mkdirSync("sub");
    assert.equal((await run("pwd; touch here; touch ../there", { shell: true, cwd: "sub" })).stdout, `${work}/sub\n`);
    assert(fs.existsSync("sub/here") && !fs.existsSync("there"));
    const { stdout } = await run("printf", ["\\377"], { encoding: "buffer" });
    assert.deepEqual(stdout, Buffer.from([255]));
  });

  test("codes of the command are its own", async () => {
    for (const code of [0, 9, 124, 125, 126, 127]) {
      const done = await run("sh", ["-c", `exit ${code}`]);
      assert.deepEqual([done.code, done.signal, done.outcome.ending.kind], [code, null, "exit"]);
    }
    const killed = await run("sh", ["-c", "kill -KILL $$"]);
    assert.deepEqual([killed.code, killed.signal], [null, "SIGKILL"]);
    const missing = await run("no-such-program");
    assert.deepEqual([missing.code, missing.outcome.ending.kind], [127, "not-executed"]);
  });

  test("no sandbox is an error, and nothing has run", async () => {
    for (const options of [{ write: ["missing"] }, { sandbox: "full-access", deny: "/etc" }, { net: "nonsense" }]) {
      await assert.rejects(run("touch", ["ran"], { ringfence: options }), (error) => {
        assert(error instanceof SandboxError && error.message, String(error));
        return true;
      });
    }
    await assert.rejects(async () => run("touch", ["ran"], { ringfence: { wriet: "x" } }), TypeError);
    assert(!fs.existsSync("ran"));
    assert.equal((await run("touch", ["ran"])).code, 0);
    assert(fs.existsSync("ran"));
  });

  test("time-outs and buffers that are full", async () => {
    const start = Date.now();
    await assert.rejects(run("echo started; sleep 71.25", { shell: true, timeout: 300 }), (error) => {
      assert.deepEqual([error.code, error.stdout, error.killed], ["ETIMEDOUT", "started\n", true]);
      return true;
    });
    assert(Date.now() - start < 10_000);
    await assert.rejects(run("yes", { maxBuffer: 1000 }), { code: "ERR_CHILD_PROCESS_STDIO_MAXBUFFER" });
    assert(!plainExec("ps", ["-eo", "args"], { encoding: "utf8" }).includes("71.25"));
  });

  test("the environment is judged", async () => {
    process.env.API_TOKEN = "hidden";
    process.env.PLAIN = "seen";
    const names = async (options) => {
      const { stdout } = await run("env", ["-0"], options);
      return Object.fromEntries(stdout.split("\0").filter(Boolean).map((line) => line.split(/=(.*)/s)));
    };
    const usual = await names({});
    assert.deepEqual([usual.PLAIN, usual.API_TOKEN], ["seen", undefined]);
    const env = await names({ env: { ...process.env, MY_TOKEN: "mine", PLAIN: "changed" } });
    assert.deepEqual([env.MY_TOKEN, env.PLAIN, env.API_TOKEN], ["mine", "changed", undefined]);
    const few = await names({ env: { PATH: "/usr/bin:/bin", LD_SOMETHING: "x" } });
    assert.deepEqual([few.PATH, few.LD_SOMETHING, few.PLAIN], ["/usr/bin:/bin", "x", undefined]);
    assert.equal((await names({ ringfence: { envPass: "API_TOKEN" } })).API_TOKEN, "hidden");
    const clear = await names({ env: { A: "1" }, ringfence: { envClear: true } });
    assert.deepEqual([clear.A, clear.HOME], ["1", undefined]);
  });
});

describe("in the shape of child_process", () => {
  test("spawn", async () => {
    const child = spawn("cat");
    child.stdin.end("through");
    let text = "";
    for await (const part of child.stdout) text += part;
    assert.equal(text, "through");
    assert.equal((await child.outcome).ending.code, 0);
    assert.equal(child.exitCode, 0);
    const failed = spawn("true", { ringfence: { write: "missing" } });
    await assert.rejects(failed.outcome, SandboxError);
  });

  test("spawn passes signals on, and kill ends all", async () => {
    const child = spawn("bash", ["-c", "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.05; done"]);
    const lines = child.stdout[Symbol.asyncIterator]();
    assert.equal(String((await lines.next()).value), "ready\n");
    child.kill();
    assert.equal(String((await lines.next()).value), "bye\n");
    assert.equal((await child.outcome).code, 7);
    const stuck = spawn("echo ready; sleep 72.25", { shell: true });
    await stuck.stdout[Symbol.asyncIterator]().next();
    stuck.kill("SIGKILL");
    await assert.rejects(stuck.outcome, /killed by SIGKILL/);
  });

  test("spawn passes the streams that are named, and only those", async () => {
    const named = spawn("sh", ["-c", "echo x >&3"], { stdio: ["ignore", "pipe", "pipe", "pipe"] });
    let text = "";
    for await (const part of named.stdio[3]) text += part;
    assert.equal(text, "x\n");
    assert.equal((await named.outcome).code, 0);
    const none = await run("bash", ["-c", "echo x >&3 || echo x >&4"]);
    assert.notEqual(none.code, 0);
  });

  test("execFile", async () => {
    const [error, stdout] = await new Promise((resolve) => {
      execFile("sh", ["-c", "echo out; echo err >&2; exit 3"], (...told) => resolve(told));
    });
    assert.deepEqual([error.code, stdout, error.stderr], [3, "out\n", "err\n"]);
    assert.equal((await promisify(execFile)("echo", ["x"])).stdout, "x\n");
    await assert.rejects(promisify(execFile)("false"), { code: 1 });
  });

  test("the synchronous ones", () => {
    const done = spawnSync("sh", ["-c", "cat; exit 3"], { input: "in", encoding: "utf8" });
    assert.deepEqual([done.status, done.signal, done.stdout, done.outcome.ending.code], [3, null, "in", 3]);
    assert.equal(spawnSync("sh", ["-c", "kill $$"]).signal, "SIGTERM");
    assert.equal(spawnSync("sleep", ["9"], { timeout: 200 }).error.code, "ETIMEDOUT");
    assert.throws(() => spawnSync("true", { ringfence: { write: "missing" } }), SandboxError);
    assert.equal(execFileSync("echo", ["x"], { encoding: "utf8" }), "x\n");
    assert.throws(() => execFileSync("false"), { status: 1 });
  });
});

describe("questions", () => {
  test("plan and why", async () => {
    const made = await plan("make", ["all"], { ringfence: { deny: "/etc/hostname" } });
    assert.deepEqual([made.command, made.cwd], [["make", "all"], work]);
    const { sections } = await plan("pip", { ringfence: { profile: ["git", "pip"] } });
    assert.match(JSON.stringify(sections.network), /pypi\.org/);
    assert.equal((await why("/etc/hostname", { ringfence: { deny: "/etc/hostname" } })).allowed, false);
    assert.equal((await why("/etc/hostname")).allowed, true);
    assert.equal((await why("/etc/hostname", { write: true })).allowed, false);
    await assert.rejects(plan("make", [], { ringfence: { write: "missing" } }), /does not exist/);
    await assert.rejects(why("/etc", { ringfence: { write: "missing" } }), SandboxError);
  });

  test("a Sandbox keeps options", async () => {
    const sandbox = new Sandbox({ cwd: work, ringfence: { deny: "/etc/hostname", write: `${place}/other` } });
    assert.notEqual((await sandbox.run("cat", ["/etc/hostname"])).code, 0);
    assert.equal((await sandbox.run("touch", [`${place}/other/x`])).code, 0);
    assert.notEqual((await sandbox.run("touch", [`${place}/other/y`], { ringfence: { write: [] } })).code, 0);
    assert.equal(sandbox.spawnSync("pwd", { encoding: "utf8" }).stdout, `${work}\n`);
    assert.equal((await sandbox.why("/etc/hostname")).allowed, false);
  });
});

describe("the program", () => {
  test("is the one that was installed", () => {
    assert(findBinary().startsWith(path.join(app, "node_modules/ringfence-linux-")), findBinary());
    const { bin, version } = createRequire(path.join(app, "x.js"))("./node_modules/ringfence/package.json");
    const cli = path.join(app, "node_modules/ringfence", bin.ringfence);
    assert.equal(plainExec(cli, ["--version"], { encoding: "utf8" }), `ringfence ${version}\n`);
    assert.equal(plainSpawn(cli, ["run", "--", "sh", "-c", "exit 7"]).status, 7);
  });

  test("is never one that commands can write to", async () => {
    await assert.rejects(async () => run("true", { cwd: app }), (error) => {
      assert.match(error.hint, /read: \[".*node_modules"\]/);
      return true;
    });
    const kept = { cwd: app, ringfence: { read: path.join(app, "node_modules") } };
    const done = await run("sh", ["-c", `touch ${path.dirname(findBinary())}/x`], kept);
    assert.notEqual(done.code, 0);
    assert.match(done.stderr, /Read-only/);
  });

  test("comes from the variable or the path where no package has it, and never from here", async () => {
    // The package alone, as where there is none for this machine.
    fs.cpSync(path.join(app, "node_modules/ringfence"), path.join(place, "other/ringfence"), { recursive: true });
    const alone = await import(path.join(place, "other/ringfence/lib/index.js"));
    const before = process.env.PATH;
    const put = (file) => {
      fs.mkdirSync(path.dirname(file), { recursive: true });
      fs.writeFileSync(file, "#!/bin/sh\n", { mode: 0o755 });
      return file;
    };
    try {
      put(path.join(work, "ringfence"));
      put(path.join(work, "bin/ringfence"));
      for (const [PATH, helper] of [[".", ""], ["", "ringfence"], ["bin:", "./ringfence"], ["::", "1"]]) {
        Object.assign(process.env, { PATH, RINGFENCE_HELPER: helper });
        assert.throws(() => alone.findBinary(), /was not found/);
      }
      Object.assign(process.env, { PATH: `${work}/bin:${place}/bin`, RINGFENCE_HELPER: "" });
      const good = put(path.join(place, "bin/ringfence"));
      assert.equal(alone.findBinary({ writable: [work] }), good);
      fs.symlinkSync(path.join(work, "bin/ringfence"), path.join(place, "home/ringfence"));
      process.env.PATH = path.join(place, "home");
      assert.throws(() => alone.findBinary({ writable: [work] }), /can write/);
      process.env.RINGFENCE_HELPER = put(path.join(place, "named"));
      assert.equal(alone.findBinary(), path.join(place, "named"));
    } finally {
      process.env.PATH = before;
    }
  });
});

describe("outcomes", () => {
  const teller = (text, code) => {
    const file = path.join(place, "teller");
    const word = '$(for w; do case $w in --json-outcome=*) echo ${w#*=};; esac; done)';
    fs.writeFileSync(file, `#!/bin/sh\ncat >&${"$n"} <<'X'\n${text}\nX\nexit ${code}\n`.replace("cat", `n=${word}\ncat`), { mode: 0o755 });
    return { ringfence: { binary: file } };
  };
  const good = { version: 1, code: 1, ending: { kind: "exit", code: 1 }, timed_out: null, limits: [{ limit: "memory", hits: 3 }], denials: [] };

  test("what is told arrives", async () => {
    const denial = { what: "/x", access: "write", because: "rule", remedy: { flag: "--write /x", toml: "" }, certain: true, count: 2 };
    const done = await run("x", teller(JSON.stringify({ ...good, denials: [denial] }), 1));
    assert.deepEqual([done.code, done.limits, done.denials], [1, good.limits, [denial]]);
  });

  test("what is not understood is never success", async () => {
    for (const text of ["", "{", "[]", "null", '{"version": 2}', '{"version": 1}']) {
      await assert.rejects(run("x", teller(text, 0)), SandboxError, text);
      assert.throws(() => spawnSync("x", teller(text, 0)), SandboxError, text);
    }
    const failed = { ...good, code: 125, ending: { kind: "failed", error: "no", hint: "yes" } };
    await assert.rejects(run("x", teller(JSON.stringify(failed), 125)), { message: "no\nhint: yes", hint: "yes" });
  });
});

test("the blocks of the page", async () => {
  const text = fs.readFileSync(process.env.RINGFENCE_PAGE, "utf8");
  const blocks = [...text.matchAll(/```js\n(.*?)```/gs)].map((found) => found[1]);
  assert(blocks.length >= 4);
  const file = path.join(app, "page.js");
  fs.writeFileSync(file, blocks.join("\n"));
  await import(file);
});
