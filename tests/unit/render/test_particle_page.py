"""The page of a particle's package: whole, offline, and safe with any name."""

from __future__ import annotations

import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from uno.render import particle_page
from uno.render.particle_page import Way

GOLDEN = Path(__file__).parents[2] / "golden" / "particle"


@pytest.mark.feature("F073")
def test_the_page_shows_every_cell_and_how_to_use_it() -> None:
    assert_golden("index.html", particle_page.render(uvn="my-uvn", particle="john", ways=WAYS))


@pytest.mark.feature("F073")
def test_the_page_without_cells_names_what_is_missing() -> None:
    assert_golden("nowhere.html", particle_page.render(uvn="my-uvn", particle="john", ways=()))


@pytest.mark.feature("F073")
def test_the_page_loads_nothing_and_links_only_to_its_own_files() -> None:
    page = Page(particle_page.render(uvn="my-uvn", particle="john", ways=WAYS))

    assert page.links == [
        f"{cell}{ending}" for cell in ("lan-a", "lan-b") for ending in (".conf", ".png", ".svg")
    ]
    assert page.tags.isdisjoint({"script", "link", "img", "iframe", "object", "form"})
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", page.text)


def test_names_are_text_and_nothing_else() -> None:
    evil = '<script>alert("x")</script>&amp;$style\'`'
    way = Way(cell=evil, endpoint=evil, owner=evil, file=f"a/../{evil}", svg="<svg></svg>")

    page = Page(particle_page.render(uvn=evil, particle=evil, ways=[way]))

    assert "script" not in page.tags
    assert page.open == []
    assert page.words.count(evil) >= 5
    assert "&" not in "".join(page.links)
    assert "<" not in "".join(page.links)


@pytest.mark.feature("F073")
def test_files_are_downloaded_and_used_under_their_own_names() -> None:
    way = Way(cell="field-station-north", endpoint="e:1", owner=None, file="field-stati_17", svg="")

    text = particle_page.render(uvn="u", particle="p", ways=[way])

    assert 'href="field-stati_17.conf" download="field-stati_17.conf"' in text
    assert "sudo wg-quick up field-stati_17\n" in text
    assert "connection import type wireguard file field-stati_17.conf\n" in text


# Helpers


class Page(HTMLParser):
    """What a browser would find: links, kinds of elements, words, elements left open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.open: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in {"href", "src"}]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def assert_golden(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


WAYS = [
    Way(
        cell="lan-a",
        endpoint="lan-a.example.com:63449",
        owner=None,
        file="lan-a",
        svg='<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"></svg>',
    ),
    Way(
        cell="lan-b",
        endpoint="[2001:db8::2]:63449",
        owner="jane@example.com",
        file="lan-b",
        svg='<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"></svg>',
    ),
]
