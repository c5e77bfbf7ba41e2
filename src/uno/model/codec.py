"""Model values to JSON and back, byte for byte the same for equal values."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, TypeVar

import msgspec

from uno.model.net import Address, Network, address, network, written

T = TypeVar("T")


class Malformed(ValueError):
    """The bytes are not JSON, or not the JSON of the expected type; the message names the place."""


def encode(value: object) -> bytes:
    """Return the JSON of a model value, on one line."""
    try:
        return _ENCODER.encode(value)
    except TypeError:
        # Numbers as keys are text in JSON, and msgspec orders those alone.
        return _ENCODER.encode(msgspec.to_builtins(value, enc_hook=_to_text, str_keys=True))


def encode_pretty(value: object) -> bytes:
    """Return the JSON of a model value, indented for people, with a final newline."""
    return msgspec.json.format(_ENCODER.encode(value), indent=2) + b"\n"


def decode(text: bytes | str, kind: type[T]) -> T:
    """Read a `kind` from its JSON. Raises `Malformed`."""
    try:
        return _decoder(kind).decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(str(error)) from error


# Where two threads have it look at a type for the first time at once, msgspec crashes the process.
_FIRST_LOOK = threading.Lock()


_DECODERS: dict[Any, msgspec.json.Decoder[Any]] = {}


def _decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    if kind not in _DECODERS:
        with _FIRST_LOOK:
            _DECODERS.setdefault(kind, msgspec.json.Decoder(kind, dec_hook=_from_text))
    return _DECODERS[kind]


def to_builtins(value: object) -> Any:
    """Return `value` as dictionaries, lists, strings, numbers."""
    return msgspec.to_builtins(value, enc_hook=_to_text, order="deterministic")


def _to_text(value: object) -> str:
    if isinstance(value, IPv4Address | IPv6Address | IPv4Network | IPv6Network):
        return written(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


_READERS: dict[Any, Callable[[str], object]] = {
    IPv4Address: IPv4Address,
    IPv6Address: IPv6Address,
    IPv4Network: IPv4Network,
    IPv6Network: IPv6Network,
    Address: address,
    Network: network,
}


def _from_text(kind: type, text: object) -> object:
    if not isinstance(text, str):
        # A ValueError, since msgspec adds the path to those alone.
        raise ValueError(f"expected text, got {type(text).__name__}")  # noqa: TRY004
    return _read_again(kind, text) if len(text) <= _SHORT else _READERS[kind](text)


# Every cell's status names the same networks. What is longer than these are has a scope, which may
# be of any length, and is not worth to be kept.
_SHORT = 49


@lru_cache(maxsize=8192)
def _read_again(kind: type, text: str) -> object:
    return _READERS[kind](text)


_ENCODER = msgspec.json.Encoder(enc_hook=_to_text, order="deterministic")
