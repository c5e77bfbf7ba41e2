"""The types of values in a spec: how each is read, and its JSON Schema."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from enum import StrEnum
from ipaddress import IPv4Network
from typing import Any

from uno.model import syntax
from uno.model.checks import Path
from uno.model.key_ids import Secret
from uno.model.net import Network, network
from uno.model.syntax import Mailbox, printable, quoted, suggestion
from uno.spec.reading import Reading, ValueKind, described, is_null, label
from uno.spec.scalars import Meaning, boolean, integer, meaning, means
from uno.spec.tree import MappingNode, Node, Scalar, SequenceNode

HASH_MARK = "$argon2"


def text(**schema: Any) -> ValueKind:
    """Text, of any length but 0."""

    def read(reading: Reading, node: Node, path: Path) -> str | None:
        found = _text(reading, node, path)
        if found == "":
            reading.refuse(node, path, f"{label(path)} is empty", "fill it in, or remove the key")
            return None
        return found

    return ValueKind(read=read, schema={"type": "string", "minLength": 1, **schema})


def whole_number(**schema: Any) -> ValueKind:
    """An integer of up to 64 bits; `schema` may narrow it for editors."""

    def read(reading: Reading, node: Node, path: Path) -> int | None:
        if not (isinstance(node, Scalar) and means(node) is Meaning.INTEGER):
            quotes = isinstance(node, Scalar) and meaning(node.text) is Meaning.INTEGER
            hint = "remove the quotes" if quotes else "write it in digits alone"
            _wrong_type(reading, node, path, "a whole number", hint)
            return None
        number = integer(node.text)
        if number is None:
            what = f"{label(path)} has more digits than any number here"
            reading.refuse(node, path, what, "write a smaller number")
        return number

    return ValueKind(read=read, schema={"type": "integer", **schema})


def within(allowed: range) -> ValueKind:
    """An integer whose range `model.checks` checks; the schema has the range for editors."""
    return whole_number(minimum=allowed[0], maximum=allowed[-1])


def truth() -> ValueKind:
    """True or false."""

    def read(reading: Reading, node: Node, path: Path) -> bool | None:
        if isinstance(node, Scalar) and means(node) is Meaning.BOOLEAN:
            return boolean(node.text)
        _wrong_type(reading, node, path, "true or false", _truth_hint(node))
        return None

    return ValueKind(read=read, schema={"type": "boolean"})


def choice(options: type[StrEnum]) -> ValueKind:
    """One of the values of an enumeration."""
    names = [str(option) for option in options]

    def read(reading: Reading, node: Node, path: Path) -> StrEnum | None:
        found = _text(reading, node, path)
        if found is None or found in names:
            return None if found is None else options(found)
        what = f"{label(path)} is {quoted(found)}"
        guess = suggestion(found, names)
        reading.refuse(node, path, what, guess or f"use one of {', '.join(names)}")
        return None

    return ValueKind(read=read, schema={"enum": names})


def cidr(*, only: type[IPv4Network] | None = None) -> ValueKind:
    """A network in CIDR notation, without host bits, of either family or of one."""

    def read(reading: Reading, node: Node, path: Path) -> Network | None:
        found = _text(reading, node, path)
        if found is None:
            return None
        try:
            result = _network(found)
        except ValueError as error:
            what, _, hint = str(error).partition("; ")
            what = what.partition(", such as")[0]
            reading.refuse(node, path, what, hint or "write it as 192.168.1.0/24")
            return None
        if only is not None and not isinstance(result, only):
            what = f"{label(path)} {result} is not an IPv4 network"
            reading.refuse(node, path, what, "write it as 10.0.0.0/16; IPv6 needs no pool")
            return None
        return result

    return ValueKind(read=read, schema={"type": "string", "examples": ["192.168.1.0/24"]})


def mailbox() -> ValueKind:
    """A user: `EMAIL`, or `NAME <EMAIL>`."""

    def read(reading: Reading, node: Node, path: Path) -> Mailbox | None:
        found = _text(reading, node, path)
        return None if found is None else syntax.mailbox(found)

    return ValueKind(
        read=read, schema={"type": "string", "examples": ["Jane Doe <jane@example.org>"]}
    )


def password() -> ValueKind:
    """A password in plain text, or its argon2id hash."""

    def read(reading: Reading, node: Node, path: Path) -> Secret | None:
        found = _text(reading, node, path, secret=True)
        fault = None if found is None else _password_fault(found)
        if fault:
            reading.refuse(node, path, *fault)
            return None
        return None if found is None else Secret(found)

    return ValueKind(read=read, schema={"type": "string", "minLength": 1})


def each(kind: ValueKind) -> ValueKind:
    """A list of values of one kind."""

    def read(reading: Reading, node: Node, path: Path) -> tuple[Any, ...] | None:
        if not isinstance(node, SequenceNode):
            example = printable(node.text) if isinstance(node, Scalar) else "…"
            _wrong_type(reading, node, path, "a list", f"write it as [{example}]")
            return None
        found: list[Any] = []
        for index, item in enumerate(node.items):
            place = (*path, len(found))
            value = _item(kind, reading, item, place)
            if value is None:
                # The next item gets this path.
                reading.move(place, (*path, "refused", index))
            else:
                found.append(value)
        return tuple(found)

    return ValueKind(read=read, schema={"type": "array", "items": dict(kind.schema)})


def anything() -> ValueKind:
    """A mapping with any values that JSON has, as plain Python values."""

    def read(reading: Reading, node: Node, path: Path) -> dict[str, Any] | None:
        if not isinstance(node, MappingNode):
            _wrong_type(reading, node, path, "a mapping", "write it as {lan-a: [lan-b]}")
            return None
        found: dict[str, Any] = _plain(reading, node, path)
        return found

    return ValueKind(read=read, schema={"type": "object"})


def _truth_hint(node: Node) -> str:
    if not isinstance(node, Scalar):
        return "write true or false"
    if meaning(node.text) is Meaning.BOOLEAN:
        return "remove the quotes"
    # The booleans of YAML 1.1.
    booleans = {
        "yes": "true",
        "on": "true",
        "y": "true",
        "no": "false",
        "off": "false",
        "n": "false",
    }
    return f"write {booleans.get(node.text.lower(), 'true or false')}"


def _item(kind: ValueKind, reading: Reading, node: Node, path: Path) -> Any:
    reading.positions[path] = node.position
    if is_null(node):
        reading.refuse(node, path, f"{label(path)} is empty", "fill it in, or remove it")
        return None
    return kind.read(reading, node, path)


def _text(reading: Reading, node: Node, path: Path, *, secret: bool = False) -> str | None:
    if isinstance(node, Scalar) and means(node) is Meaning.TEXT:
        return node.text
    hint = "put it in quotes" if isinstance(node, Scalar) else "write a single value"
    if secret:
        reading.refuse(node, path, f"{label(path)} must be text", hint)
    else:
        _wrong_type(reading, node, path, "text", hint)
    return None


def _wrong_type(reading: Reading, node: Node, path: Path, wanted: str, hint: str) -> None:
    reading.refuse(node, path, f"{label(path)} must be {wanted}, not {described(node)}", hint)


def _network(text: str) -> Network:
    if len(text) > 50 or not re.fullmatch(r"[0-9a-fA-F.:]+(/[0-9]{1,3})?", text):
        raise ValueError(f"{quoted(text)} is not a network in CIDR notation")
    return network(text)


def _password_fault(text: str) -> tuple[str, str] | None:
    if not text:
        return "password is empty", "fill it in, or remove the key"
    if text.startswith("htdigest:"):
        return "password is an htdigest hash, which cannot be used", "write the password itself"
    if text.startswith(HASH_MARK) and not re.fullmatch(_ARGON2ID, text):
        return (
            f"password begins with {HASH_MARK} and is not an argon2id hash",
            "copy the hash whole, or choose a password that begins otherwise",
        )
    return None


# The PHC string of argon2id as argon2's reference implementation writes it.
_ARGON2ID = r"\$argon2id\$v=19\$m=\d{1,10},t=\d{1,10},p=\d{1,8}\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+"


def _plain(reading: Reading, node: Node, path: Path) -> Any:
    reading.positions.setdefault(path, node.position)
    match node:
        case MappingNode():
            return _plain_mapping(reading, node, path)
        case SequenceNode():
            return [_plain(reading, item, (*path, i)) for i, item in enumerate(node.items)]
        case Scalar():
            return _plain_scalar(reading, node, path)


def _plain_mapping(reading: Reading, node: MappingNode, path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in node.pairs:
        if not isinstance(key, Scalar):
            reading.refuse(key, path, f"a key is {described(key)}", "write a name before the colon")
        elif key.text in found:
            reading.refuse(key, path, f"{quoted(key.text)} is here twice", "remove one of them")
        else:
            found[key.text] = _plain(reading, value, (*path, key.text))
    return found


def _plain_scalar(reading: Reading, node: Scalar, path: Path) -> Any:
    readers: dict[Meaning, Callable[[str], Any]] = {
        Meaning.NULL: lambda _: None,
        Meaning.BOOLEAN: boolean,
        Meaning.INTEGER: integer,
        Meaning.FLOAT: _float,
        Meaning.TEXT: str,
    }
    what = means(node)
    value = readers[what](node.text)
    if value is None and what is not Meaning.NULL:
        reading.refuse(node, path, f"{quoted(node.text)} is out of range", "write a smaller number")
    return value


def _float(text: str) -> float | None:
    # Infinity and not-a-number have no JSON, in which definitions are kept.
    if text.lower().endswith(("inf", "nan")):
        return None
    number = float(text)
    return number if math.isfinite(number) else None
