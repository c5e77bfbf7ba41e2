from __future__ import annotations

from ipaddress import IPv4Network
from typing import Annotated, Any

import pytest

from uno.model.key_ids import Secret
from uno.model.net import Network
from uno.model.syntax import Mailbox
from uno.model.uvn import Strategy
from uno.spec.kinds import within
from uno.spec.known_keys import kind_of, kinds_of
from uno.spec.written_values import Spec, UserSpec


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        (bool | None, {"type": "boolean"}),
        (int | None, {"type": "integer"}),
        (str | None, {"type": "string", "minLength": 1}),
        (Secret | None, {"type": "string", "minLength": 1}),
        (dict[str, Any] | None, {"type": "object"}),
        (Annotated[int | None, within(range(1, 10))], {"minimum": 1, "maximum": 9}),
    ],
)
def test_the_type_of_a_key_gives_its_kind(hint: Any, schema: dict[str, Any]) -> None:
    kind = kind_of(hint)

    assert kind is not None
    assert schema.items() <= kind.schema.items()


@pytest.mark.parametrize("hint", [Mailbox | None, IPv4Network | None])
def test_owners_and_networks_are_written_as_text(hint: Any) -> None:
    kind = kind_of(hint)

    assert kind is not None
    assert kind.schema["type"] == "string"


def test_an_enumeration_lists_its_values() -> None:
    kind = kind_of(Strategy | None)

    assert kind is not None
    assert kind.schema["enum"] == [str(each) for each in Strategy]


def test_a_list_of_networks_is_a_list_of_texts() -> None:
    kind = kind_of(tuple[Network, ...] | None)

    assert kind is not None
    assert (kind.schema["type"], kind.schema["items"]["type"]) == ("array", "string")


def test_keys_that_hold_sections_have_no_kind() -> None:
    assert list(kinds_of(Spec)) == ["name", "owner", "address"]


def test_keys_keep_their_order() -> None:
    assert list(kinds_of(UserSpec, but=("password",))) == ["email", "name", "excluded"]
