"""The specification as JSON Schema, for editors that complete and check YAML."""

from __future__ import annotations

from typing import Any

from uno.spec.known_keys import SPEC


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a spec.

    It covers keys, types, ranges and patterns, but no check across values, such as overlapping
    LANs.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "uno specification",
        **SPEC.schema(),
    }
