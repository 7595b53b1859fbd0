"""Which program is started, and which is not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import ringfence
from ringfence import _binary


def program(path: Path, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return path


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, workspace: Path) -> None:
    """As if no wheel had brought a program."""
    monkeypatch.setattr(_binary, "_scripts", lambda: iter(()))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")


def test_the_variable_comes_first_then_the_wheel(
    workspace: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = program(place / "bin/ringfence")
    monkeypatch.setenv("PATH", str(other.parent))
    assert Path(ringfence.find_binary()) == Path(sys.prefix).resolve() / "bin/ringfence"
    monkeypatch.setenv("RINGFENCE_HELPER", str(other))
    assert ringfence.find_binary() == str(other)
    # Who names one that is not there means no other.
    monkeypatch.setenv("RINGFENCE_HELPER", str(other) + "x")
    with pytest.raises(ringfence.BinaryNotFoundError, match="RINGFENCE_HELPER="):
        ringfence.find_binary()


@pytest.mark.usefixtures("bare")
def test_then_the_variable_then_the_path(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named, found = program(place / "named/ringfence"), program(place / "bin/ringfence")
    program(place / "data/ringfence", 0o644)
    monkeypatch.setenv("PATH", f"{place}/data:{found.parent}")
    assert ringfence.find_binary() == str(found)
    monkeypatch.setenv("RINGFENCE_HELPER", str(named))
    assert ringfence.find_binary() == str(named)
    # Inside of a sandbox this is its mark, not a path.
    monkeypatch.setenv("RINGFENCE", "1")
    assert ringfence.find_binary() == str(named)


@pytest.mark.usefixtures("bare")
def test_never_from_the_current_directory(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(workspace / "ringfence"), program(workspace / "bin/ringfence")
    for path, variable in ((".", ""), ("", "ringfence"), ("bin:", "./ringfence"), ("::", "1")):
        monkeypatch.setenv("PATH", path)
        monkeypatch.setenv("RINGFENCE_HELPER", variable)
        with pytest.raises(ringfence.BinaryNotFoundError, match="was not found"):
            ringfence.find_binary()


@pytest.mark.usefixtures("bare")
def test_never_from_where_commands_can_write(workspace: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(workspace / "env/bin/ringfence")
    (place / "links").mkdir()
    (place / "links/ringfence").symlink_to(workspace / "env/bin/ringfence")
    for path in (workspace / "env/bin", place / "links"):
        monkeypatch.setenv("PATH", str(path))
        with pytest.raises(ringfence.BinaryNotFoundError, match="can write"):
            ringfence.run(["true"])
        with pytest.raises(ringfence.BinaryNotFoundError, match="can write"):
            ringfence.run(["true"], sandbox="read-only", write=[workspace])
        # A nearer rule keeps it as it is.
        kept = {"writable": [str(workspace)], "readonly": [str(workspace / "env")]}
        assert ringfence.find_binary(**kept) == str(workspace / "env/bin/ringfence")
    good = program(place / "bin/ringfence")
    monkeypatch.setenv("PATH", f"{workspace}/env/bin:{good.parent}")
    assert ringfence.find_binary(writable=[str(workspace)]) == str(good)


def test_an_environment_in_the_workspace_is_refused_until_it_is_kept(workspace: Path) -> None:
    environment = sys.prefix
    with pytest.raises(ringfence.BinaryNotFoundError) as raised:
        ringfence.run(["true"], cwd=environment)
    assert raised.value.hint is not None and f"read=['{environment}']" in raised.value.hint
    keep = {"cwd": Path(environment).parent, "read": [environment]}
    done = ringfence.run(["sh", "-c", f"touch {environment}/bin/x"], capture_output=True, **keep)
    assert done.returncode != 0 and b"Read-only" in done.stderr


def test_module_is_the_command_line(workspace: Path) -> None:
    ask = [sys.executable, "-m", "ringfence"]
    assert subprocess.run([*ask, "--version"], capture_output=True, text=True).stdout.startswith("ringfence ")
    done = subprocess.run([*ask, "run", "--", "sh", "-c", "exit 7"])
    assert done.returncode == 7


def test_the_wheel_is_typed_and_whole(workspace: Path) -> None:
    assert (Path(ringfence.__file__).parent / "py.typed").exists()
    assert all(hasattr(ringfence, name) for name in ringfence.__all__)
    program = Path(ringfence.find_binary())
    assert program.read_bytes()[:4] == b"\x7fELF" and os.access(program, os.X_OK)
