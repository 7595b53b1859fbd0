"""Python functions in sandboxed processes, in the shape of :class:`concurrent.futures.ProcessPoolExecutor`."""

from __future__ import annotations

import builtins
import json
import os
import pickle
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from . import _options, _plain, _worker
from ._errors import BrokenWorkerError, RemoteError, RemoteTraceback, ResultRefusedError
from ._options import Options, StrPath
from ._process import Popen

if TYPE_CHECKING:
    from typing_extensions import ParamSpec, Unpack

    P = ParamSpec("P")
T = TypeVar("T")

#: The largest answer that is read of a worker.
MAX_RESULT_BYTES = 64 << 20

# Built-in exceptions that are raised here as what they were there. The others say something to the interpreter.
_EXCEPTIONS: dict[str, type[Exception]] = {
    f"builtins.{name}": kind
    for name, kind in vars(builtins).items()
    if isinstance(kind, type)
    and issubclass(kind, Exception)
    and kind not in (StopIteration, StopAsyncIteration)
    and not name.endswith("Group")
}


class SandboxExecutor(Executor):
    """Runs Python functions in sandboxed worker processes, in the shape of ``ProcessPoolExecutor``.

    Functions and arguments go in as pickles: by cloudpickle, which takes lambdas and what is defined in ``__main__``, where it
    is installed. **Workers are not trusted, so results never come back as pickles**: they may be ``None``, ``bool``, ``int``,
    ``float``, ``complex``, ``str``, ``bytes``, and lists, tuples, dicts and sets of them. Anything else is refused with
    :class:`ResultRefusedError`. Built-in exceptions are raised as they are, others as :class:`RemoteError`.

    A worker is used for one call after another, so what one call leaves in it the next one finds;
    ``max_tasks_per_child=1`` makes a sandbox for each. A worker that dies fails the call that it worked at with
    :class:`BrokenWorkerError`; other calls go on.

    Args:
        max_workers: How many calls run at once; as many as there are processors where it is not said.
        initializer: Called in each worker first, with ``initargs``; it may return anything.
        max_tasks_per_child: After how many calls a worker is replaced.
        timeout: How many seconds a call may take, before its worker is ended and it fails with ``TimeoutError``.
        max_result_bytes: The largest answer. In memory it can be some ten times as large.
        cwd: The workspace, as for :func:`ringfence.run`.
        env: The environment, as for :func:`ringfence.run`.
        options: :class:`Options`.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        *,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        max_tasks_per_child: int | None = None,
        timeout: float | None = None,
        max_result_bytes: int = MAX_RESULT_BYTES,
        cwd: StrPath | None = None,
        env: Mapping[str, str] | None = None,
        **options: Unpack[Options],
    ) -> None:
        _options.check(options)
        if max_tasks_per_child is not None and max_tasks_per_child < 1:
            raise ValueError("max_tasks_per_child must be at least 1")
        self._start: dict[str, Any] = {"cwd": cwd, "env": env, **options}
        self._initial = None if initializer is None else _pickled(_initialize, (initializer, initargs), {})
        self._tasks = max_tasks_per_child
        self._timeout = timeout
        self._limit = max_result_bytes
        self._idle: list[_Worker] = []
        self._lock = threading.Lock()
        self._finishing = threading.Lock()
        self._threads = ThreadPoolExecutor(max_workers or os.cpu_count() or 1, "ringfence")

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Runs ``fn(*args, **kwargs)`` in a worker.

        Raises:
            pickle.PicklingError: It cannot be sent there.
            RuntimeError: The executor was shut down.
        """
        return self._threads.submit(self._call, _pickled(fn, args, kwargs))

    def _call(self, payload: bytes) -> Any:
        worker = self._worker()
        try:
            told = _told(worker.ask(payload, self._timeout, self._limit))
        except BaseException:
            worker.kill()
            raise
        if self._tasks is not None and worker.calls >= self._tasks:
            worker.close()
        else:
            with self._lock:
                self._idle.append(worker)
        return _result(told)

    def _worker(self) -> _Worker:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        worker = _Worker(self._start)
        if self._initial is not None:
            try:
                _result(_told(worker.ask(self._initial, self._timeout, self._limit)))
            except BaseException:
                worker.kill()
                raise
        worker.calls = 0
        return worker

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As in :mod:`concurrent.futures`."""
        self._threads.shutdown(wait=False, cancel_futures=cancel_futures)
        if wait:
            self._finish()
        else:
            threading.Thread(target=self._finish, name="ringfence-shutdown", daemon=True).start()

    def _finish(self) -> None:
        # Whoever waits does so for another one that finishes, too.
        with self._finishing:
            self._threads.shutdown(wait=True)
            with self._lock:
                workers, self._idle = self._idle, []
            for worker in workers:
                worker.close()


def _initialize(initializer: Callable[..., object], initargs: tuple[Any, ...]) -> None:
    initializer(*initargs)


def _pickled(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bytes:
    try:
        import cloudpickle
    except ImportError:
        named = [fn, *args] if fn is _initialize else [fn]
        if any(getattr(item, "__module__", None) == "__main__" for item in named):
            raise pickle.PicklingError(
                f"{fn!r} is defined in __main__, which a worker does not have: put it into a module, or "
                "pip install cloudpickle"
            ) from None
        return pickle.dumps((fn, args, kwargs))
    payload: bytes = cloudpickle.dumps((fn, args, kwargs))
    return payload


def _told(answer: bytes) -> tuple[Any, ...]:
    """What a worker says of a call.

    Raises:
        BrokenWorkerError: It is not what workers say.
    """
    try:
        told: tuple[Any, ...] = _plain.decode(answer)
    except _plain.MalformedError as error:
        raise BrokenWorkerError(f"a worker sent what no worker sends: {error}") from None
    match told:
        case ("ok", _) | ("refused", str()) | ("error", str(), _, str(), str()):
            return told
    raise BrokenWorkerError("a worker sent what no worker sends")


def _result(told: tuple[Any, ...]) -> Any:
    """The result of a call, or what it raises."""
    match told:
        case ("ok", value):
            return value
        case ("refused", why):
            raise ResultRefusedError(
                f"{shown(why)}: a worker is not trusted, so it can answer with None, bool, int, float, complex, str, "
                "bytes, and lists, tuples, dicts and sets of them"
            )
    _, name, args, text, trace = told
    raise _exception(name, args, text) from RemoteTraceback(shown(trace))


def _exception(name: str, args: Any, text: str) -> Exception:
    kind = _EXCEPTIONS.get(name)
    if kind is not None and isinstance(args, tuple):
        try:
            return kind(*args)
        except Exception:  # noqa: BLE001 - it takes other arguments: then the text has to do
            pass
    return RemoteError(shown(name), shown(text))


def shown(text: str) -> str:
    """Without what would steer a terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


class _Worker:
    """A process in a sandbox, and the two pipes that lead there and back."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.calls = 0
        inside_calls, self._calls = os.pipe()
        self._answers, inside_answers = os.pipe()
        path = json.dumps([os.path.abspath(entry) for entry in sys.path])
        command = [sys.executable, "-I", "-c", _worker.BOOT, path, str(inside_calls), str(inside_answers)]
        try:
            self._process = Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=_output(1),
                stderr=_output(2),
                pass_fds=(inside_calls, inside_answers),
                **options,
            )
        except BaseException:
            self._hang_up()
            raise
        finally:
            os.close(inside_calls)
            os.close(inside_answers)
        for pipe, number in ((self._process.stdout, 1), (self._process.stderr, 2)):
            if pipe is not None:
                threading.Thread(target=_pump, args=(pipe, number), daemon=True).start()
        os.set_blocking(self._calls, False)

    def ask(self, payload: bytes, timeout: float | None, limit: int) -> bytes:
        """Sends a call; the result is the answer, which is not to be trusted.

        Raises:
            TimeoutError: It took too long.
            BrokenWorkerError: There is no answer, or too long a one.
            SandboxError: There could be no sandbox.
        """
        self.calls += 1
        deadline = None if timeout is None else time.monotonic() + timeout
        unsent = memoryview(_worker.LENGTH.pack(len(payload)) + payload)
        answer = bytearray()
        size = _worker.LENGTH.size
        head = True
        while len(answer) < size:
            unsent = self._step(unsent, answer, size, deadline)
            if head and len(answer) == size:
                (size,) = _worker.LENGTH.unpack(answer)
                head = False
                answer.clear()
                if size > limit:
                    raise BrokenWorkerError(f"a worker's answer has {size} bytes, {limit} are allowed (max_result_bytes)")
        return bytes(answer)

    def _step(self, unsent: memoryview, answer: bytearray, size: int, deadline: float | None) -> memoryview:
        """Writes or reads what can be now; the result is what is still to be written."""
        left = None if deadline is None else deadline - time.monotonic()
        poll = select.poll()
        poll.register(self._answers, select.POLLIN)
        if unsent:
            poll.register(self._calls, select.POLLOUT)
        ready = dict(poll.poll(None if left is None else max(0, left * 1000)))
        if not ready:
            raise TimeoutError("the call took too long, its worker was ended")
        if self._answers in ready:
            part = os.read(self._answers, min(size - len(answer), 1 << 20))
            if not part:
                raise self._end()
            answer += part
        if self._calls in ready:
            try:
                return unsent[os.write(self._calls, unsent) :]
            except BrokenPipeError:
                raise self._end() from None
        return unsent

    def _end(self) -> Exception:
        """Why the worker is gone."""
        try:
            code = self._process.wait(10)
        except subprocess.TimeoutExpired:
            return BrokenWorkerError("a worker closed its pipe")
        self._process.check_sandbox()
        outcome = self._process.outcome
        how = f"was ended by signal {-code}" if code < 0 else f"exited with {code}"
        hits = ", ".join(hit.limit for hit in outcome.limits) if outcome else ""
        return BrokenWorkerError(f"a worker {how}{f' at its limit: {hits}' if hits else ''}", outcome=outcome)

    def _hang_up(self) -> None:
        for number in (self._calls, self._answers):
            if number >= 0:
                os.close(number)
        self._calls = self._answers = -1

    def close(self) -> None:
        """Lets it end, and sees to it."""
        self._hang_up()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Ends it, and all that runs in its sandbox."""
        self._hang_up()
        self._process.kill()
        self._process.wait()


def _output(number: int) -> int | None:
    """A worker's output is the program's; but a terminal is for one sandbox at a time."""
    return subprocess.PIPE if os.isatty(number) else None


def _pump(pipe: Any, number: int) -> None:
    with pipe:
        while data := os.read(pipe.fileno(), 1 << 16):
            os.write(number, data)
