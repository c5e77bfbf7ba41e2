r"""Text that another machine wrote, made safe to show: on a terminal, in a log, in a page. Pure.

Control characters, escape sequences, bidirectional overrides and other invisible characters become
visible escapes such as `\x1b`; what is too long is cut. Markup of a page or of a terminal library
is text like any other: who prints it must not interpret it.
"""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

T = TypeVar("T")

MAX_TEXT = 2000
"""Characters of one text that are shown."""

MAX_TEXTS = 50
"""Texts of one list that are shown."""

# Numbers fit into 64 bits, as SQLite needs it, and print on one line.
_MAX_INTEGER, _MAX_REAL = (1 << 63) - 1, 1e9

# A name of an interface has at most 15 characters (IFNAMSIZ of netdevice(7)).
_MAX_SCOPE = 15


def visible(text: str, *, limit: int = MAX_TEXT) -> str:
    """Return `text` with what is not printable escaped, and at most `limit` characters long."""
    if text.isprintable() and len(text) <= limit:
        return text
    shown = "".join(each if each.isprintable() else _escaped(each) for each in text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def made_safe(value: T) -> T:
    """Return a decoded message, or a part of it, with every text in it `visible`.

    Raises ValueError for a number that is negative, or larger than any that a node measures.
    """
    result: Any = _safe(value)
    return result  # type: ignore[no-any-return]


def _safe(value: Any) -> Any:  # noqa: PLR0911 - one for each type
    match value:
        case bool() | None | bytes():
            return value
        case str():
            # Members of an enumeration are texts too, and safe.
            return visible(value) if type(value) is str else value
        case int():
            return _in_range(value, _MAX_INTEGER)
        case float():
            return _in_range(value, _MAX_REAL)
        case Struct():
            return _safe_struct(value)
        case IPv6Address():
            return _safe_scope(value, value.scope_id)
        case IPv6Network():
            return _safe_scope(value, value.network_address.scope_id)
        case tuple():
            return _safe_tuple(value)
        case dict():
            return {_safe(key): _safe(each) for key, each in value.items()}
        case _:
            return value


def _safe_struct(value: Struct) -> Struct:
    found = {name: getattr(value, name) for name in value.__struct_fields__}
    safe = {name: _safe(each) for name, each in found.items()}
    changed = {name: each for name, each in safe.items() if each is not found[name]}
    return replace(value, **changed) if changed else value


def _safe_tuple(value: tuple[Any, ...]) -> tuple[Any, ...]:
    if value and isinstance(value[0], str):
        value = value[:MAX_TEXTS]
    safe = tuple(map(_safe, value))
    return value if all(one is other for one, other in zip(value, safe, strict=True)) else safe


def _safe_scope(value: T, scope_id: str | None) -> T:
    # A scope id (RFC 4007, section 11) can be any text.
    if scope_id is not None and visible(scope_id, limit=_MAX_SCOPE) != scope_id:
        raise ValueError("an address has a scope that is no name of an interface")
    return value


def _in_range(value: float, largest: float) -> float:
    # The comparison is false for a number that is none.
    if not 0 <= value <= largest:
        raise ValueError("a number is out of range")
    return value


def _escaped(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
