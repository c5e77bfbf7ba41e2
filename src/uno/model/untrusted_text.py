r"""Text that another machine wrote, made safe to show: on a terminal, in a log, in a page. Pure.

Control characters, escape sequences, bidirectional overrides and other invisible characters become
visible escapes such as `\x1b`; what is too long is cut. Markup of a page or of a terminal library
is text like any other: who prints it must not interpret it.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from ipaddress import IPv6Address, IPv6Network
from operator import is_
from typing import Any, TypeAlias, TypeVar

from msgspec import Struct
from msgspec.structs import astuple, replace

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
    handler = _HANDLERS[type(value)]
    result: Any = value if handler is None else handler(value)
    return result  # type: ignore[no-any-return]


_Handler: TypeAlias = Callable[[Any], Any]


class _Handlers(dict[type, _Handler | None]):
    """What makes a value of each type safe, None where all of them are.

    It is looked up once for each type: agents receive hundreds of statuses for each change.
    """

    def __missing__(self, kind: type) -> _Handler | None:
        self[kind] = found = _handler_of(kind)
        return found


_HANDLERS = _Handlers()


def _handler_of(kind: type) -> _Handler | None:
    # Members of an enumeration are texts or numbers too, and safe.
    if kind is bool or issubclass(kind, Enum):
        return None
    for base, handler in (
        (str, _safe_text),
        (int, _safe_integer),
        (float, _safe_real),
        (Struct, _safe_struct),
        (IPv6Address, _safe_address),
        (IPv6Network, _safe_network),
        (tuple, _safe_tuple),
        (dict, _safe_dict),
    ):
        if issubclass(kind, base):
            return handler
    return None


def _safe_text(value: str) -> str:
    return visible(value)


def _safe_integer(value: int) -> int:
    if not 0 <= value <= _MAX_INTEGER:
        raise ValueError("a number is out of range")
    return value


def _safe_real(value: float) -> float:
    # The comparison is false for a number that is none.
    if not 0 <= value <= _MAX_REAL:
        raise ValueError("a number is out of range")
    return value


def _safe_struct(value: Struct) -> Struct:
    changed: dict[str, Any] = {}
    for name, each in zip(value.__struct_fields__, astuple(value), strict=True):
        handler = _HANDLERS[type(each)]
        if handler is not None and (safe := handler(each)) is not each:
            changed[name] = safe
    return replace(value, **changed) if changed else value


def _safe_tuple(value: tuple[Any, ...]) -> tuple[Any, ...]:
    if not value:
        return value
    if isinstance(value[0], str):
        value = value[:MAX_TEXTS]
    handlers = _HANDLERS
    safe = tuple(
        each if (handler := handlers[type(each)]) is None else handler(each) for each in value
    )
    return value if all(map(is_, value, safe)) else safe


def _safe_dict(value: dict[Any, Any]) -> dict[Any, Any]:
    return {made_safe(key): made_safe(each) for key, each in value.items()}


def _safe_address(value: IPv6Address) -> IPv6Address:
    _require_scope(value.scope_id)
    return value


def _safe_network(value: IPv6Network) -> IPv6Network:
    _require_scope(value.network_address.scope_id)
    return value


def _require_scope(scope_id: str | None) -> None:
    # A scope id (RFC 4007, section 11) can be any text.
    if scope_id is not None and visible(scope_id, limit=_MAX_SCOPE) != scope_id:
        raise ValueError("an address has a scope that is no name of an interface")


def _escaped(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
