"""Plain data as bytes, and back: the format in which a worker that is not trusted answers.

It knows ``None``, ``bool``, ``int``, ``float``, ``complex``, ``str``, ``bytes``, ``list``, ``tuple``, ``dict``, ``set`` and
``frozenset``, and nothing else: no class and no function can be named in it, so reading it runs no code of the sender. Sizes
are checked before anything is made. Each value is a letter, then its length or count in four bytes, then its parts.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

DEPTH = 100
_INT_BYTES = 1 << 16
_LENGTH = struct.Struct("<I")
_FLOAT = struct.Struct("<d")
_COMPLEX = struct.Struct("<dd")

_GROUPS: dict[bytes, Callable[[list[Any]], Any]] = {b"l": list, b"t": tuple, b"S": set, b"Z": frozenset}
_LETTERS: dict[type, bytes] = {list: b"l", tuple: b"t", set: b"S", frozenset: b"Z"}


class NotPlainError(TypeError):
    """A value, or a part of it, is of a class that the format does not know."""


class MalformedError(ValueError):
    """The bytes are no value of this format."""


def encode(value: Any) -> bytes:
    """The value as bytes.

    Raises:
        NotPlainError: It is not plain, too deep or too large. Subclasses are not plain either: they would come back changed.
    """
    out = bytearray()
    _encode(value, out, DEPTH)
    return bytes(out)


def _encode(value: Any, out: bytearray, depth: int) -> None:
    kind = type(value)
    if depth == 0:
        raise NotPlainError(f"it is nested more than {DEPTH} times")
    if value is None or kind is bool:
        out += b"N" if value is None else b"T" if value else b"F"
    elif kind is int:
        size = value.bit_length() // 8 + 1
        if size > _INT_BYTES:
            raise NotPlainError(f"an int has more than {_INT_BYTES} bytes")
        _put(out, b"i", value.to_bytes(size, "little", signed=True))
    elif kind is float:
        out += b"f" + _FLOAT.pack(value)
    elif kind is complex:
        out += b"c" + _COMPLEX.pack(value.real, value.imag)
    elif kind is str:
        _put(out, b"s", value.encode("utf-8", "surrogatepass"))
    elif kind is bytes:
        _put(out, b"b", value)
    elif kind is dict:
        out += b"d" + _LENGTH.pack(len(value))
        for key, item in value.items():
            _encode(key, out, depth - 1)
            _encode(item, out, depth - 1)
    elif kind in _LETTERS:
        out += _LETTERS[kind] + _LENGTH.pack(len(value))
        for item in value:
            _encode(item, out, depth - 1)
    else:
        raise NotPlainError(f"{kind.__module__}.{kind.__qualname__} is not plain data")


def _put(out: bytearray, letter: bytes, data: bytes) -> None:
    if len(data) > 0xFFFFFFFF:
        raise NotPlainError("a part has more than 4 GiB")
    out += letter + _LENGTH.pack(len(data)) + data


def decode(data: bytes) -> Any:
    """The value that the bytes say.

    Raises:
        MalformedError: They say none.
    """
    reader = _Reader(data)
    try:
        value = reader.value(DEPTH)
    except (TypeError, UnicodeDecodeError) as error:
        # A list as a key of a dict, for example.
        raise MalformedError(str(error)) from None
    if reader.at != len(data):
        raise MalformedError("something follows the value")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> bytes:
        part = self.data[self.at : self.at + size]
        if len(part) != size:
            raise MalformedError("it ends too early")
        self.at += size
        return part

    def length(self) -> int:
        """A length or a count: each item has a byte at least."""
        length: int = _LENGTH.unpack(self.take(4))[0]
        if length > len(self.data) - self.at:
            raise MalformedError("it ends too early")
        return length

    def value(self, depth: int) -> Any:
        if depth == 0:
            raise MalformedError(f"it is nested more than {DEPTH} times")
        letter = self.take(1)
        if letter in _GROUPS:
            return _GROUPS[letter]([self.value(depth - 1) for _ in range(self.length())])
        if letter == b"d":
            pairs = range(self.length())
            return {self.value(depth - 1): self.value(depth - 1) for _ in pairs}
        return self.leaf(letter)

    def leaf(self, letter: bytes) -> Any:
        if letter in b"NTF":
            return {b"N": None, b"T": True, b"F": False}[letter]
        if letter == b"f":
            return _FLOAT.unpack(self.take(8))[0]
        if letter == b"c":
            return complex(*_COMPLEX.unpack(self.take(16)))
        if letter not in b"isb":
            raise MalformedError(f"{letter!r} is no kind of value")
        part = self.take(self.length())
        if letter == b"s":
            return part.decode("utf-8", "surrogatepass")
        if letter == b"b":
            return part
        if len(part) > _INT_BYTES:
            raise MalformedError(f"an int has more than {_INT_BYTES} bytes")
        return int.from_bytes(part, "little", signed=True)
