"""The suite tests what was installed from the wheel, in workspaces below a directory of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import ringfence


def pytest_report_header() -> str:
    return f"ringfence: {ringfence.__file__}, {ringfence.find_binary()}"


@pytest.fixture(scope="session", autouse=True)
def _installed() -> None:
    """Sources next to the tests would make every other test worthless."""
    assert Path(ringfence.__file__).is_relative_to(sys.prefix), ringfence.__file__
    assert Path(ringfence.find_binary()).is_relative_to(sys.prefix), ringfence.find_binary()


def tells_outcomes() -> bool:
    """Whether the program knows `--json-outcome`."""
    verbs = ("run", "exec")
    if Path(ringfence.find_binary()).with_name("ringfence-real").exists():
        return False
    asked = [subprocess.run([ringfence.find_binary(), verb, "--help"], capture_output=True) for verb in verbs]
    return all(b"--json-outcome" in done.stdout for done in asked)


@pytest.fixture(scope="session", autouse=True)
def _standin(_installed: None, tmp_path_factory: pytest.TempPathFactory) -> None:
    """In the place of a program that tells no outcomes yet."""
    if tells_outcomes():
        return
    must = os.environ.get("RINGFENCE_MUST", "").split(",")
    assert "json-outcome" not in must, "RINGFENCE_MUST=json-outcome: this ringfence tells no outcomes"
    sys.stderr.write("SKIPPED: this ringfence tells no outcomes, a stand-in does (RINGFENCE_MUST=json-outcome)\n")
    program = Path(ringfence.find_binary())
    real = program.with_name("ringfence-real")
    if not real.exists():
        program.rename(real)
    source = Path(__file__).with_name("standin.py").read_text()
    source = source.replace('os.environ["RINGFENCE_STANDIN_FOR"]', repr(str(real)))
    program.write_text(f"#!{sys.executable}\n{source}")
    program.chmod(0o755)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory with the workspace in it: not below /tmp, which is another one inside."""
    made = Path(tempfile.mkdtemp(prefix="ringfence-python-", dir="/var/tmp"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def workspace(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, and a home and a place for sessions beside it."""
    for name in ("work", "home", "run"):
        (place / name).mkdir(mode=0o700)
    monkeypatch.chdir(place / "work")
    monkeypatch.setenv("HOME", str(place / "home"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(place / "run"))
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "RINGFENCE_HELPER"):
        monkeypatch.delenv(name, raising=False)
    return place / "work"


def needs(what: str, have: bool, why: str) -> None:
    """Skips loudly; fails where RINGFENCE_MUST names it."""
    if have:
        return
    assert what not in os.environ.get("RINGFENCE_MUST", "").split(","), f"RINGFENCE_MUST={what}: {why}"
    pytest.skip(f"SKIPPED: {why} (RINGFENCE_MUST={what})")


def processes_with(word: str) -> list[str]:
    """Processes of this machine with this word among their arguments."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if word in line]
