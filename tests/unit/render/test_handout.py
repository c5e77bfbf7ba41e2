"""Blocks as Markdown and as HTML: the same words, and only those marks that were meant."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uno.render.handout import Handout, Items, Lines, Rows, Section, Text, html, markdown, plain

VOID = {"meta"}


def test_each_kind_of_block_as_markdown() -> None:
    blocks = (
        Text("a **b** `c` & d"),
        Items(("one", "two"), numbered=True),
        Items(("three",)),
        Rows(("H",), [("`x`",)]),
        Section("More", (Lines(["ls <here>"]),), folded=True),
    )

    assert markdown(page(*blocks)) == (
        "# T\n\nL\n\na **b** `c` & d\n\n1. one\n2. two\n\n- three\n\n| H |\n| --- |\n| `x` |\n\n"
        "## More\n\n```sh\nls <here>\n```\n"
    )


def test_each_kind_of_block_as_html() -> None:
    blocks = (
        Text("a **b** `c` & d"),
        Items(("one",), numbered=True),
        Section("More", (Lines(["ls <here>"]),), folded=True),
    )

    inside = html(page(*blocks)).partition("<main>\n")[2].partition("\n</main>")[0]

    assert inside == (
        "<p>a <strong>b</strong> <code>c</code> &amp; d</p>\n"
        "<ol>\n<li>one</li>\n</ol>\n"
        "<details>\n<summary>More</summary>\n<pre>ls &lt;here&gt;</pre>\n</details>"
    )


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=40))
def test_plain_text_is_shown_as_it_is(words: str) -> None:
    shown = Page(html(page(Text(f"<{plain(words)}>"))))

    assert f"<{words}>" in shown.words
    assert shown.open == []


@pytest.mark.parametrize(
    ("words", "written"),
    [("a*b", r"a\*b"), ("`x`", r"\`x\`"), ("&amp;", r"\&amp;"), ("a_b|c", r"a\_b\|c")],
)
def test_markdown_takes_nothing_in_plain_text_for_a_mark(words: str, written: str) -> None:
    assert written in markdown(page(Text(plain(words))))


# Helpers


class Page(HTMLParser):
    """The words that a browser shows, and the elements that are left open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words = ""
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, _attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def page(*blocks: Text | Items | Rows | Lines | Section) -> Handout:
    return Handout(above="A", title="T", lead="L", blocks=blocks)
