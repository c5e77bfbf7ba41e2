"""Model values as JSON, and back. Equal values give equal bytes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, TypeVar

import msgspec

from uno.model.net import Address, Network, address, network, written

T = TypeVar("T")


class MalformedJson(ValueError):
    """The text is not JSON, or not of the expected type; the message names the path in it."""


def encode(value: object) -> bytes:
    """Return the JSON of a model value, on one line."""
    try:
        return _ENCODER.encode(value)
    except TypeError:
        # JSON keys are text; msgspec sorts mappings only if their keys are text already.
        return _ENCODER.encode(msgspec.to_builtins(value, enc_hook=_to_text, str_keys=True))


def encode_pretty(value: object) -> bytes:
    """Return the JSON of a model value, indented for people, with a final newline."""
    return msgspec.json.format(_ENCODER.encode(value), indent=2) + b"\n"


def decode(text: bytes | str, kind: type[T]) -> T:
    """Parse the JSON of a `kind`. Raises `MalformedJson`."""
    try:
        return _decoder(kind).decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedJson(str(error)) from error


# msgspec crashes the process if two threads inspect a new type at the same time.
_NEW_TYPE = threading.Lock()


_DECODERS: dict[Any, msgspec.json.Decoder[Any]] = {}


def _decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    if kind not in _DECODERS:
        with _NEW_TYPE:
            _DECODERS.setdefault(kind, msgspec.json.Decoder(kind, dec_hook=_from_text))
    return _DECODERS[kind]


def to_builtins(value: object) -> Any:
    """Return `value` as dictionaries, lists, strings and numbers."""
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
        # A ValueError: msgspec adds the path to no other exception.
        raise ValueError(f"expected text, got {type(text).__name__}")  # noqa: TRY004
    return _cached(kind, text) if len(text) <= _CACHED_LENGTH else _READERS[kind](text)


# The statuses of all cells name the same networks. A longer text has a scope id, which can have any
# length.
_CACHED_LENGTH = 49


@lru_cache(maxsize=8192)
def _cached(kind: type, text: str) -> object:
    return _READERS[kind](text)


_ENCODER = msgspec.json.Encoder(enc_hook=_to_text, order="deterministic")
