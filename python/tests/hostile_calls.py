"""Functions that run in workers: a module that both sides have."""

from __future__ import annotations

import os
import signal
import struct
import sys
import time
from pathlib import Path
from typing import Any


class Own(Exception):
    """An exception that is no built-in one."""


class Thing:
    """Not plain data."""


class Trap:
    """A pickle of it runs code where it is read."""

    def __init__(self, target: str) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return (os.system, (f"touch {self.target}",))


def add(a: int, b: int = 1) -> int:
    return a + b


def same(value: Any) -> Any:
    return value


def write(path: str) -> str:
    Path(path).write_text("written")
    return "written"


def fail(kind: str) -> None:
    if kind == "own":
        raise Own("with \x1b[31mcolour")
    if kind == "file":
        open("/no/such/file")
    if kind == "stop":
        raise StopIteration
    if kind == "exit":
        sys.exit(3)
    raise ValueError("a word", 7)


def thing() -> Any:
    return {"deep": [Thing()]}


def trap(target: str) -> Any:
    return Trap(target)


def raise_trap(target: str) -> None:
    raise ValueError(Trap(target))


def pid() -> int:
    return os.getpid()


def remember(value: str | None = None) -> Any:
    """What an earlier call left."""
    before = getattr(sys, "remembered", None)
    sys.remembered = value  # type: ignore[attr-defined]
    return before


def prepare(word: str) -> None:
    os.environ["PREPARED"] = word


def prepared() -> Any:
    return os.environ.get("PREPARED")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave() -> None:
    os._exit(5)


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def large(size: int) -> bytes:
    return b"x" * size


def answers() -> int:
    return int(sys.argv[3])


def write_raw(data: bytes) -> None:
    """Writes in the place of the answer what no worker writes, and waits for what happens."""
    os.write(answers(), data)
    time.sleep(60)


def announce(size: int) -> None:
    write_raw(struct.pack("<Q", size))


def framed(payload: bytes) -> None:
    write_raw(struct.pack("<Q", len(payload)) + payload)
