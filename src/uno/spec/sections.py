"""Mappings of a spec: which keys each may have, and how each is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from uno.diagnostics import Problem, Severity
from uno.model.checks import Path
from uno.model.syntax import quoted, suggestion
from uno.spec.reading import Reading, ValueKind, described, is_null, label
from uno.spec.scalars import Meaning, means
from uno.spec.tree import MappingNode, Node, Scalar
from uno.spec.written_values import overlaid

RETIRED = {"enable_dds_security": "remove the line: uno signs and seals all messages itself"}
"""Keys of earlier versions, and what to do about them."""


class SpecSection(Struct, frozen=True, kw_only=True):
    """A mapping with known keys that becomes a value of `type`.

    `groups` are the keys that hold sections of their own. A key in the group `config` replaces the
    key of that name in the section itself.
    """

    type: type[Struct]
    keys: Mapping[str, ValueKind]
    required: tuple[str, ...] = ()
    groups: Mapping[str, SpecSection] = field(default_factory=dict)

    def kind(self) -> ValueKind:
        """Return this section as a kind of value."""
        return ValueKind(read=self.read, schema=self.schema())

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of this section. Null means unset, so every key takes it."""
        kinds = {key: dict(kind.schema) for key, kind in self.keys.items()}
        groups = {key: section.schema() for key, section in self.groups.items()}
        return {
            "type": "object",
            "properties": {key: _or_null(schema) for key, schema in {**kinds, **groups}.items()},
            "additionalProperties": False,
            **({"required": list(self.required)} if self.required else {}),
        }

    def read(self, reading: Reading, node: Node, path: Path) -> Struct:
        """Return the value of `node`; one without any key if it is no mapping."""
        if not isinstance(node, MappingNode):
            what = f"{label(path)} must be a mapping, not {described(node)}"
            reading.refuse(node, path, what, "write it as key: value")
            return self.type()
        entries = self._entries(reading, node, path)
        config = entries.pop("config", None)
        values = {key: self._read_key(reading, key, entries[key], path) for key in entries}
        self._demand(reading, node, path, entries)
        found = self.type(**values)
        if config is None:
            return found
        return overlaid(found, self._read_config(reading, config, path))

    def _read_key(self, reading: Reading, key: str, node: Node, path: Path) -> Any:
        read = self.groups[key].read if key in self.groups else self.keys[key].read
        return read(reading, node, (*path, key))

    def _read_config(self, reading: Reading, node: Node, path: Path) -> Struct:
        if isinstance(node, MappingNode):
            # With the paths of the section itself, whose keys it sets.
            return self.groups["config"].read(reading, node, path)
        return self.groups["config"].read(reading, node, (*path, "config"))

    def _entries(self, reading: Reading, node: MappingNode, path: Path) -> dict[str, Node]:
        """Return the values of the known keys; of a key that occurs twice, the first."""
        first: dict[str, Scalar] = {}
        found: dict[str, Node] = {}
        for key, value in node.pairs:
            name = self._known(reading, key, path)
            if name is None or not isinstance(key, Scalar):
                continue
            if name in first:
                reading.report(_twice(key, first[name]))
                continue
            first[name] = key
            is_block = not isinstance(value, Scalar) and value.is_block
            place = key.position if is_block else value.position
            if is_null(value):
                reading.positions.setdefault((*path, name), place)
                if name in self.keys and self.keys[name].schema.get("type") == "array":
                    reading.report(_empty_list(key))
            else:
                reading.positions[(*path, name)] = place
                found[name] = value
        return found

    def _known(self, reading: Reading, key: Node, path: Path) -> str | None:
        if not isinstance(key, Scalar) or means(key) is Meaning.NULL:
            hint = "write a name before the colon"
            reading.refuse(key, (*path, ""), f"a key is {described(key)}", hint)
            return None
        if key.text in self.keys or key.text in self.groups:
            return key.text
        if (instead := RETIRED.get(key.text)) is not None:
            what = f"{quoted(key.text)} is not supported any more"
            reading.refuse(key, (*path, key.text), what, instead)
            return None
        what = f"unknown key {quoted(key.text)}"
        reading.refuse(key, (*path, key.text), what, self._hint(key.text))
        return None

    def _hint(self, key: str) -> str:
        if key == "<<":
            return "merge keys are not YAML 1.2; write the keys out"
        for group, section in self.groups.items():
            if key in section.keys or key in section.groups:
                return f"it belongs under {group}"
        here = [*self.keys, *self.groups]
        below = [f"{group}.{each}" for group in self.groups for each in self.groups[group].keys]
        return (
            suggestion(key, here)
            or suggestion(key, below)
            or f"the keys here are {', '.join(here)}"
        )

    def _demand(self, reading: Reading, node: Node, path: Path, values: Mapping[str, Node]) -> None:
        for key in self.required:
            if key not in values:
                thing = str(path[-2]).removesuffix("s")
                reading.refuse(node, (*path, key), f"this {thing} has no {key}", f"add {key}: …")


def _twice(key: Scalar, first: Scalar) -> Problem:
    return Problem(
        what=f"the key {quoted(key.text)} is here twice",
        hint="remove one of them",
        where=key.position,
        also=(first.position,),
    )


def _empty_list(key: Scalar) -> Problem:
    """Return the warning about a list without items: perhaps they are in the wrong place."""
    return Problem(
        what=f"{key.text} has nothing after it and is taken as an empty list",
        hint="write [], or remove the key",
        where=key.position,
        severity=Severity.WARNING,
    )


def _or_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    if "enum" in schema:
        return {**schema, "enum": [*schema["enum"], None]}
    kind = schema["type"]
    kinds = kind if isinstance(kind, list) else [kind]
    return {**schema, "type": [*kinds, *([] if "null" in kinds else ["null"])]}
