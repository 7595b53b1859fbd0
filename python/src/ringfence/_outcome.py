"""What ``ringfence`` tells about a run that is over (``--json-outcome``)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

EndingKind = Literal["exit", "signal", "not-executed", "failed"]


@dataclass(frozen=True)
class Ending:
    """How the command ended. Which fields are set depends on ``kind``."""

    kind: EndingKind
    code: int | None = None
    signal: int | None = None
    error: str | None = None
    hint: str | None = None


@dataclass(frozen=True)
class LimitHit:
    """A limit that the command ran into, and how often: ``memory``, ``pids``, …"""

    limit: str
    hits: int


@dataclass(frozen=True)
class Remedy:
    """What would let the command have what was denied: as a flag, and as a line of a policy file.

    ``missing``: its path has to be made outside first, since only what is there can have a rule.
    """

    flag: str
    toml: str
    missing: bool = False


@dataclass(frozen=True)
class Denial:
    """Something that the sandbox kept from the command.

    Attributes:
        what: The path, host or call.
        access: ``read``, ``write``, ``execute``, ``connect`` or ``call``.
        because: The rule that said so.
        remedy: What would allow it, where anything does.
        certain: False where it is likely, but not known, that the sandbox was the reason.
        count: How often it was seen.
    """

    what: str
    access: str
    because: str
    remedy: Remedy | None
    certain: bool
    count: int


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        code: The exit code of ``ringfence``: the command's own, 128 + n for signal n, 124, 125, 126, 127.
        ending: The same without ambiguity.
        timed_out: Which time-out ended it, or ``None``.
        limits: What limits it ran into.
        explained: Whether its calls were noted (``explain=True``); else denials are those of the network, and guesses.
        denials: What was kept from it.
        raw: The object as it was told.
    """

    code: int
    ending: Ending
    timed_out: str | None
    limits: tuple[LimitHit, ...]
    explained: bool
    denials: tuple[Denial, ...]
    raw: dict[str, Any]


def parse(text: bytes) -> Outcome | None:
    """The outcome in what was written; ``None`` where nothing was.

    Raises:
        ValueError: It is not what this version understands.
    """
    if not text.strip():
        return None
    value = json.loads(text)
    if not isinstance(value, dict) or value.get("version") != 1:
        raise ValueError("the outcome is of another version of ringfence")
    try:
        return _outcome(value)
    except (KeyError, TypeError) as error:
        raise ValueError(f"the outcome lacks a field or has a wrong one: {error}") from error


def _outcome(value: dict[str, Any]) -> Outcome:
    ending = value["ending"]
    known = {name: ending.get(name) for name in ("code", "signal", "error", "hint")}
    return Outcome(
        code=int(value["code"]),
        ending=Ending(kind=ending["kind"], **known),
        timed_out=value.get("timed_out"),
        limits=tuple(LimitHit(str(hit["limit"]), int(hit["hits"])) for hit in value.get("limits", ())),
        explained=bool(value.get("explained", False)),
        denials=tuple(_denial(denial) for denial in value.get("denials", ())),
        raw=value,
    )


def _denial(value: dict[str, Any]) -> Denial:
    remedy = value.get("remedy")
    return Denial(
        what=str(value["what"]),
        access=str(value["access"]),
        because=str(value["because"]),
        remedy=Remedy(str(remedy["flag"]), str(remedy["toml"]), bool(remedy.get("missing"))) if remedy else None,
        certain=bool(value.get("certain", False)),
        count=int(value.get("count", 1)),
    )
