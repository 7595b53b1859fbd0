"""Commands in a sandbox, in the shape of :mod:`subprocess`."""

from __future__ import annotations

import os
import signal as signals
import subprocess
from collections.abc import Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any, Union

from . import _environment, _options
from ._errors import SandboxError
from ._options import Options, StrPath
from ._outcome import Denial, LimitHit, Outcome, parse

if TYPE_CHECKING:
    from typing_extensions import Unpack

Args = Union[StrPath, Sequence[StrPath]]

# How much longer than its time-out a run may take to end, before it is killed from here.
PATIENCE = 10.0
# How much of an outcome is read.
_OUTCOME_BYTES = 64 << 20


class CompletedProcess(subprocess.CompletedProcess[Any]):
    """A command that has ended: as in :mod:`subprocess`, and what the sandbox tells about it.

    Attributes:
        outcome: What ``ringfence`` told.
    """

    outcome: Outcome

    def __init__(self, args: Any, returncode: int, stdout: Any, stderr: Any, outcome: Outcome) -> None:
        super().__init__(args, returncode, stdout, stderr)
        self.outcome = outcome

    @property
    def denials(self) -> tuple[Denial, ...]:
        """What the sandbox kept from the command."""
        return self.outcome.denials

    @property
    def limits(self) -> tuple[LimitHit, ...]:
        """Which limits the command ran into."""
        return self.outcome.limits


def words_of(args: Args, shell: bool = False) -> list[str]:
    """The words of a command. A shell, if one is wanted, runs inside."""
    words = [os.fspath(args)] if isinstance(args, (str, os.PathLike)) else [os.fspath(word) for word in args]
    if not words:
        raise ValueError("there is no command")
    return ["/bin/sh", "-c", *words] if shell else words


class Call:
    """What is started: a program, its arguments and environment, and the file in which it tells the outcome."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        options: Mapping[str, Any],
        cwd: StrPath | None,
        env: Mapping[str, str] | None,
        timeout: float | None,
        pass_fds: Sequence[int],
        session: str | None = None,
    ) -> None:
        _options.check(options)
        directory = os.path.abspath(os.fspath(cwd)) if cwd is not None else os.getcwd()
        program = _options.binary(options, directory)
        clear = bool(options.get("env_clear"))
        self.env, variables = _environment.split(env, clear)
        asked = options if session is None else {"env_pass": options.get("env_pass")}
        flags = _options.flags(asked)
        if timeout is not None:
            flags.append(f"--timeout={_options.seconds(timeout)}")
        passed = [f"--pass-fd={number}" for number in pass_fds]
        self.file = os.memfd_create("ringfence-outcome")
        told = f"--json-outcome={self.file}"
        name = [] if session is None else [session]
        verb = "run" if session is None else "exec"
        self.argv = [program, verb, *flags, *variables, *passed, f"--cd={directory}", told, *name, "--", *command]
        self.pass_fds = (*pass_fds, self.file)

    def close(self) -> None:
        """Gives the file back. It can be called again."""
        if self.file >= 0:
            os.close(self.file)
            self.file = -1

    def outcome(self) -> Outcome | None:
        """What was told, once the program has ended; ``None`` where nothing was that can be understood."""
        try:
            return parse(os.pread(self.file, _OUTCOME_BYTES, 0)) if self.file >= 0 else None
        except ValueError:
            return None
        finally:
            self.close()


def code_of(raw: int, outcome: Outcome | None) -> int:
    """The exit code as :mod:`subprocess` has it: -n for signal n, but 124 where a time-out sent it."""
    if outcome is None or outcome.timed_out is not None:
        return raw
    if outcome.ending.kind == "signal" and outcome.ending.signal is not None:
        return -outcome.ending.signal
    return raw


def failure(raw: int, outcome: Outcome | None, stderr: str | None) -> SandboxError | None:
    """Why there was no sandbox, if there was none."""
    if outcome is None:
        text = (stderr or "").strip()
        if raw < 0:
            cause = f"ringfence was killed by signal {-raw} ({signals.Signals(-raw).name})"
            return SandboxError(cause, stderr=stderr)
        message, _, hint = text.partition("\n\nhint: ")
        message = message.removeprefix("error: ") or f"ringfence exited with {raw} and told no outcome"
        return SandboxError(message, hint=hint or None, stderr=stderr)
    if outcome.ending.kind == "failed":
        message = outcome.ending.error or "the sandbox could not be made"
        return SandboxError(message, hint=outcome.ending.hint, stderr=stderr, outcome=outcome)
    return None


class Popen(subprocess.Popen[Any]):
    """A command in a sandbox, in the shape of :class:`subprocess.Popen`.

    The process is ``ringfence``, which passes standard streams, the exit code and the signals TERM, INT, HUP, QUIT, USR1 and
    USR2 on. ``kill()`` ends everything in the sandbox. ``shell=True`` runs the shell inside. ``timeout`` ends the command
    even if this program does not wait for it. All other keyword arguments are :class:`Options`.
    """

    # Set before the first line of __init__ may read them.
    _call: Call | None = None
    _outcome: Outcome | None = None
    _raw: int | None = None

    def __init__(
        self,
        args: Args,
        *,
        stdin: int | IO[Any] | None = None,
        stdout: int | IO[Any] | None = None,
        stderr: int | IO[Any] | None = None,
        bufsize: int = -1,
        text: bool | None = None,
        encoding: str | None = None,
        errors: str | None = None,
        shell: bool = False,
        cwd: StrPath | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
        pass_fds: Sequence[int] = (),
        start_new_session: bool = False,
        session: str | None = None,
        **options: Unpack[Options],
    ) -> None:
        command = words_of(args, shell)
        self._call = Call(
            command, options=options, cwd=cwd, env=env, timeout=timeout, pass_fds=pass_fds, session=session
        )
        try:
            super().__init__(
                self._call.argv,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                bufsize=bufsize,
                text=text,
                encoding=encoding,
                errors=errors,
                env=self._call.env,
                pass_fds=self._call.pass_fds,
                start_new_session=start_new_session,
            )
        except BaseException:
            self._call.close()
            raise
        self.args = args

    @property
    def outcome(self) -> Outcome | None:
        """What ``ringfence`` told, once the command has ended and was waited for.

        ``None`` before that, and where ``ringfence`` could tell nothing.
        """
        if self._raw is not None and self._call is not None and self._call.file >= 0:
            self._outcome = self._call.outcome()
        return self._outcome

    @property
    def returncode(self) -> int | Any:
        """As in :mod:`subprocess`: -n where signal n ended the command."""
        return self._raw if self._raw is None else code_of(self._raw, self.outcome)

    @returncode.setter
    def returncode(self, raw: int | None) -> None:
        self._raw = raw

    def check_sandbox(self, stderr: str | bytes | None = None) -> None:
        """Raises :class:`SandboxError` if the command has ended without having run, for there was no sandbox.

        ``stderr`` is what was read of it, if anything, for the message.
        """
        if self._raw is None:
            return
        error = failure(self._raw, self.outcome, _text(stderr))
        if error is not None:
            raise error

    def __del__(self) -> None:
        if self._call is not None:
            self._call.close()
        super().__del__()


def _text(value: str | bytes | None) -> str | None:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def run(
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
    encoding: str | None = None,
    errors: str | None = None,
    shell: bool = False,
    cwd: StrPath | None = None,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    session: str | None = None,
    **options: Unpack[Options],
) -> CompletedProcess:
    """Runs a command in a sandbox to its end, in the shape of :func:`subprocess.run`.

    ``cwd`` is the workspace: the directory in which the command starts and which it may write. ``env`` is the command's
    environment, which the sandbox judges as it judges the caller's. Other keyword arguments are :class:`Options`.

    Raises:
        SandboxError: There could be no sandbox, so the command has not run.
        subprocess.TimeoutExpired: ``timeout`` or ``idle_timeout`` ended it.
        subprocess.CalledProcessError: With ``check``, it did not exit with 0.
    """
    if capture_output:
        if stdout is not None or stderr is not None:
            raise ValueError("stdout and stderr arguments may not be used with capture_output.")
        stdout = stderr = subprocess.PIPE
    if input is not None:
        if stdin is not None:
            raise ValueError("stdin and input arguments may not both be used.")
        stdin = subprocess.PIPE
    process = Popen(
        args, stdin=stdin, stdout=stdout, stderr=stderr, text=text, encoding=encoding, errors=errors, shell=shell,
        cwd=cwd, env=env, timeout=timeout, pass_fds=pass_fds, session=session, **options,
    )  # fmt: skip
    with process:
        try:
            out, err = process.communicate(input, timeout=None if timeout is None else timeout + PATIENCE)
        except subprocess.TimeoutExpired as late:
            process.kill()
            late.timeout = timeout or late.timeout
            raise
        except BaseException:
            process.kill()
            raise
    times = (timeout, options.get("idle_timeout"))
    assert process._raw is not None
    return finished(args, process._raw, out, err, process.outcome, times, check)


def finished(
    args: Args,
    raw: int,
    out: Any,
    err: Any,
    outcome: Outcome | None,
    times: tuple[float | None, float | None],
    check: bool,
) -> CompletedProcess:
    """The result of a command, or what it raises."""
    error = failure(raw, outcome, _text(err))
    if error is not None or outcome is None:
        raise error or SandboxError("ringfence told nothing")
    if outcome.timed_out is not None:
        ended_after = times[0] if outcome.timed_out == "timeout" else times[1]
        raise subprocess.TimeoutExpired(args, ended_after or 0.0, output=out, stderr=err)
    done = CompletedProcess(args, code_of(raw, outcome), out, err, outcome)
    if check:
        done.check_returncode()
    return done
