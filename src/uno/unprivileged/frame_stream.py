"""Frames over a stream socket: the length of the content in four bytes, and the content. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

_LENGTH: Final = 4


class MalformedFrame(ValueError):
    """The other end has sent what is not a frame."""


def framed(content: bytes) -> bytes:
    """Return a frame with its length."""
    return len(content).to_bytes(_LENGTH, "big") + content


def parsed(content: bytes, decoder: msgspec.msgpack.Decoder[Any]) -> Any:
    """Return the value of a frame's content. Raises `MalformedFrame`, and nothing else."""
    try:
        return decoder.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedFrame(str(error)) from error


class FrameBuffer:
    """Cuts a stream of bytes into the contents of frames."""

    def __init__(self, *, limit: int) -> None:
        """Start at the beginning of a frame, whose content has at most `limit` bytes."""
        self._limit = limit
        self._data = bytearray()

    def add(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data` completes; all must be taken. Raises `MalformedFrame`."""
        self._data += data
        start = 0
        while len(self._data) >= start + _LENGTH:
            size = int.from_bytes(self._data[start : start + _LENGTH], "big")
            if size > self._limit:
                raise MalformedFrame(f"a frame of {size:,} bytes")
            end = start + _LENGTH + size
            if len(self._data) < end:
                break
            yield bytes(self._data[start + _LENGTH : end])
            start = end
        del self._data[:start]
