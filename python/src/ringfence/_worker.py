"""What runs in the sandbox for :class:`ringfence.SandboxExecutor`: reads calls, answers with plain data.

A call comes from the program outside, which the worker trusts: a pickle. An answer goes to a program that does not trust
the worker: see :mod:`ringfence._plain`.
"""

from __future__ import annotations

import os
import pickle
import struct
import traceback
from typing import Any

from . import _plain

LENGTH = struct.Struct("<Q")
# Run by `python -I`, which knows no directory but its own: where modules are is told.
BOOT = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from ringfence._worker import main; main()"


def main() -> None:
    """Serves until there are no more calls."""
    import sys

    calls, answers = int(sys.argv[2]), int(sys.argv[3])
    for number in (calls, answers):
        os.set_inheritable(number, False)
    while (payload := _frame(calls)) is not None:
        answer = _answer(payload)
        _write(answers, LENGTH.pack(len(answer)) + answer)


def _frame(calls: int) -> bytes | None:
    head = _read(calls, LENGTH.size)
    return _read(calls, LENGTH.unpack(head)[0]) if head else None


def _read(number: int, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = os.read(number, min(size - len(parts), 1 << 20))
        if not part:
            return b""
        parts += part
    return bytes(parts)


def _write(number: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(number, view) :]


def _answer(payload: bytes) -> bytes:
    try:
        function, args, kwargs = pickle.loads(payload)
        value = function(*args, **kwargs)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the caller is told
        return _failure(error)
    try:
        return _plain.encode(("ok", value))
    except _plain.NotPlainError as error:
        return _plain.encode(("refused", str(error)))
    except BaseException as error:  # noqa: BLE001 - an iterator that raises, memory
        return _failure(error)


def _failure(error: BaseException) -> bytes:
    kind = type(error)
    name = f"{kind.__module__}.{kind.__qualname__}"
    trace = "".join(traceback.format_exception(kind, error, error.__traceback__))
    return _plain.encode(("error", name, _args(error), _text(error), trace))


def _args(error: BaseException) -> tuple[Any, ...] | None:
    """What the exception was made with, if that is plain."""
    try:
        args = tuple(error.args)
        if isinstance(error, OSError) and error.filename is not None:
            args = (error.errno, error.strerror, error.filename)
        _plain.encode(args)
        return args
    except BaseException:  # noqa: BLE001 - then the text has to do
        return None


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:  # noqa: BLE001 - its own __str__
        return ""
