"""Finds the ``ringfence`` program, and takes none that a sandboxed command could have put there."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

from ._errors import BinaryNotFoundError

NAME = "ringfence"
# As the Rust library has it. Not RINGFENCE: that is `1` inside of every sandbox.
VARIABLE = "RINGFENCE_HELPER"


def find_binary(*, writable: Iterable[str] = (), readonly: Iterable[str] = ()) -> str:
    """The program: ``$RINGFENCE_HELPER``, the one of the wheel, or the first on ``PATH``, in this order.

    One that lies below a directory in ``writable`` is passed over, unless a directory in ``readonly`` is nearer: what an
    earlier command left there must not make the next sandbox. Relative places are passed over, too.

    Raises:
        BinaryNotFoundError: There is none, or the variable names none. It names those that were passed over.
    """
    named = os.environ.get(VARIABLE)
    if named and not (os.path.isabs(named) and os.access(named, os.X_OK) and os.path.isfile(named)):
        raise BinaryNotFoundError(
            f"the program `{NAME}` was not found: {VARIABLE}={named} is no absolute path of a program",
            hint=f"unset {VARIABLE}, or name the program from / on",
        )
    open_to_commands = [_real(path) for path in writable]
    closed = [_real(path) for path in readonly]
    passed_over = []
    for candidate in _candidates():
        if not os.path.isabs(candidate):
            continue
        program = _real(candidate)
        if not (os.path.isfile(program) and os.access(program, os.X_OK)):
            continue
        # The link may be replaced as well as what it leads to.
        places = (program, os.path.join(_real(os.path.dirname(candidate)), os.path.basename(candidate)))
        if any(_can_change(place, open_to_commands, closed) for place in places):
            passed_over.append(candidate)
            continue
        return program
    raise _not_found(passed_over)


def _not_found(passed_over: list[str]) -> BinaryNotFoundError:
    if passed_over:
        first = passed_over[0]
        environment = os.path.dirname(os.path.dirname(first))
        return BinaryNotFoundError(
            f"the program `{first}` lies where the command can write: it could be another one by the next run",
            hint=f"read=[{environment!r}] keeps it from changing; or install ringfence outside of the workspace",
        )
    return BinaryNotFoundError(
        f"the program `{NAME}` was not found in this environment, in {VARIABLE} and on PATH",
        hint=f"pip install {NAME}, or {VARIABLE}=/path/to/{NAME}",
    )


def _candidates() -> Iterator[str]:
    yield os.environ.get(VARIABLE, "")
    for directory in _scripts():
        yield os.path.join(directory, NAME)
    for directory in os.environ.get("PATH", "").split(os.pathsep):
        yield os.path.join(directory, NAME)


def _scripts() -> Iterator[str]:
    """Where installers put the wheel's program."""
    yield sysconfig.get_path("scripts")
    yield sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user"))
    # pip install --target DIR
    yield str(Path(__file__).resolve().parent.parent / "bin")


def _real(path: str) -> str:
    return os.path.realpath(os.path.expanduser(path))


def _can_change(path: str, writable: list[str], readonly: list[str]) -> bool:
    """The most specific rule wins; at equal depth the more restrictive one."""
    return _depth(path, writable) > _depth(path, readonly)


def _depth(path: str, rules: list[str]) -> int:
    """How many names the nearest rule above ``path`` has; -1 for none."""
    parts = Path(path).parts
    lengths = [len(rule) for rule in (Path(rule).parts for rule in rules) if parts[: len(rule)] == rule]
    return max(lengths, default=-1)
