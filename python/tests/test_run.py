"""`run` and `Popen` on real sandboxes: each denial stands next to its control."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

import ringfence
from conftest import eventually, processes_with


def test_the_workspace_is_writable_and_nothing_else(workspace: Path, place: Path) -> None:
    other = place / "other"
    other.mkdir()
    script = ["sh", "-c", f"echo one > file && echo two > {other}/file"]
    denied = ringfence.run(script, capture_output=True, text=True)
    assert denied.returncode != 0 and "Read-only file system" in denied.stderr
    assert (workspace / "file").read_text() == "one\n" and not (other / "file").exists()
    assert ringfence.run(script, write=[other]).returncode == 0
    assert (other / "file").read_text() == "two\n"


def test_deny_hides_and_read_shows(workspace: Path, place: Path) -> None:
    (workspace / "secret").write_text("s")
    command = ["cat", "secret"]
    assert ringfence.run(command, capture_output=True).stdout == b"s"
    assert ringfence.run(command, capture_output=True, deny="secret").returncode != 0
    (place / "home/.ssh").mkdir()
    (place / "home/.ssh/id").write_text("k")
    command = ["cat", str(place / "home/.ssh/id")]
    assert ringfence.run(command, capture_output=True).returncode != 0
    assert ringfence.run(command, capture_output=True, read=place / "home/.ssh").stdout == b"k"


def test_input_and_text(workspace: Path) -> None:
    done = ringfence.run(["tr", "a-z", "A-Z"], input="grüße", capture_output=True, text=True, encoding="utf-8")
    assert done.stdout == "GRüßE" and done.stderr == ""
    assert ringfence.run(["cat"], input=b"\0\xff", capture_output=True).stdout == b"\0\xff"
    assert done.args == ["tr", "a-z", "A-Z"]


def test_a_shell_runs_inside(workspace: Path) -> None:
    done = ringfence.run("echo $RINGFENCE; touch /etc/x", shell=True, capture_output=True, text=True)
    assert done.stdout == "1\n" and "Read-only file system" in done.stderr


def test_cwd_is_the_workspace(workspace: Path, place: Path) -> None:
    (workspace / "sub").mkdir()
    done = ringfence.run("pwd; touch here; touch ../there", shell=True, cwd="sub", capture_output=True, text=True)
    assert done.stdout == f"{workspace}/sub\n"
    assert (workspace / "sub/here").exists() and not (workspace / "there").exists()


def test_check_raises(workspace: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as raised:
        ringfence.run(["sh", "-c", "echo out; exit 3"], capture_output=True, check=True)
    assert raised.value.returncode == 3 and raised.value.output == b"out\n"


def test_a_signal_is_negative(workspace: Path) -> None:
    done = ringfence.run("kill -KILL $$", shell=True)
    assert done.returncode == -signal.SIGKILL and done.outcome.ending.kind == "signal"
    assert ringfence.run(["sh", "-c", "exit 9"]).returncode == 9


def test_codes_of_the_command_are_its_own(workspace: Path) -> None:
    for code in (124, 125, 126, 127):
        done = ringfence.run(["sh", "-c", f"exit {code}"])
        assert done.returncode == code and done.outcome.ending.kind == "exit", code


def test_a_missing_program_is_no_failure_of_the_sandbox(workspace: Path) -> None:
    done = ringfence.run(["no-such-program"], capture_output=True)
    assert done.returncode == 127 and done.outcome.ending.kind == "not-executed"


def test_no_sandbox_is_an_error(workspace: Path) -> None:
    for kwargs in ({"write": ["missing"]}, {"sandbox": "full-access", "deny": ["/etc"]}):
        with pytest.raises(ringfence.SandboxError) as raised:
            ringfence.run(["touch", "ran"], capture_output=True, **kwargs)
        assert str(raised.value) and raised.value.hint
    assert not (workspace / "ran").exists()
    with pytest.raises(ringfence.SandboxError):
        ringfence.run(["touch", "ran"], net="nonsense", capture_output=True)
    with pytest.raises(TypeError, match="'wriet' is not an option"):
        ringfence.run(["touch", "ran"], wriet=["x"])
    assert not (workspace / "ran").exists()
    assert ringfence.run(["touch", "ran"]).returncode == 0 and (workspace / "ran").exists()


def test_timeout(workspace: Path) -> None:
    start = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired) as raised:
        ringfence.run("echo started; sleep 61.25", shell=True, timeout=0.5, capture_output=True)
    assert time.monotonic() - start < 10 and raised.value.timeout == 0.5
    assert raised.value.output == b"started\n"
    assert processes_with("61.25") == []
    assert ringfence.run(["sleep", "0.1"], timeout=20).returncode == 0


def test_limits(workspace: Path) -> None:
    script = "head -c 4096 /dev/zero > file"
    assert ringfence.run(script, shell=True, file_size=1024, capture_output=True).returncode != 0
    assert ringfence.run(script, shell=True, file_size="1M").returncode == 0


def test_descriptors_are_passed_only_if_named(workspace: Path) -> None:
    read, write = os.pipe()
    os.set_inheritable(write, True)
    script = f"echo x >&{write}"
    assert ringfence.run(["bash", "-c", script], capture_output=True).returncode != 0
    assert ringfence.run(["bash", "-c", script], pass_fds=[write]).returncode == 0
    assert os.read(read, 9) == b"x\n"
    os.close(read), os.close(write)


def test_the_outcome_is_no_business_of_the_command(workspace: Path) -> None:
    done = ringfence.run("ls /proc/self/fd | tr '\\n' ' '", shell=True, capture_output=True, text=True)
    assert set(done.stdout.split()) <= {"0", "1", "2", "3"}, done.stdout


def test_environment(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "hidden")
    monkeypatch.setenv("PLAIN", "seen")

    def names(**kwargs: object) -> dict[str, str]:
        done = ringfence.run(["env", "-0"], capture_output=True, text=True, check=True, **kwargs)
        return dict(line.split("=", 1) for line in done.stdout.split("\0") if line)

    assert names()["PLAIN"] == "seen" and "API_TOKEN" not in names()
    # What everybody writes must not hand secrets over.
    env = names(env={**os.environ, "MY_TOKEN": "mine", "PLAIN": "changed"})
    assert env["MY_TOKEN"] == "mine" and env["PLAIN"] == "changed" and "API_TOKEN" not in env
    env = names(env={"PATH": "/usr/bin:/bin", "LD_SOMETHING": "x", "API_TOKEN": "another"})
    assert env["PATH"] == "/usr/bin:/bin" and env["LD_SOMETHING"] == "x" and env["API_TOKEN"] == "another"
    assert "PLAIN" not in env
    assert names(env_pass="API_TOKEN")["API_TOKEN"] == "hidden"
    env = names(env={"A": "1"}, env_clear=True)
    assert env["A"] == "1" and "HOME" not in env
    with pytest.raises(ValueError):
        ringfence.run(["true"], env={"A=B": "c"})


def test_popen(workspace: Path) -> None:
    with ringfence.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.poll() is None and process.returncode is None and process.outcome is None
        out, _ = process.communicate("through")
    assert out == "through" and process.returncode == 0 and process.outcome is not None
    assert process.outcome.ending.code == 0
    assert isinstance(process, subprocess.Popen)


def test_popen_passes_signals_on(workspace: Path) -> None:
    script = "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.05; done"
    process = ringfence.Popen(["bash", "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    process.terminate()
    out, _ = process.communicate(timeout=10)
    assert out == "bye\n" and process.returncode == 7


def test_popen_kill_ends_all(workspace: Path) -> None:
    process = ringfence.Popen("sleep 62.25 & echo ready; sleep 62.25", shell=True, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    assert processes_with("62.25") and os.listdir(workspace), "the control: placeholders stand there"
    process.kill()
    assert process.wait(10) == -signal.SIGKILL and process.outcome is None
    process.stdout.close()
    with pytest.raises(ringfence.SandboxError, match="SIGKILL"):
        process.check_sandbox()
    assert eventually(lambda: processes_with("62.25") == [])
    assert eventually(lambda: os.listdir(workspace) == [])


def test_popen_timeout_needs_no_waiter(workspace: Path) -> None:
    process = ringfence.Popen(["sleep", "63.25"], timeout=0.3, stderr=subprocess.DEVNULL)
    assert process.wait(10) == 124 and process.outcome is not None and process.outcome.timed_out == "timeout"


def test_no_descriptor_is_left(workspace: Path) -> None:
    ringfence.run(["true"])
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        ringfence.run(["true"], capture_output=True)
        with pytest.raises(ringfence.SandboxError):
            ringfence.run(["true"], write="missing", capture_output=True)
    assert os.listdir("/proc/self/fd") == before


def test_a_policy_file_and_a_gpu_that_is_off(workspace: Path, place: Path) -> None:
    policy = place / "policy.toml"
    policy.write_text('deny = ["/etc/hostname"]\n')
    assert ringfence.run(["cat", "/etc/hostname"], config=policy, capture_output=True).returncode != 0
    assert ringfence.run(["cat", "/etc/hostname"], gpu="off", capture_output=True).returncode == 0
