"""Coroutines."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from pathlib import Path

import pytest

import ringfence
from conftest import eventually, processes_with


def test_run_async(workspace: Path) -> None:
    async def both() -> list[ringfence.CompletedProcess]:
        commands = [["sh", "-c", f"cat; sleep 0.3; exit {code}"] for code in (3, 4)]
        return await asyncio.gather(
            *(ringfence.run_async(command, input="in", capture_output=True, text=True) for command in commands)
        )

    first, second = asyncio.run(both())
    assert (first.returncode, second.returncode) == (3, 4)
    assert first.stdout == "in" and first.outcome.ending.code == 3


def test_run_async_raises(workspace: Path) -> None:
    with pytest.raises(ringfence.SandboxError):
        asyncio.run(ringfence.run_async(["true"], write="missing", capture_output=True))
    with pytest.raises(subprocess.CalledProcessError):
        asyncio.run(ringfence.run_async(["false"], check=True))
    with pytest.raises(subprocess.TimeoutExpired):
        asyncio.run(ringfence.run_async(["sleep", "64.25"], timeout=0.3, capture_output=True))


def test_cancelling_ends_the_command(workspace: Path) -> None:
    async def cancelled() -> None:
        task = asyncio.create_task(ringfence.run_async(["sleep", "65.25"]))
        deadline = time.monotonic() + 10
        while len(processes_with("sleep 65.25")) < 2 and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        assert processes_with("sleep 65.25") and os.listdir(workspace), "the control: placeholders stand there"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert eventually(lambda: processes_with("sleep 65.25") == [])
    assert eventually(lambda: os.listdir(workspace) == [])


def test_create_subprocess_exec(workspace: Path) -> None:
    async def talk() -> None:
        process = await ringfence.create_subprocess_exec(
            "sh", "-c", "read line; echo got $line; kill -USR1 $$", stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdin is not None and process.stdout is not None and process.pid > 0
        assert process.returncode is None and process.outcome is None
        process.stdin.write(b"word\n")
        assert await process.stdout.readline() == b"got word\n"
        assert await process.wait() == -10 and process.returncode == -10
        process.check_sandbox()
        lost = await ringfence.create_subprocess_exec("true", write="missing", stderr=subprocess.PIPE)
        _, errors = await lost.communicate()
        with pytest.raises(ringfence.SandboxError, match="does not exist"):
            lost.check_sandbox(errors)

    asyncio.run(talk())
