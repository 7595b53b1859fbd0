"""Runs test binaries of the package in a virtual machine, as root and as an ordinary user; prints a line for each module
of each, what was skipped and why, and a count at the end.

    suites.py ONLY BINARY...

ONLY is a part of the names of tests, or nothing.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from lab import landlock_abi

HOME = Path("/var/tmp/home")
USERS = {"root": 0, "user": 1000}
# No module takes longer, not even on a processor that is emulated.
LIMIT = 3600


# The ABI from which on no test may be skipped for lack of Landlock.
LANDLOCK_COMPLETE = 6


def must(user):
    """What no test may be skipped for here (RINGFENCE_MUST)."""
    needs = ["userns", "bwrap", "python3", "bash", "git"]
    needs += ["root"] if user == "root" else []
    return ",".join(needs + (["landlock"] if landlock_abi() >= LANDLOCK_COMPLETE else []))


def as_user(uid):
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--"] if uid else []


def modules(binary, only):
    """Tests by module, in the binary's order. The first part of a name is the module."""
    listed = subprocess.run([binary, "--list", "--format=terse"], capture_output=True, text=True, check=True).stdout
    found = {}
    for name in re.findall(r"^(.+): test$", listed, re.M):
        if re.search(only, name):
            found.setdefault(name.split("::")[0], []).append(name)
    return found


def run(binary, tests, user):
    """One module: how many passed and failed, its skips, and all that it printed."""
    home = HOME / user
    home.mkdir(parents=True, exist_ok=True)
    os.chown(home, USERS[user], USERS[user])
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C", "HOME": str(home)}
    env |= {"RINGFENCE_MUST": must(user), "RUST_BACKTRACE": "0"}
    args = [*as_user(USERS[user]), binary, "--exact", *tests]
    try:
        ran = subprocess.run(args, cwd=home, env=env, capture_output=True, text=True, errors="replace", timeout=LIMIT)
        text = ran.stdout + ran.stderr
    except subprocess.TimeoutExpired as late:
        text = f"{(late.stdout or b'').decode(errors='replace')}\nnot done after {LIMIT} s\n"
    ended = re.search(r"^test result: .* (\d+) passed; (\d+) failed;", text, re.M)
    passed, failed = map(int, ended.groups()) if ended else (0, len(tests))
    return passed, failed, re.findall(r"SKIPPED (.*)", text), text


def main(only, *binaries):
    totals, skips = [0, 0], set()
    for binary in binaries:
        name = Path(binary).name.rsplit("-", 1)[0]
        found = modules(binary, only)
        for user in USERS:
            for module, tests in found.items():
                start = time.monotonic()
                passed, failed, skipped, text = run(binary, tests, user)
                totals[0] += passed
                totals[1] += failed
                skips |= {(user, line) for line in skipped}
                word = "FAILED" if failed else "ok"
                counts = f"{passed} passed, {failed} failed"
                print(f"{word:6} {time.monotonic() - start:5.1f} s  {name} {module} ({user}): {counts}", flush=True)
                if failed:
                    print(text, flush=True)
    for user, line in sorted(skips):
        print(f"skipped ({user}) {line}")
    assert sum(totals), f"no test has `{only}` in its name"
    print(f"{totals[0]} passed, {totals[1]} failed", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
