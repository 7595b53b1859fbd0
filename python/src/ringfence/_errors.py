"""What can go wrong besides what :mod:`subprocess` knows."""

from __future__ import annotations

from concurrent.futures import BrokenExecutor

from ._outcome import Outcome


class SandboxError(Exception):
    """The sandbox could not be made, so the command has not run.

    It is never about a command that exited with 125 itself: the outcome that ``ringfence`` tells keeps them apart.

    Attributes:
        hint: What would cure it, or ``None``.
        stderr: What ``ringfence`` printed, where it was captured.
        outcome: What ``ringfence`` told, or ``None`` where it could tell nothing: a bad option, or it was killed.
    """

    def __init__(
        self, message: str, *, hint: str | None = None, stderr: str | None = None, outcome: Outcome | None = None
    ) -> None:
        super().__init__(message)
        self.hint = hint
        self.stderr = stderr
        self.outcome = outcome

    def __str__(self) -> str:
        message = str(self.args[0])
        return f"{message}\nhint: {self.hint}" if self.hint else message


class BinaryNotFoundError(SandboxError):
    """There is no ``ringfence`` program that can be trusted."""


class RemoteError(Exception):
    """A function in a worker raised an exception that is no built-in one.

    Attributes:
        type_name: The exception's class, as text: ``package.module.Name``. The worker may have lied.
    """

    def __init__(self, type_name: str, message: str) -> None:
        super().__init__(f"{type_name}: {message}" if message else type_name)
        self.type_name = type_name


class RemoteTraceback(Exception):
    """The traceback of a worker, as text: the cause of what a future raises."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


class ResultRefusedError(TypeError):
    """A function in a worker returned what is not plain data.

    A worker is not trusted, so its results come back in a format that cannot name a class or a function.
    """


class BrokenWorkerError(BrokenExecutor):
    """A worker died, or sent what no worker sends. Other calls go on in a new one.

    Attributes:
        outcome: How the worker's sandbox ended, where ``ringfence`` told.
    """

    def __init__(self, message: str, *, outcome: Outcome | None = None) -> None:
        super().__init__(message)
        self.outcome = outcome
