from __future__ import annotations

import pytest

from uno.diagnostics import Position, Rejected
from uno.spec import tree
from uno.spec.tree import MappingNode, Scalar, SequenceNode, compose


def refused(text: str) -> str:
    with pytest.raises(Rejected) as caught:
        compose(text, file="f")
    return str(caught.value)


def test_every_node_knows_its_place() -> None:
    root = compose("a: 1\nb:\n  - x\n  - {c: 'y'}\n", file="f")

    assert isinstance(root, MappingNode)
    (_, one), (b, items) = root.pairs
    assert isinstance(items, SequenceNode)
    inner = items.items[1]
    assert isinstance(inner, MappingNode)
    places = [node.position for node in (root, one, b, items, items.items[0], inner.pairs[0][1])]
    assert [(each.line, each.column) for each in places] == [
        *((1, 1), (1, 4), (2, 1), (3, 3), (3, 5), (4, 9))
    ]


def test_columns_count_characters_and_not_bytes() -> None:
    root = compose('"äöü": x', file="f")

    assert isinstance(root, MappingNode)
    assert root.pairs[0][1].position == Position(file="f", line=1, column=8)


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n...\n", "\ufeff"])
def test_nothing_is_nothing(text: str) -> None:
    root = compose(text, file="f")

    assert root is None or (isinstance(root, Scalar) and root.text == "")


@pytest.mark.parametrize(("text", "is_plain"), [("1", True), ("'1'", False), ("!!str 1", False)])
def test_quotes_and_the_tag_str_make_text(text: str, *, is_plain: bool) -> None:
    root = compose(text, file="f")

    assert isinstance(root, Scalar)
    assert (root.text, root.is_plain) == ("1", is_plain)


def test_an_alias_is_what_it_stands_for_at_its_own_place() -> None:
    root = compose("a: &x [1]\nb: *x\n", file="f")

    assert isinstance(root, MappingNode)
    anchored, alias = root.pairs[0][1], root.pairs[1][1]
    assert isinstance(anchored, SequenceNode)
    assert isinstance(alias, SequenceNode)
    assert alias.items == anchored.items
    assert (alias.position.line, alias.position.column) == (2, 4)


@pytest.mark.parametrize(
    "text", ["[" * 40, "{a: " * 40, "- " * 40, "[" * 100_000, "a: " + "[" * 40]
)
def test_depth_is_bounded(text: str) -> None:
    assert "nested more than 32 deep" in refused(text)


def test_depth_is_bounded_with_aliases_followed() -> None:
    nested = "[" * 20 + "1" + "]" * 20

    assert "nested more than 32 deep" in refused(f"a: &a {nested}\nb: {'[' * 20}*a{']' * 20}")


def test_size_is_bounded_with_aliases_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "MAX_NODES", 50)
    lines = ["a: &a [1, 1, 1, 1, 1, 1]", "b: &b [*a, *a, *a]", "c: [*b, *b, *b]"]

    compose("\n".join(lines[:2]), file="f")

    assert refused("\n".join(lines)).startswith("f:3:")


def test_length_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "MAX_CHARACTERS", 10)

    assert refused("x" * 11) == "f:1:1: the text has 11 characters; use 10 at most"


def test_a_character_that_yaml_has_not_is_placed() -> None:
    assert refused("a: b\nc: \x00") == (
        "f:2:4: the character U+0000 is not allowed in YAML; remove it, or is this not a text file?"
    )
    assert "U+D800" in refused("a: \ud800")


@pytest.mark.parametrize(
    "text",
    ['"\\UFFFFFFFF"', f"%YAML {'9' * 5000}.1\n---\na", "!<%FF> x", "*", "a: |99\n x", "%TAG ! !\n"],
)
def test_what_the_scanner_stumbles_over_is_refused(text: str) -> None:
    assert "this is not YAML" in refused(text)


@pytest.mark.parametrize("tag", ["!x", "!!python/object:os.system", "!!set", "!!binary", "!<y>"])
def test_tags_have_no_meaning(tag: str) -> None:
    for value in ("x", "[x]", "{x: y}"):
        assert "has no meaning here" in refused(f"a: {tag} {value}")
