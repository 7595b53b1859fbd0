"""What a command may do, in the words of ``ringfence run``, as keyword arguments."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypedDict, Union

from ._binary import find_binary

StrPath = Union[str, "os.PathLike[str]"]
Paths = Union[StrPath, Iterable[StrPath]]
Names = Union[str, Iterable[str]]
Mode = Literal["read-only", "workspace-write", "full-access"]


class Options(TypedDict, total=False):
    """Options of a sandbox. Each is the option of ``ringfence run`` with the same name, unless said otherwise.

    Where a path or a name is taken, so is a list of them. Times are seconds, sizes bytes or text such as ``"2G"``.
    """

    #: What may be written: ``"workspace-write"`` where nothing else is said.
    sandbox: Mode
    #: A policy file: TOML, OpenShell's YAML or Codex's JSON.
    config: StrPath
    #: What well-known tools need, by the names that ``ringfence profiles`` lists.
    profile: Names
    #: ``"auto"``, ``"off"``, ``"all"``, ``"visible"``, an index, or a selector; or a list of the last two.
    gpu: str | int | Iterable[str | int]
    gpu_class: Names
    gpu_hide_others: bool
    cdi_dir: Paths
    read: Paths
    write: Paths
    modify: Paths
    deny: Paths
    device: Paths
    unix: Paths
    #: ``"none"``, ``"proxy"``, ``"allow"``, ``"host"``.
    net: str
    #: Hosts that can be reached: ``"pypi.org"``, ``"*.example.com:443"`` (``--allow-host``).
    allow_hosts: Names
    #: ``--deny-host``.
    deny_hosts: Names
    http_methods: Names
    transparent: bool
    #: Ports, or texts ``"HOSTPORT:PORT"``.
    publish: str | int | Iterable[str | int]
    expose_host: str | int | Iterable[str | int]
    no_unix: bool
    git: Literal["protect", "commit"]
    tmp: Literal["private", "host"]
    no_proc: bool
    #: Variables of the caller that are let through though they look like secrets (``--env NAME``).
    env_pass: Names
    #: Start with no variable but those of ``env`` and ``env_pass``.
    env_clear: bool
    #: Families of system calls: ``"ptrace"``.
    allow: Names
    backend: Literal["auto", "native", "bwrap", "landlock"]
    landlock: Literal["required", "best-effort"]
    audit: bool
    #: Note what the command is refused, so that the outcome names it with what would allow it.
    explain: bool
    #: Print no notes about it on standard error.
    quiet: bool
    log: StrPath
    allow_unenforced: bool
    memory: int | str
    pids: int
    cpus: float
    open_files: int
    file_size: int | str
    tmp_size: int | str
    idle_timeout: float
    cgroup: StrPath
    #: The program, if it is to be none of those that :func:`find_binary` looks for.
    binary: StrPath


_PATHS = ("cdi_dir", "read", "write", "modify", "deny", "device", "unix")
_LISTS = {
    "allow_hosts": "--allow-host",
    "deny_hosts": "--deny-host",
    "allow": "--allow",
    "profile": "--profile",
    "env_pass": "--env",
}
_PORTS = ("publish", "expose_host")
_COMMAS = ("gpu", "gpu_class", "http_methods")
_VALUES = (
    "sandbox", "config", "net", "git", "tmp", "backend", "landlock", "log", "memory", "pids", "cpus",
    "open_files", "file_size", "tmp_size", "cgroup",
)  # fmt: skip
_SWITCHES = ("gpu_hide_others", "transparent", "no_unix", "no_proc", "env_clear", "audit", "explain", "quiet", "allow_unenforced")
NAMES = frozenset(Options.__annotations__)


def check(options: Mapping[str, Any]) -> None:
    """Refuses what is no option, as a function refuses an argument that it does not have."""
    unknown = sorted(set(options) - NAMES)
    if unknown:
        raise TypeError(f"{unknown[0]!r} is not an option of ringfence")


def flags(options: Mapping[str, Any]) -> list[str]:
    """The options as ``ringfence run`` takes them: one word each, so that a value that starts with a dash stays one."""
    words: list[str] = []
    for name, value in options.items():
        flag = _LISTS.get(name, "--" + name.replace("_", "-"))
        if value is None or name == "binary":
            continue
        if name in _PATHS:
            words += [f"{flag}={os.fspath(path)}" for path in many(value)]
        elif name in _LISTS or name in _PORTS:
            words += [f"{flag}={item}" for item in many(value)]
        elif name in _COMMAS:
            words.append(f"{flag}={','.join(str(item) for item in many(value))}")
        elif name in _VALUES:
            words.append(f"{flag}={value if isinstance(value, (str, int, float)) else os.fspath(value)}")
        elif name in _SWITCHES:
            words += [flag] if value else []
        else:
            words.append(f"{flag}={seconds(value)}")
    return words


def seconds(value: float) -> str:
    """A time as ``--timeout`` takes it."""
    return f"{value:.3f}s"


def many(value: Any) -> list[Any]:
    """One, or each of many."""
    return [value] if isinstance(value, (str, int, os.PathLike)) else list(value)


def binary(options: Mapping[str, Any], cwd: str) -> str:
    """The program for commands with these options that start in ``cwd``."""
    named: StrPath | None = options.get("binary")
    if named is not None:
        return os.path.abspath(named)
    mode = options.get("sandbox")
    if mode == "full-access":
        return find_binary()
    opened = [os.fspath(path) for name in ("write", "modify") for path in many(options.get(name) or [])]
    closed = [os.fspath(path) for name in ("read", "deny") for path in many(options.get(name) or [])]
    workspace = [] if mode == "read-only" else [cwd]
    return find_binary(writable=[*workspace, *opened], readonly=closed)
