"""Options kept for many commands, and sandboxes that stand."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, cast

from . import _async, _environment, _options, _process
from ._errors import SandboxError
from ._executor import SandboxExecutor
from ._options import Options, StrPath
from ._process import Args, CompletedProcess, Popen

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack


@dataclass(frozen=True)
class Answer:
    """Whether a path may be read or written inside, and why. It is true if the answer is yes."""

    path: Path
    allowed: bool
    #: ``none``, ``read``, ``modify`` or ``write``.
    access: str
    #: The rule that decides, by its path.
    at: Path
    #: What becomes of that path.
    line: str
    because: str

    def __bool__(self) -> bool:
        return self.allowed


class Sandbox:
    """Options for many commands.

    ``cwd`` is the workspace and ``env`` the environment, as for :func:`ringfence.run`; the rest are :class:`Options`.
    """

    def __init__(
        self, *, cwd: StrPath | None = None, env: Mapping[str, str] | None = None, **options: Unpack[Options]
    ) -> None:
        _options.check(options)
        self.cwd = os.path.abspath(os.fspath(cwd)) if cwd is not None else os.getcwd()
        self.env = dict(env) if env is not None else None
        self.options = options

    def run(self, args: Args, **kwargs: Any) -> CompletedProcess:
        """As :func:`ringfence.run` with these options; those that are named here come in their place."""
        return _process.run(args, **self._with(kwargs))

    def popen(self, args: Args, **kwargs: Any) -> Popen:
        """As :class:`ringfence.Popen` with these options; those that are named here come in their place."""
        return Popen(args, **self._with(kwargs))

    async def run_async(self, args: Args, **kwargs: Any) -> CompletedProcess:
        """As :func:`ringfence.run_async` with these options; those that are named here come in their place."""
        return await _async.run_async(args, **self._with(kwargs))

    def executor(self, max_workers: int | None = None, **kwargs: Any) -> SandboxExecutor:
        """A :class:`ringfence.SandboxExecutor` with these options."""
        return SandboxExecutor(max_workers, **self._with(kwargs))

    def _with(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        return {"cwd": self.cwd, "env": self.env, **self.options, **kwargs}

    def plan(self, args: Args = "true") -> dict[str, Any]:
        """What would be done for a command, as ``ringfence plan --json`` tells it. Nothing is run.

        Raises:
            SandboxError: There could be no sandbox.
        """
        done = self._ask("plan", ["--json"], ["--", *_process.words_of(args)])
        if done.returncode != 0:
            raise _told(done.stderr)
        return cast("dict[str, Any]", json.loads(done.stdout))

    def why(self, path: StrPath, *, write: bool = False) -> Answer:
        """Whether a path may be read, or with ``write`` written, inside, and which rule says so.

        Raises:
            SandboxError: There could be no sandbox.
        """
        absolute = os.path.abspath(os.fspath(path))
        question = [f"--write={absolute}"] if write else ["--", absolute]
        done = self._ask("why", ["--json"], question)
        if done.returncode not in (0, 1) or not done.stdout:
            raise _told(done.stderr)
        told = json.loads(done.stdout)
        return Answer(
            Path(told["path"]), told["allowed"], told["access"], Path(told["at"]), told["line"], told["because"]
        )

    def _ask(self, verb: str, first: list[str], last: list[str]) -> subprocess.CompletedProcess[str]:
        program, env, words = self._start()
        argv = [program, verb, *first, *words, *last]
        return subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)

    def _start(self) -> tuple[str, dict[str, str], list[str]]:
        """The program, its environment, and the options as words."""
        program = _options.binary(self.options, self.cwd)
        env, variables = _environment.split(self.env, bool(self.options.get("env_clear")))
        return program, env, [*_options.flags(self.options), *variables, f"--cd={self.cwd}"]

    def session(self) -> Session:
        """A sandbox that stands, as a context manager. It is made when this is called.

        Raises:
            SandboxError: It cannot be made.
        """
        return Session(self)


def _told(stderr: str) -> SandboxError:
    message, _, hint = stderr.strip().removeprefix("error: ").partition("\n\nhint: ")
    return SandboxError(message, hint=hint or None, stderr=stderr)


class Session:
    """One sandbox for many commands, each at the cost of little more than a process. Made by :meth:`Sandbox.session`.

    It ends with its ``with`` block, with :meth:`stop`, and with this program. Its policy is fixed; ``/tmp`` lasts as long as
    it does, and limits are those of all commands together.

    Attributes:
        name: As ``ringfence session list`` shows it.
    """

    _keeper: subprocess.Popen[bytes] | None = None

    def __init__(self, sandbox: Sandbox) -> None:
        self.name = f"python-{os.getpid()}-{uuid.uuid4().hex[:12]}"
        self._sandbox = sandbox
        program, env, words = sandbox._start()
        argv = [program, "session", "start", "--tied", *words, self.name]
        with tempfile.TemporaryFile() as errors:
            self._keeper = keeper = subprocess.Popen(
                argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
            )
            stdout = cast("IO[bytes]", keeper.stdout)
            with stdout:
                stands = stdout.read(1)
            if not stands:
                self.stop()
                errors.seek(0)
                raise _told(errors.read().decode(errors="replace"))

    def run(self, args: Args, **kwargs: Any) -> CompletedProcess:
        """Runs a command in it, as :func:`ringfence.run`, in the directory that the sandbox was made for.

        The session's options hold: of :class:`Options` only ``env_pass`` can be given here.
        """
        return _process.run(args, **self._with(kwargs))

    def popen(self, args: Args, **kwargs: Any) -> Popen:
        """Starts a command in it, as :class:`ringfence.Popen`. See :meth:`run`."""
        return Popen(args, **self._with(kwargs))

    async def run_async(self, args: Args, **kwargs: Any) -> CompletedProcess:
        """Runs a command in it, as :func:`ringfence.run_async`. See :meth:`run`."""
        return await _async.run_async(args, **self._with(kwargs))

    def _with(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        fixed = sorted(set(kwargs) & _options.NAMES - {"env_pass"})
        if fixed:
            raise TypeError(f"{fixed[0]!r} was decided when the session was started")
        # What was asked of the sandbox says, too, where no program may be taken from.
        kept = {**self._sandbox.options, "env_pass": kwargs.pop("env_pass", ())}
        return {"cwd": self._sandbox.cwd, "env": self._sandbox.env, "session": self.name, **kept, **kwargs}

    def stop(self) -> None:
        """Ends it with all that runs in it, and waits until nothing of it is left. It can be called again."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            if keeper.stdin is not None:
                keeper.stdin.close()
            keeper.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __del__(self) -> None:
        self.stop()
