"""Functions that run in a sandbox of their own inside a Ray task: no network, no socket of Ray's, the task's GPUs.

    from ringfence_ray import fenced

    @ray.remote(num_gpus=1)
    @fenced("--read", "/data")
    def train(path): ...

Each call starts a Python of its own in `ringfence run` and ends it. The arguments are pickled by cloudpickle; where only
Ray's own is installed, the function's Python imports all of Ray to read them, which takes a third of a second. The result comes from code that is not trusted, so no class is ever looked up to read it: None, numbers, texts, bytes, lists,
tuples, dicts and sets of those can be returned, or anything that the function itself makes bytes of.

The program is looked for in PATH, or named by RINGFENCE. Without a task around it, it works the same.
"""

import functools
import io
import os
import pickle
import subprocess
import sys

__all__ = ["Fenced", "fenced"]

# The result must not end the worker that reads it.
LARGEST_RESULT = 256 << 20

INSIDE = """
import os, pickle, sys
sys.path[:] = pickle.load(sys.stdin.buffer)
answer = os.fdopen({answer}, "wb")
try:
    function, args, kwargs = pickle.load(sys.stdin.buffer)
    said = (True, function(*args, **kwargs))
except BaseException as error:
    said = (False, (type(error).__name__, str(error)))
try:
    pickle.dump(said, answer, protocol=4)
    answer.close()
except Exception as error:
    sys.exit(f"the result cannot be sent: {{error}}")
"""


class Fenced(RuntimeError):
    """The function raised, or its sandbox did not start; the text says which."""


class _Plain(pickle.Unpickler):
    """Reads values, and never code."""

    def find_class(self, module, name):
        if (module, name) in {("builtins", "set"), ("builtins", "frozenset")}:
            return {"set": set, "frozenset": frozenset}[name]
        raise pickle.UnpicklingError(f"{module}.{name} is not a plain value")


def fenced(*options):
    """A decorator; `options` are those of `ringfence run`, such as "--read", "/data".

    The workspace is an empty directory of its own unless `--cd` names another one.
    """

    def decorate(function):
        @functools.wraps(function)
        def call(*args, **kwargs):
            return _call(function, args, kwargs, options)

        return call

    return decorate


def _gpus():
    """Ray has set CUDA_VISIBLE_DEVICES by now; a task without GPUs gets none."""
    ray = sys.modules.get("ray")
    allotted = ray.get_gpu_ids() if ray is not None and ray.is_initialized() else []
    return ["--gpu", "visible" if allotted else "off"]


def _call(function, args, kwargs, options):
    try:
        import cloudpickle
    except ImportError:
        from ray import cloudpickle

    payload = pickle.dumps(sys.path) + cloudpickle.dumps((getattr(function, "__wrapped__", function), args, kwargs))
    read, write = os.pipe()
    command = [os.environ.get("RINGFENCE", "ringfence"), "run", "--sandbox", "read-only", *_gpus()]
    command += ["--pass-fd", str(write), *options, "--", sys.executable, "-c", INSIDE.format(answer=write)]
    try:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[write])
    except OSError as error:
        os.close(read)
        raise Fenced(f"start {command[0]}: {error}") from None
    finally:
        os.close(write)
    with os.fdopen(read, "rb") as answer, process:
        try:
            process.stdin.write(payload)
            process.stdin.close()
        except BrokenPipeError:
            pass
        said = answer.read(LARGEST_RESULT + 1)
        if len(said) > LARGEST_RESULT:
            process.kill()
            raise Fenced(f"the result is larger than {LARGEST_RESULT} bytes")
        code = process.wait()
    return _result(said, code)


def _result(said, code):
    if not said:
        raise Fenced(f"the sandbox ended with code {code} and said nothing")
    try:
        worked, value = _Plain(io.BytesIO(said)).load()
    except Exception as error:
        raise Fenced(f"the result cannot be read: {error}") from None
    if worked is True:
        return value
    raise Fenced(": ".join(str(part) for part in value) if isinstance(value, tuple) else "no words for what went wrong")
