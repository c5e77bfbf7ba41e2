"""The documents of the web page's API: what a program in any language can rely on."""

from __future__ import annotations

import re

import msgspec
import pytest

from uno.web import documents

DOCUMENTS = [
    kind
    for kind in vars(documents).values()
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind is not msgspec.Struct
]


def test_every_document_has_a_schema_of_plain_json_types() -> None:
    _, components = msgspec.json.schema_components(DOCUMENTS)

    assert {kind.__name__ for kind in DOCUMENTS} <= components.keys()


@pytest.mark.parametrize("kind", DOCUMENTS, ids=lambda kind: kind.__name__)
def test_a_key_can_be_added_later_but_not_to_what_a_reader_sends(kind: type) -> None:
    is_request = kind.__name__ in {"LoginRequest", "PasswordRequest"}

    assert kind.__struct_config__.forbid_unknown_fields == is_request  # type: ignore[attr-defined]


def test_no_document_has_a_field_for_a_secret() -> None:
    secret = re.compile(r"psk|private|hash|verifier|token|secret")
    named = {f"{kind.__name__}.{field}" for kind in DOCUMENTS for field in kind.__struct_fields__}

    assert [each for each in named if secret.search(each)] == []
