"""Commands in a sandbox for :mod:`asyncio`."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

from ._options import Options, StrPath
from ._outcome import Outcome
from ._process import PATIENCE, Args, Call, CompletedProcess, code_of, failure, finished, words_of

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Process:
    """A command in a sandbox, in the shape of :class:`asyncio.subprocess.Process`."""

    def __init__(self, process: asyncio.subprocess.Process, call: Call) -> None:
        self._process = process
        self._call = call
        self._outcome: Outcome | None = None

    @property
    def stdin(self) -> asyncio.StreamWriter | None:
        """Where its input is written, if that is a pipe."""
        return self._process.stdin

    @property
    def stdout(self) -> asyncio.StreamReader | None:
        """Where its output is read, if that is a pipe."""
        return self._process.stdout

    @property
    def stderr(self) -> asyncio.StreamReader | None:
        """Where its errors are read, if that is a pipe."""
        return self._process.stderr

    @property
    def pid(self) -> int:
        """The process ``ringfence``."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """``None`` while it runs; -n where signal n ended it."""
        raw = self._process.returncode
        return raw if raw is None else code_of(raw, self.outcome)

    @property
    def outcome(self) -> Outcome | None:
        """What ``ringfence`` told, once the command has ended."""
        if self._process.returncode is not None and self._call.file >= 0:
            self._outcome = self._call.outcome()
        return self._outcome

    async def wait(self) -> int:
        """Waits for its end; the result is the exit code."""
        return code_of(await self._process.wait(), self.outcome)

    async def communicate(self, input: bytes | None = None) -> tuple[bytes, bytes]:
        """Writes the input, reads both outputs, waits for the end."""
        return await self._process.communicate(input)

    def send_signal(self, signal: int) -> None:
        """Sends a signal, which ``ringfence`` passes on."""
        self._process.send_signal(signal)

    def terminate(self) -> None:
        """Sends TERM."""
        self._process.terminate()

    def kill(self) -> None:
        """Ends everything in the sandbox at once."""
        self._process.kill()

    def check_sandbox(self, stderr: bytes | None = None) -> None:
        """Raises :class:`SandboxError` if the command has not run, for there was no sandbox."""
        raw = self._process.returncode
        error = None
        if raw is not None:
            error = failure(raw, self.outcome, stderr.decode(errors="replace") if stderr else None)
        if error is not None:
            raise error

    def __del__(self) -> None:
        self._call.close()


async def create_subprocess_exec(
    program: StrPath,
    *args: StrPath,
    stdin: int | IO[Any] | None = None,
    stdout: int | IO[Any] | None = None,
    stderr: int | IO[Any] | None = None,
    limit: int = 2**16,
    cwd: StrPath | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    pass_fds: Sequence[int] = (),
    session: str | None = None,
    **options: Unpack[Options],
) -> Process:
    """Starts a command in a sandbox, in the shape of :func:`asyncio.create_subprocess_exec`."""
    command = words_of([program, *args])
    call = Call(command, options=options, cwd=cwd, env=env, timeout=timeout, pass_fds=pass_fds, session=session)
    try:
        process = await asyncio.create_subprocess_exec(
            *call.argv, stdin=stdin, stdout=stdout, stderr=stderr, limit=limit, env=call.env, pass_fds=call.pass_fds
        )
    except BaseException:
        call.close()
        raise
    return Process(process, call)


async def run_async(
    args: Args,
    *,
    input: str | bytes | None = None,
    capture_output: bool = False,
    check: bool = False,
    timeout: float | None = None,
    stdin: int | IO[Any] | None = None,
    stdout: int | IO[Any] | None = None,
    stderr: int | IO[Any] | None = None,
    text: bool | None = None,
    shell: bool = False,
    cwd: StrPath | None = None,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    session: str | None = None,
    **options: Unpack[Options],
) -> CompletedProcess:
    """As :func:`ringfence.run`, without blocking the event loop. Cancelling it ends the command and waits for that.

    Raises:
        As :func:`ringfence.run`.
    """
    if capture_output:
        stdout = stderr = subprocess.PIPE
    data = input.encode() if isinstance(input, str) else input
    if data is not None:
        stdin = subprocess.PIPE
    process = await create_subprocess_exec(
        *words_of(args, shell), stdin=stdin, stdout=stdout, stderr=stderr, cwd=cwd, env=env, timeout=timeout,
        pass_fds=pass_fds, session=session, **options,
    )  # fmt: skip
    try:
        limit = None if timeout is None else timeout + PATIENCE
        out, err = await asyncio.wait_for(process.communicate(data), limit)
    except BaseException as reason:
        if process.returncode is None:
            process.kill()
            await process.wait()
        if isinstance(reason, asyncio.TimeoutError):
            raise subprocess.TimeoutExpired(args, timeout or 0.0) from None
        raise
    shown = [part.decode() if text and part is not None else part for part in (out, err)]
    raw = process._process.returncode
    assert raw is not None
    times = (timeout, options.get("idle_timeout"))
    return finished(args, raw, shown[0], shown[1], process.outcome, times, check)
