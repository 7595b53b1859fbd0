"""The suite tests what was installed from the wheel, in workspaces below a directory of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
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


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory with the workspace in it: not below /tmp, which is another one inside."""
    made = Path(tempfile.mkdtemp(prefix="ringfence-python-", dir="/var/tmp"))
    yield made
    assert eventually(lambda: cleared(made))


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


def processes_with(word: str) -> list[str]:
    """Processes of this machine with this word among their arguments."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if word in line]


def cleared(place: Path) -> bool:
    """Removes it. The janitor of a sandbox that was killed removes placeholders meanwhile, and may be the faster one."""
    try:
        shutil.rmtree(place)
    except FileNotFoundError:
        pass
    return not place.exists()


def eventually(check: Callable[[], bool], seconds: float = 10) -> bool:
    """Whether this becomes true in so many seconds: what a kill leaves is cleared by another process."""
    deadline = time.monotonic() + seconds
    while not (true := check()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return true
