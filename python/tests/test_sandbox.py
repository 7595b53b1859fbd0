"""Options for many commands, questions, and sandboxes that stand."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

import ringfence


def listed() -> str:
    return subprocess.run([ringfence.find_binary(), "session", "list"], capture_output=True, text=True).stdout


def test_options_hold_for_all_commands(workspace: Path, place: Path) -> None:
    (place / "other").mkdir()
    sandbox = ringfence.Sandbox(cwd=workspace, write=[place / "other"], env={**os.environ, "WORD": "said"})
    script = f"echo $WORD > {place}/other/file"
    assert sandbox.run(script, shell=True).returncode == 0
    assert (place / "other/file").read_text() == "said\n"
    assert sandbox.run(script, shell=True, write=(), capture_output=True).returncode != 0
    with sandbox.popen(["cat", f"{place}/other/file"], stdout=subprocess.PIPE) as process:
        assert process.communicate()[0] == b"said\n"
    with pytest.raises(TypeError, match="'gpus' is not an option"):
        ringfence.Sandbox(gpus="all")


def test_plan(workspace: Path) -> None:
    plan = ringfence.Sandbox(deny=["/etc/hostname"]).plan(["make", "all"])
    assert plan["command"] == ["make", "all"] and plan["cwd"] == str(workspace)
    assert any(row["path"] == "/etc/hostname" and row["level"] == "none" for row in plan["effective"])
    with pytest.raises(ringfence.SandboxError, match="does not exist") as raised:
        ringfence.Sandbox(write=["missing"]).plan()
    assert raised.value.hint is not None


def test_profiles(workspace: Path) -> None:
    def hosts(**options: object) -> str:
        return str(ringfence.Sandbox(**options).plan()["sections"]["network"])

    assert "pypi.org" in hosts(profile=["git", "pip"]) and "crates.io" in hosts(profile="cargo")
    assert "pypi.org" not in hosts(profile="git")


def test_why(workspace: Path) -> None:
    sandbox = ringfence.Sandbox(deny=["/etc/hostname"])
    no = sandbox.why("/etc/hostname")
    assert not no and no.access == "none" and no.at == Path("/etc/hostname") and "--deny" in no.because
    assert sandbox.why("/etc/passwd") and not sandbox.why("/etc/passwd", write=True)
    yes = sandbox.why("file", write=True)
    assert yes.allowed and yes.access == "write" and yes.path == workspace / "file"
    with pytest.raises(ringfence.SandboxError):
        ringfence.Sandbox(write=["missing"]).why("/etc")


def test_session(workspace: Path) -> None:
    sandbox = ringfence.Sandbox(deny=["/etc/hostname"], tmp_size="64M")
    with sandbox.session() as session:
        assert session.name in listed()
        assert session.run("echo kept > /tmp/file; echo made > file; exit 3", shell=True).returncode == 3
        done = session.run("cat /tmp/file; pwd", shell=True, capture_output=True, text=True)
        assert done.stdout == f"kept\n{workspace}\n"
        assert session.run(["cat", "/etc/hostname"], capture_output=True).returncode != 0
        assert session.run(["cat", "/etc/passwd"], capture_output=True).returncode == 0
        assert session.run(["sh", "-c", "exit 125"]).returncode == 125
        with pytest.raises(subprocess.TimeoutExpired):
            session.run(["sleep", "66"], timeout=0.3, capture_output=True)
        assert asyncio.run(session.run_async(["cat", "/tmp/file"], capture_output=True)).stdout == b"kept\n"
        with session.popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.communicate(b"x")[0] == b"x"
        with pytest.raises(TypeError, match="'write' was decided"):
            session.run(["true"], write=["/etc"])
    assert (workspace / "file").read_text() == "made\n"
    assert session.name not in listed()
    with pytest.raises(ringfence.SandboxError, match="there is no session"):
        session.run(["true"], capture_output=True)


def test_sessions_are_apart_and_fail_with_a_reason(workspace: Path) -> None:
    sandbox = ringfence.Sandbox()
    with sandbox.session() as one, sandbox.session() as two:
        assert one.name != two.name
        assert one.run(["touch", "/tmp/x"]).returncode == 0
        assert two.run(["ls", "/tmp/x"], capture_output=True).returncode != 0
    with pytest.raises(ringfence.SandboxError, match="does not exist"):
        ringfence.Sandbox(write=["missing"]).session()


def test_environment_of_a_session(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "hidden")
    with ringfence.Sandbox().session() as session:
        show = "echo ${API_TOKEN-none} ${WORD-none}"
        assert session.run(show, shell=True, capture_output=True, text=True).stdout == "none none\n"
        env = {**os.environ, "WORD": "said"}
        assert session.run(show, shell=True, capture_output=True, text=True, env=env).stdout == "none said\n"
        passed = session.run(show, shell=True, capture_output=True, text=True, env_pass="API_TOKEN")
        assert passed.stdout == "hidden none\n"
