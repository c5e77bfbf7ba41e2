"""Text of other machines, as it is shown."""

from __future__ import annotations

import pytest

from uno.model.messages import Ack, Phase
from uno.model.untrusted_text import MAX_TEXT, MAX_TEXTS, made_safe, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("nft: syntax error", "nft: syntax error"),
        ("Zürich – größer als 日本", "Zürich – größer als 日本"),
        ("\x1b]0;title\x07\x1b[2J", "\\x1b]0;title\\x07\\x1b[2J"),
        ("one\r\ntwo\tthree", "one\\x0d\\x0atwo\\x09three"),
        ("all\u202ellew si", "all\\u202ellew si"),
        ("\u2066\u200b\ufeff\u2028\xa0\x7f\x9b", "\\u2066\\u200b\\ufeff\\u2028\\xa0\\x7f\\x9b"),
        ("\U000e0041", "\\U000e0041"),
        ("[bold red]<b>&", "[bold red]<b>&"),
    ],
)
def test_what_is_not_printable_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_a_long_text_is_cut() -> None:
    assert visible("A" * MAX_TEXT) == "A" * MAX_TEXT
    assert visible("A" * (MAX_TEXT + 1)) == "A" * (MAX_TEXT - 1) + "…"
    assert len(visible("\x1b" * MAX_TEXT)) == MAX_TEXT
    assert visible("abcd", limit=3) == "ab…"


def test_a_list_of_texts_is_cut() -> None:
    assert made_safe(("a",) * (MAX_TEXTS + 1)) == ("a",) * MAX_TEXTS


def test_what_is_safe_is_the_value_itself() -> None:
    ack = Ack(generation=1, phase=Phase.FAILED, running=1, reason="the disk is full")

    assert made_safe(ack) is ack
