#!/usr/bin/env node
// Packs ringfence and ringfence-PLATFORM, which holds the program, into tarballs: `node/pack.mjs BINARY DIRECTORY [ARCH]`.
import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const [binary, directory, arch = process.arch] = process.argv.slice(2);
if (!binary || !directory) {
  process.stderr.write("usage: node/pack.mjs BINARY DIRECTORY [ARCH]\n");
  process.exit(2);
}
const source = dirname(fileURLToPath(import.meta.url));
const root = dirname(source);
const out = resolve(directory);
const description = JSON.parse(readFileSync(join(source, "package.json"), "utf8"));
// One version for all: that of Cargo.toml.
const version = /^version = "(.*)"$/m.exec(readFileSync(join(root, "Cargo.toml"), "utf8"))[1];

function pack(name, content, fill) {
  const place = join(out, name);
  rmSync(place, { recursive: true, force: true });
  mkdirSync(place, { recursive: true });
  writeFileSync(join(place, "package.json"), JSON.stringify(content, null, 2) + "\n");
  copyFileSync(join(root, "LICENSE"), join(place, "LICENSE"));
  fill(place);
  execFileSync("npm", ["pack", "--silent", "--pack-destination", out], { cwd: place, stdio: "inherit" });
  rmSync(place, { recursive: true });
}

const platforms = Object.keys(description.optionalDependencies);
const mine = `ringfence-linux-${arch}`;
if (!platforms.includes(mine)) {
  process.stderr.write(`error: ${mine} is not among the optionalDependencies of node/package.json\n`);
  process.exit(1);
}
const { license } = description;
const platform = { name: mine, version, description: `The program ringfence for Linux on ${arch}`, license };
pack(mine, { ...platform, os: ["linux"], cpu: [arch], files: ["bin"] }, (place) => {
  mkdirSync(join(place, "bin"));
  copyFileSync(resolve(binary), join(place, "bin/ringfence"));
  chmodSync(join(place, "bin/ringfence"), 0o755);
});
const optionalDependencies = Object.fromEntries(platforms.map((name) => [name, version]));
pack("ringfence", { ...description, version, optionalDependencies }, (place) => {
  cpSync(join(source, "lib"), join(place, "lib"), { recursive: true });
  copyFileSync(join(root, "docs/node.md"), join(place, "README.md"));
});
