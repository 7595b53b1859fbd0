"""Functions in sandboxed workers, which do what they can against the program outside."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, as_completed
from pathlib import Path
from typing import Any

import pytest

import hostile_calls as calls
import ringfence
from ringfence import _plain

PLAIN = [
    None, True, False, 0, -1, 255, -256, 2**200, -(2**200), 1.5, float("inf"), 3 - 4j, "", "grüße \0 \ud800", b"\0\xff",
    [], [1, [2, [3]]], (), (1,), {}, {"a": {1: b"x"}, (1, 2): None}, {1, 2}, frozenset({"x"}),
]  # fmt: skip


@pytest.fixture
def executor(workspace: Path) -> Iterator[ringfence.SandboxExecutor]:
    with ringfence.SandboxExecutor(2, timeout=60) as made:
        yield made


def test_results(executor: ringfence.SandboxExecutor) -> None:
    assert executor.submit(calls.add, 1, b=2).result() == 3
    assert list(executor.map(calls.add, range(5))) == [1, 2, 3, 4, 5]
    futures = [executor.submit(calls.same, value) for value in PLAIN]
    assert [future.result() for future in futures] == PLAIN
    assert [type(future.result()) for future in futures] == [type(value) for value in PLAIN]
    assert executor.submit(lambda: "by value").result() == "by value"
    assert set(future.result() for future in as_completed(futures[:3])) == {None, True, False}


def test_workers_are_fenced(executor: ringfence.SandboxExecutor, workspace: Path, place: Path) -> None:
    assert executor.submit(calls.write, str(workspace / "file")).result() == "written"
    with pytest.raises(OSError) as raised:
        executor.submit(calls.write, str(place / "file")).result()
    assert raised.value.errno == 30 and raised.value.filename == str(place / "file")
    assert not (place / "file").exists()
    with ringfence.SandboxExecutor(1, write=[place]) as wider:
        assert wider.submit(calls.write, str(place / "file")).result() == "written"


def test_exceptions(executor: ringfence.SandboxExecutor) -> None:
    with pytest.raises(ValueError) as value:
        executor.submit(calls.fail, "value").result()
    assert value.value.args == ("a word", 7)
    assert isinstance(value.value.__cause__, ringfence.RemoteTraceback) and "in fail" in str(value.value.__cause__)
    with pytest.raises(FileNotFoundError) as missing:
        executor.submit(calls.fail, "file").result()
    assert missing.value.filename == "/no/such/file"
    with pytest.raises(ringfence.RemoteError) as own:
        executor.submit(calls.fail, "own").result()
    assert own.value.type_name == "hostile_calls.Own" and "\\x1b[31mcolour" in str(own.value)
    for kind, name in (("stop", "builtins.StopIteration"), ("exit", "builtins.SystemExit")):
        with pytest.raises(ringfence.RemoteError) as steering:
            executor.submit(calls.fail, kind).result()
        assert steering.value.type_name == name


def test_what_is_not_plain_is_refused_by_name(executor: ringfence.SandboxExecutor) -> None:
    with pytest.raises(ringfence.ResultRefusedError, match="hostile_calls.Thing is not plain data"):
        executor.submit(calls.thing).result()
    assert executor.submit(calls.add, 1).result() == 2


def test_no_pickle_of_a_worker_is_read(executor: ringfence.SandboxExecutor, place: Path) -> None:
    target = place / "owned"
    # It is one: the program that reads it runs it.
    pickle.loads(pickle.dumps(calls.Trap(str(target))))
    assert target.exists()
    target.unlink()
    with pytest.raises(ringfence.ResultRefusedError):
        executor.submit(calls.trap, str(target)).result()
    with pytest.raises((ringfence.RemoteError, ValueError)):
        executor.submit(calls.raise_trap, str(target)).result()
    with pytest.raises(ringfence.BrokenWorkerError, match="no worker sends"):
        executor.submit(calls.framed, pickle.dumps(calls.Trap(str(target)))).result()
    assert not target.exists()


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"N",
        b"NN",
        b"x",
        b"l\xff\xff\xff\xff",
        b"t\x01\0\0\0" * 5000,
        b"i\0\0\0\0",
        b"d\x01\0\0\0l\0\0\0\0N",
        b"s\x01\0\0\0\xff",
        _plain.encode(("ok",)),
        _plain.encode(("error", "builtins.ValueError", (), "text")),
        _plain.encode(("error", 7, (), "text", "trace")),
        _plain.encode(("other", 1)),
    ],
)
def test_malformed_answers_break_the_worker_and_nothing_else(workspace: Path, payload: bytes) -> None:
    with ringfence.SandboxExecutor(1, timeout=30) as executor:
        with pytest.raises(BrokenExecutor):
            executor.submit(calls.framed, payload).result()
        assert executor.submit(calls.add, 1).result() == 2


def test_long_answers_are_refused_before_they_are_read(workspace: Path) -> None:
    with ringfence.SandboxExecutor(1, max_result_bytes=1 << 20, timeout=60) as executor:
        with pytest.raises(ringfence.BrokenWorkerError, match="max_result_bytes"):
            executor.submit(calls.announce, 1 << 62).result()
        with pytest.raises(ringfence.BrokenWorkerError, match="max_result_bytes"):
            executor.submit(calls.large, 2 << 20).result()
        assert len(executor.submit(calls.large, 1 << 19).result()) == 1 << 19


def test_large_calls_and_answers(executor: ringfence.SandboxExecutor) -> None:
    data = os.urandom(3 << 20)
    assert executor.submit(calls.same, data).result() == data


def test_a_worker_that_dies_fails_its_call_alone(executor: ringfence.SandboxExecutor) -> None:
    slow = executor.submit(calls.nap, 1.0)
    with pytest.raises(ringfence.BrokenWorkerError, match="signal 9|exited with 137") as raised:
        executor.submit(calls.die).result()
    assert raised.value.outcome is not None
    with pytest.raises(ringfence.BrokenWorkerError, match="exited with 5"):
        executor.submit(calls.leave).result()
    assert slow.result() == 1.0 and executor.submit(calls.add, 1).result() == 2


def test_time_outs_end_the_worker(workspace: Path) -> None:
    with ringfence.SandboxExecutor(1, timeout=1) as executor:
        start = time.monotonic()
        with pytest.raises(TimeoutError, match="took too long"):
            executor.submit(calls.nap, 60).result()
        assert time.monotonic() - start < 20
        assert executor.submit(calls.add, 1).result() == 2


def test_no_sandbox_is_told_as_such(workspace: Path) -> None:
    with ringfence.SandboxExecutor(1, write=["missing"]) as executor:
        with pytest.raises(ringfence.SandboxError):
            executor.submit(calls.add, 1).result()
    with pytest.raises(TypeError, match="is not an option"):
        ringfence.SandboxExecutor(1, wriet=["x"])


def test_tasks_per_child_and_initializer(workspace: Path) -> None:
    with ringfence.SandboxExecutor(1) as executor:
        assert executor.submit(calls.remember, "x").result() is None
        assert executor.submit(calls.remember).result() == "x"
    with ringfence.SandboxExecutor(1, max_tasks_per_child=1, initializer=calls.prepare, initargs=("p",)) as executor:
        assert executor.submit(calls.remember, "x").result() is None
        assert executor.submit(calls.remember).result() is None
        assert executor.submit(calls.prepared).result() == "p"


def test_shutdown(workspace: Path) -> None:
    executor = ringfence.Sandbox(cwd=workspace).executor(1)
    first = executor.submit(calls.nap, 0.5)
    others = [executor.submit(calls.nap, 5) for _ in range(3)]
    executor.shutdown(wait=False, cancel_futures=True)
    # One of them may have begun.
    assert first.result() == 0.5
    assert [future.cancelled() for future in others].count(True) >= 2
    with pytest.raises(RuntimeError):
        executor.submit(calls.add, 1)
    # This one waits for the worker that the other leaves to itself: then nothing is left of its sandbox.
    executor.shutdown()
    assert os.listdir(workspace) == []


def test_without_cloudpickle(workspace: Path) -> None:
    script = workspace / "script.py"
    script.write_text(
        f"import sys; sys.modules['cloudpickle'] = None; sys.path.insert(0, {os.path.dirname(__file__)!r})\n"
        "import pickle, ringfence, hostile_calls\n"
        "def here(): return 1\n"
        "with ringfence.SandboxExecutor(1, initializer=hostile_calls.prepare, initargs=('p',)) as executor:\n"
        "    print(executor.submit(hostile_calls.add, 1).result(), executor.submit(hostile_calls.prepared).result())\n"
        "    try: executor.submit(here)\n"
        "    except pickle.PicklingError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first == "2 p" and "pip install cloudpickle" in second


@pytest.mark.parametrize("value", PLAIN)
def test_plain_data_comes_back_as_it_was(value: Any) -> None:
    assert _plain.decode(_plain.encode(value)) == value


def test_no_prefix_and_no_changed_byte_is_read_as_anything_but_plain_data() -> None:
    whole = _plain.encode(PLAIN)
    for end in range(len(whole)):
        with pytest.raises(_plain.MalformedError):
            _plain.decode(whole[:end])
    for at in range(0, len(whole)):
        for byte in (0, 1, 0x7F, 0x80, 0xFF, ord("l"), ord("d"), ord("S"), ord("i")):
            changed = whole[:at] + bytes([byte]) + whole[at + 1 :]
            try:
                only_plain(_plain.decode(changed))
            except _plain.MalformedError:
                pass


def only_plain(value: Any) -> None:
    if isinstance(value, dict):
        for pair in value.items():
            only_plain(pair)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            only_plain(item)
    else:
        assert type(value) in (type(None), bool, int, float, complex, str, bytes)
