"""What `--json-outcome` tells, from a program that tells what a test wants, and from the real one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ringfence
from ringfence import _outcome

TOLD: dict[str, Any] = {
    "version": 1,
    "code": 1,
    "ending": {"kind": "exit", "code": 1},
    "timed_out": None,
    "limits": [{"limit": "memory", "hits": 3}],
    "denials": [
        {
            "what": "/etc/x",
            "access": "write",
            "because": "preset workspace-write",
            "remedy": {"flag": "--write /etc/x", "toml": 'write = ["/etc/x"]'},
            "certain": True,
            "count": 2,
        },
        {"what": "TOKEN", "access": "variable", "because": "secret", "remedy": None, "certain": False, "count": 1},
    ],
}


def teller(place: Path, told: object, code: int, words: str = "") -> Path:
    """A program that tells this and exits so."""
    program = place / "teller"
    text = told if isinstance(told, str) else json.dumps(told)
    program.write_text(
        f"#!{sys.executable}\nimport os, sys\n"
        "number = next(int(word.split('=')[1]) for word in sys.argv if word.startswith('--json-outcome='))\n"
        f"os.write(number, {text.encode()!r})\nsys.stderr.write({words!r})\nsys.exit({code})\n"
    )
    program.chmod(0o755)
    return program


def test_denials_and_limits(workspace: Path, place: Path) -> None:
    done = ringfence.run(["x"], binary=teller(place, TOLD, 1))
    assert done.returncode == 1
    assert done.limits == (ringfence.LimitHit("memory", 3),)
    assert done.denials[0].remedy == ringfence.Remedy("--write /etc/x", 'write = ["/etc/x"]')
    assert (done.denials[0].what, done.denials[0].access, done.denials[0].count) == ("/etc/x", "write", 2)
    assert done.denials[1].remedy is None and not done.denials[1].certain
    assert done.outcome.raw == TOLD


@pytest.mark.parametrize(
    ("ending", "code", "wanted"),
    [
        ({"kind": "exit", "code": 125}, 125, 125),
        ({"kind": "exit", "code": 137}, 137, 137),
        ({"kind": "signal", "signal": 9}, 137, -9),
        ({"kind": "not-executed", "error": "no such file"}, 127, 127),
    ],
)
def test_endings(workspace: Path, place: Path, ending: dict[str, Any], code: int, wanted: int) -> None:
    told = {**TOLD, "code": code, "ending": ending}
    assert ringfence.run(["x"], binary=teller(place, told, code)).returncode == wanted


def test_a_failed_sandbox_is_told_by_its_ending(workspace: Path, place: Path) -> None:
    ending = {"kind": "failed", "error": "mount `/x`: no", "hint": "try y"}
    program = teller(place, {**TOLD, "code": 125, "ending": ending}, 125)
    with pytest.raises(ringfence.SandboxError) as raised:
        ringfence.run(["x"], binary=program)
    assert raised.value.hint == "try y" and str(raised.value) == "mount `/x`: no\nhint: try y"


@pytest.mark.parametrize("which", ["timeout", "idle-timeout"])
def test_both_times_out(workspace: Path, place: Path, which: str) -> None:
    program = teller(place, {**TOLD, "code": 124, "timed_out": which}, 124)
    with pytest.raises(subprocess.TimeoutExpired) as raised:
        ringfence.run(["x"], binary=program, timeout=5, idle_timeout=3)
    assert raised.value.timeout == {"timeout": 5, "idle-timeout": 3}[which]


@pytest.mark.parametrize("told", ["", "{", '{"version": 2}', '{"version": 1, "code": 0}', "[]"])
def test_what_is_not_understood_is_never_success(workspace: Path, place: Path, told: str) -> None:
    with pytest.raises(ringfence.SandboxError):
        ringfence.run(["x"], binary=teller(place, told, 0))


def test_an_old_program_is_no_success(workspace: Path, place: Path) -> None:
    program = teller(place, "", 2, "error: unexpected argument '--json-outcome' found\n\nhint: see --help\n")
    with pytest.raises(ringfence.SandboxError, match="unexpected argument") as raised:
        ringfence.run(["x"], binary=program, capture_output=True, text=True)
    assert raised.value.hint == "see --help"


def test_parse_refuses_other_shapes() -> None:
    assert _outcome.parse(b" \n") is None
    for field in ("code", "ending"):
        with pytest.raises(ValueError):
            _outcome.parse(json.dumps({key: value for key, value in TOLD.items() if key != field}).encode())


def test_the_real_program_tells_denials(workspace: Path, place: Path) -> None:
    # What the user may write: else it would not be the sandbox that refuses it.
    done = ringfence.run(["sh", "-c", f"echo x > {place}/file"], capture_output=True, explain=True)
    assert done.outcome.explained
    assert done.returncode != 0
    assert [denial.what for denial in done.denials if denial.access == "write"] == [f"{place}/file"]
    assert ringfence.run(["sh", "-c", "echo x > file"], explain=True).denials == ()
