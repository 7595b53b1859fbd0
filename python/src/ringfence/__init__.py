"""Run commands and Python functions that you do not trust, on Linux, with the GPU working.

>>> import ringfence
>>> done = ringfence.run(["python3", "train.py"], cwd="/project", gpu="auto", allow_hosts=["pypi.org"])  # doctest: +SKIP

The package starts the program ``ringfence``, which makes the sandbox. https://pypi.org/project/ringfence has a page about
this package, ``ringfence run --help`` and the project's documentation about each option.
"""

from subprocess import DEVNULL, PIPE, STDOUT, CalledProcessError, TimeoutExpired

from ._async import Process, create_subprocess_exec, run_async
from ._binary import find_binary
from ._errors import (
    BinaryNotFoundError,
    BrokenWorkerError,
    RemoteError,
    RemoteTraceback,
    ResultRefusedError,
    SandboxError,
)
from ._executor import SandboxExecutor
from ._options import Options
from ._outcome import Denial, Ending, LimitHit, Outcome, Remedy
from ._process import CompletedProcess, Popen, run
from ._sandbox import Answer, Sandbox, Session

__all__ = [
    "DEVNULL",
    "PIPE",
    "STDOUT",
    "Answer",
    "BinaryNotFoundError",
    "BrokenWorkerError",
    "CalledProcessError",
    "CompletedProcess",
    "Denial",
    "Ending",
    "LimitHit",
    "Options",
    "Outcome",
    "Popen",
    "Process",
    "RemoteError",
    "RemoteTraceback",
    "Remedy",
    "ResultRefusedError",
    "Sandbox",
    "SandboxError",
    "SandboxExecutor",
    "Session",
    "TimeoutExpired",
    "create_subprocess_exec",
    "find_binary",
    "run",
    "run_async",
]
