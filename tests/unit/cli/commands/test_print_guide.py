"""`uno guide`: one cell's to the terminal or a file, all cells' to a directory."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from commands import Uno


@pytest.mark.feature("G48")
def test_a_guide_is_printed_as_markdown_and_written_as_html(site: Uno, tmp_path: Path) -> None:
    printed = site("guide", "a", "-g", "192.168.1.2")
    page = tmp_path / "a.html"
    written = site("guide", "a", "--html", "-o", str(page))

    assert printed.out.startswith("# Install cell a\n")
    assert "ip route add 192.168.2.0/24 via 192.168.1.2\n" in printed.out
    assert (written.out, written.status) == (f"Wrote {page}\n", 0)
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert stat.S_IMODE(page.stat().st_mode) == 0o644


@pytest.mark.feature("G48")
def test_the_guides_of_all_cells_are_written_in_both_forms(site: Uno, tmp_path: Path) -> None:
    done = site("guide", "--all", str(tmp_path / "guides"))

    assert done.out == f"2 guides written to {tmp_path / 'guides'}\n"
    assert sorted(path.name for path in (tmp_path / "guides").iterdir()) == [
        "net__a.html",
        "net__a.md",
        "net__b.html",
        "net__b.md",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "uno: which guide?; name one cell, or use --all DIR\n"),
        (("a", "--all", "x"), "uno: which guide?; name one cell, or use --all DIR\n"),
        (("--all", "x", "--html"), "uno: --all writes files of its own; leave -o"),
        (("a", "-g", "x"), "uno: -g: 'x' is not an IP address; such as 192.168.1.2\n"),
    ],
)
def test_what_makes_no_sense_is_refused(site: Uno, words: tuple[str, ...], message: str) -> None:
    done = site("guide", *words)

    assert done.status == 2
    assert done.err.startswith(message)
