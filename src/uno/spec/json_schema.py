"""The specification as JSON Schema, for editors that complete and check YAML while one types."""

from __future__ import annotations

from typing import Any

from uno.spec.known_keys import SPEC


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a spec.

    It knows keys, types, ranges and patterns. What takes the whole definition to judge, such as
    LANs that overlap, it does not.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "uno specification",
        **SPEC.schema(),
    }
