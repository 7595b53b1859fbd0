"""The environment of ``ringfence`` and, through it, of the command."""

from __future__ import annotations

import os
from collections.abc import Mapping

# Names that ringfence, or what starts it, reads for itself: there they would say something about it, not about the command.
_STEERING = frozenset(("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "PATH", "TMPDIR", "GLIBC_TUNABLES"))
_STEERING_STARTS = ("LD_", "RUST_", "MALLOC_", "RINGFENCE_")
# Those of them that it needs to find the user's configuration, sessions and other engines.
_NEEDED = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "PATH")


def _steers(name: str) -> bool:
    return name in _STEERING or name.startswith(_STEERING_STARTS)


def split(env: Mapping[str, str] | None, clear: bool) -> tuple[dict[str, str], list[str]]:
    """The environment to start ``ringfence`` with, and flags, so that the command gets ``env``.

    A variable that is the same in the caller's own environment is judged by the sandbox as if it came from there: so
    ``env={**os.environ, "NAME": "value"}`` hands no secret over that the sandbox would have kept. What is new or changed is
    set on purpose. With ``clear``, all of it is. Values stand in no argument, which every user could read, but for
    variables that steer ringfence itself.

    Raises:
        ValueError: A name that cannot be one.
    """
    own = dict(os.environ)
    if env is None:
        return own, []
    started = {name: own[name] for name in _NEEDED if name in own}
    words = []
    for name, value in env.items():
        if not name or "=" in name or "\0" in name + value:
            raise ValueError(f"illegal environment variable: {name!r}")
        same = own.get(name) == value
        if _steers(name):
            if same:
                started[name] = value
            if clear or not same:
                words.append(f"--env={name}={value}")
        else:
            started[name] = value
            if clear or not same:
                words.append(f"--env={name}")
    return started, words
