# What is done often. `just` alone lists it; nothing here is needed that `cargo` or `.ci/run` does not do.

_default:
    @just --list

# Build the release binary.
build:
    cargo build --release

# The tests.
test *ARGS:
    cargo test {{ARGS}}

# Everything that a change must pass.
ci:
    .ci/run

# Hostile programs against every engine, or those with this in `class/name`; prints who held what.
hostile CASES="":
    HOSTILE={{CASES}} cargo test --test hostile

# The same, each program in a session that is made for it; as root.
hostile-sessions CASES="":
    RINGFENCE_LAB_SESSIONS=1 HOSTILE={{CASES}} cargo test --test hostile

# The same, each program with its calls noted.
hostile-explained CASES="":
    RINGFENCE_LAB_OPTIONS='--explain --quiet' HOSTILE={{CASES}} cargo test --test hostile

# The Debian package, in target/deb: needs cargo-deb. `just deb-test` installs it in a copy of this machine's root; as root.
deb *ARGS:
    packaging/deb/build {{ARGS}}

deb-test *ARGS:
    tests/deb/run {{ARGS}}

# The manual pages, in target/man.
man:
    cargo run --quiet --example man -- target/man

# The pages as a site, in target/book/html; needs mdbook.
book:
    packaging/book

# The session in the README, recorded again with the release binary; as root, for a home directory of its own.
recording: build
    docs/recording/record.py "$(ls "${CARGO_TARGET_DIR:-target}"/*-linux-*/release/ringfence | head -n 1)"

# Format the code.
fmt:
    cargo fmt

# Lints, as in ci.
lint:
    cargo clippy --all-targets -- -D warnings

# Licences, advisories and bans of dependencies; needs cargo-deny.
deny:
    cargo deny check

# Advisories against the exact versions of Cargo.lock; needs cargo-audit.
audit:
    cargo audit

# What the binary is made of, as CycloneDX: ringfence.cdx.json; needs cargo-cyclonedx.
sbom:
    cargo cyclonedx --format json --target "$(rustc -vV | sed -n 's/^host: //p')" --override-filename ringfence.cdx

# Two release builds of the last commit, in different directories: the binaries must be the same, byte for byte.
reproduce:
    tests/reproduce

# What a start executes, for the linker: link/start.order. Takes some minutes.
order:
    cargo build --release --config 'profile.release.strip="none"' --target-dir target/order/1
    cargo rustc --release --bin ringfence --target-dir target/order/2 -- -C strip=none
    link/order target/order/*/*-linux-*/release/ringfence

# Accept what snapshot tests print now. Read the diff: it is the review.
bless:
    UPDATE_EXPECT=1 cargo test

# Bundles of `ringfence oci` on runc and crun, next to `ringfence run`; as root.
oci:
    RINGFENCE_MUST=runc,crun,root cargo test --test e2e oci::

# A Slurm cluster of one node in namespaces of its own; as root, needs Debian's slurm-wlm and munge.
slurm:
    RINGFENCE_MUST=slurm tests/slurm/run

# A Ray cluster of three nodes in namespaces of its own; as root, gets Ray from PyPI.
ray:
    RINGFENCE_MUST=ray tests/ray/run

# Manifests against schemas and as containers of runc, and the Containerfile; as root, needs runc and Debian's
# golang-github-containers-common.
kubernetes:
    RINGFENCE_MUST=kubernetes tests/kubernetes/run

# The same policies on the published binary of Codex, which is the reference of its helper, and on ours.
diff-codex *ARGS:
    test -e target/reference/node_modules/@openai/codex || npm i --prefix target/reference --no-save @openai/codex@0.169.0
    RINGFENCE_REFERENCE="$PWD/target/reference/node_modules/@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex" \
        RINGFENCE_MUST=codex cargo test --test diff_codex -- {{ARGS}}

# What a sandbox costs, next to others: all parts (10 minutes), which writes docs/benchmarks/, or some of start, calls, work,
# rules and crowd.
bench *PARTS:
    cargo bench --bench compare -- {{PARTS}}

# How long it takes to find GPUs, on a machine with 16 of them and on this one.
bench-discovery RUNS="300":
    RUNS={{RUNS}} cargo bench --bench discovery

# What a call on a granted device costs inside, next to outside.
bench-device:
    cargo bench --bench device

# What it costs to go out through the bridge, next to a plain connection and to Codex's bridge.
bench-net:
    cargo bench --bench net

# Every fault at every step of a start, on every engine (or cells with this in their name); `cargo test` takes a sample.
faults WORD="":
    RINGFENCE_FAULTS=all cargo test --test faults -- "{{WORD}}"

# So many sandboxes in a row and 16 at a time, and whether anything grows: memory, descriptors, mounts, cgroups, files.
soak N="20000":
    cargo bench --bench soak -- {{N}}

# Real device nodes, on Debian's kernels 6.1 and 6.12 (or those named) in virtual machines; fetches kernels with apt-get.
vm *KERNELS:
    tests/vm/run nodes {{KERNELS}}

# On the same kernels: the suites, machines that lack or forbid something, control groups of version 2. Or those named, as
# in `just kernels limits 6.12`.
kernels *WHICH="suites variants limits":
    tests/vm/run {{WHICH}}

# Compile everything for aarch64, and run the unit tests that need no kernel, emulated; fetches a compiler with apt-get.
aarch64:
    tests/aarch64/run

# So many random policies over random trees: what the plan says, what each engine does and what is on disk must agree.
properties POLICIES="10000":
    RINGFENCE_POLICIES={{POLICIES}} cargo test --test properties -- --nocapture

# What hostile programs, servers and files may say, to a parser (`fuzz/fuzz_targets/`), for so many seconds; `all` takes each.
# Needs cargo-fuzz and a C++ compiler.
fuzz TARGET SECONDS="60":
    fuzz/run {{TARGET}} {{SECONDS}}

# All that is too long for ci, within an hour on two idle cores (or the parts that are named); the last lines say how it went.
reliability *PARTS:
    tests/reliability {{PARTS}}

# The Python package: the wheel, installed into a fresh environment and tested there; needs PyPI. Arguments go to pytest.
python *ARGS:
    tests/python/run {{ARGS}}

# The Node package: tarballs, installed into a clean directory and tested there; needs the npm registry.
node *ARGS:
    tests/node/run {{ARGS}}

# The MCP server, called by the clients of the Rust and the Python SDK; needs PyPI.
mcp:
    tests/mcp/run
