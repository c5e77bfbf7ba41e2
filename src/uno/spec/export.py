"""Writes a definition as a spec: what differs from the defaults, in the order of the reference.

Ids are not part of a spec: reading the text again gives the cells and particles ids from 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import fields

from uno.model.net import Network
from uno.model.uvn import Cell, Particle, Settings, User, Uvn
from uno.spec.scalars import Meaning, meaning


def to_yaml(uvn: Uvn) -> str:
    """Return the spec of `uvn`. Passwords are written as their hashes."""
    document = {
        "name": uvn.name,
        "owner": uvn.owner,
        "address": uvn.address,
        "users": [_item(user, User(email="")) for user in uvn.users],
        "cells": [_item(cell, Cell(id=0, name="", owner=uvn.owner)) for cell in uvn.cells],
        "particles": [
            _item(particle, Particle(id=0, name="", owner=uvn.owner)) for particle in uvn.particles
        ],
        "settings": _differences(uvn.settings, Settings()),
    }
    return "".join(f"{line}\n" for line in _mapping_lines(_without_empty(document)))


def _item(item: User | Cell | Particle, default: User | Cell | Particle) -> dict[str, Any]:
    """Return what differs from `default`, without the id; `excluded` is under `config`."""
    found = _differences(item, default)
    excluded = found.pop("excluded", False)
    found.pop("id", None)
    return _without_empty({**found, "config": {"excluded": True} if excluded else {}})


def _without_empty(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if value not in (None, [], {})}


def _differences(settings: Struct, defaults: Struct) -> dict[str, Any]:
    found = {}
    for field in fields(settings):
        value, default = getattr(settings, field.name), getattr(defaults, field.name)
        if value == default:
            continue
        found[field.name] = (
            _differences(value, default) if isinstance(value, Struct) else _builtin(value)
        )
    return found


def _builtin(value: object) -> Any:
    if isinstance(value, tuple):
        return [_builtin(item) for item in value]
    return str(value) if isinstance(value, Network | str) else value


def _mapping_lines(mapping: Mapping[str, Any]) -> Iterable[str]:
    for key, value in mapping.items():
        if isinstance(value, dict) and value:
            yield f"{_scalar(key)}:"
            yield from (f"  {line}" for line in _mapping_lines(value))
        elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            yield f"{_scalar(key)}:"
            for item in value:
                yield from _item_lines(item)
        else:
            yield f"{_scalar(key)}: {_flow(value)}"


def _item_lines(item: Mapping[str, Any]) -> Iterable[str]:
    lines = list(_mapping_lines(item)) or ["{}"]
    yield f"  - {lines[0]}"
    yield from (f"    {line}" for line in lines[1:])


def _flow(value: object) -> str:
    if isinstance(value, Mapping):
        pairs = (f"{_scalar(key)}: {_flow(item)}" for key, item in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_flow, value))}]"
    return _scalar(value)


def _scalar(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return value if _is_plain(value) else _in_quotes(value)
        case _:
            return str(value)


def _is_plain(text: str) -> bool:
    # Fewer forms than YAML allows without quotes, and none that any of its versions misreads.
    return (
        bool(re.fullmatch(_PLAIN, text))
        and meaning(text) is Meaning.TEXT
        and text.lower() not in {"yes", "no", "on", "off", "y", "n"}
    )


def _in_quotes(text: str) -> str:
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    return f"\\U{ord(character):08x}"


# A letter (or, for networks and addresses, a digit) and then nothing that YAML gives a meaning to.
_PLAIN = r"[A-Za-z][A-Za-z0-9_.@/+-]*|[0-9a-f]+[.:][0-9a-f.:]*[0-9a-f:]/[0-9]+"
