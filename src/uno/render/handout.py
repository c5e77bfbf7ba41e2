"""Printable pages: a few kinds of blocks, rendered as Markdown or as one HTML file.

Text in blocks is marked up as in Markdown, with **strong** and `code` alone; `plain` makes any text
safe to put among them. The HTML loads nothing, and can be read on a phone and printed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from string import Template
from typing import TypeAlias, assert_never

from msgspec import Struct

_MARKED = re.compile(
    r"\\(?P<plain>.)|`(?P<code>[^`]+)`|\*\*(?P<strong>[^*]+)\*\*|(?P<rest>[^\\`*]+|.)", re.DOTALL
)
# What CommonMark (0.31, section 2.4) would take for more than a character, in the middle of a line.
_MARKDOWN_SPECIAL = re.compile(r"([\\`*_\[\]<>|~]|&(?=#?\w+;))")


class Text(Struct, frozen=True):
    """A paragraph."""

    words: str


class Items(Struct, frozen=True):
    """A list; with `numbered` its order matters."""

    items: Sequence[str]
    numbered: bool = False


class Rows(Struct, frozen=True):
    """A table."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


class Lines(Struct, frozen=True):
    """Commands or files, as they are to be typed; nothing in them is marked."""

    lines: Sequence[str]


class Section(Struct, frozen=True):
    """A heading with what belongs to it. One that is `folded` opens when its heading is chosen."""

    heading: str
    blocks: Sequence[Block]
    folded: bool = False


Block: TypeAlias = Text | Items | Rows | Lines | Section


class Handout(Struct, frozen=True, kw_only=True):
    """A page: its title, a line above and a paragraph below it, and its blocks."""

    above: str
    title: str
    lead: str
    blocks: Sequence[Block]


def plain(text: str) -> str:
    """Return `text` so that nothing in it is taken for a mark."""
    return re.sub(r"([\\`*])", r"\\\1", text)


def markdown(page: Handout) -> str:
    """Return the page as Markdown (CommonMark, with tables)."""
    parts = [
        f"# {_inline_markdown(page.title)}",
        _inline_markdown(page.lead),
        *_markdown_blocks(page.blocks, level=2),
    ]
    return "\n\n".join(parts) + "\n"


def html(page: Handout) -> str:
    """Return the page as one HTML file."""
    return _PAGE.substitute(
        above=_inline_html(page.above),
        title=_inline_html(page.title),
        name=escape(_bare(f"{page.title} · {page.above}")),
        lead=_inline_html(page.lead),
        style=_STYLE,
        main="\n".join(_html_blocks(page.blocks, level=2)),
    )


def _markdown_blocks(blocks: Iterable[Block], *, level: int) -> Iterator[str]:
    for block in blocks:
        match block:
            case Text(words):
                yield _inline_markdown(words)
            case Items(items, numbered):
                marks = (f"{n}." if numbered else "-" for n in range(1, len(items) + 1))
                each = zip(marks, items, strict=True)
                yield "\n".join(f"{mark} {_inline_markdown(item)}" for mark, item in each)
            case Rows(columns, rows):
                yield "\n".join(map(_markdown_row, (columns, ["---"] * len(columns), *rows)))
            case Lines(lines):
                yield "\n".join(("```sh", *lines, "```"))
            case Section(heading, inner):
                yield f"{'#' * level} {_inline_markdown(heading)}"
                yield from _markdown_blocks(inner, level=level + 1)
            case _:
                assert_never(block)


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_inline_markdown, cells))} |"


def _html_blocks(blocks: Iterable[Block], *, level: int) -> Iterator[str]:
    for block in blocks:
        match block:
            case Text(words):
                yield f"<p>{_inline_html(words)}</p>"
            case Items(items, numbered):
                kind = "ol" if numbered else "ul"
                inside = "\n".join(f"<li>{_inline_html(item)}</li>" for item in items)
                yield f"<{kind}>\n{inside}\n</{kind}>"
            case Rows(columns, rows):
                yield _html_table(columns, rows)
            case Lines(lines):
                yield f"<pre>{escape(chr(10).join(lines))}</pre>"
            case Section(heading, inner, folded):
                yield from _html_section(_inline_html(heading), inner, folded=folded, level=level)
            case _:
                assert_never(block)


def _html_section(
    heading: str, blocks: Sequence[Block], *, folded: bool, level: int
) -> Iterator[str]:
    if folded:
        yield f"<details>\n<summary>{heading}</summary>"
        yield from _html_blocks(blocks, level=level + 1)
        yield "</details>"
        return
    yield f"<h{level}>{heading}</h{level}>"
    yield from _html_blocks(blocks, level=level + 1)


def _html_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{_inline_html(column)}</th>' for column in columns)
    body = "\n".join(
        f"<tr>{''.join(f'<td>{_inline_html(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    return (
        f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def _inline_markdown(words: str) -> str:
    return "".join(_markdown_piece(piece) for piece in _MARKED.finditer(words))


def _markdown_piece(piece: re.Match[str]) -> str:
    if piece["code"]:
        return piece[0]
    if piece["strong"]:
        return f"**{_MARKDOWN_SPECIAL.sub(_BACKSLASHED, piece['strong'])}**"
    return _MARKDOWN_SPECIAL.sub(_BACKSLASHED, piece["plain"] or piece["rest"])


def _inline_html(words: str) -> str:
    return "".join(_html_piece(piece) for piece in _MARKED.finditer(words))


def _html_piece(piece: re.Match[str]) -> str:
    if piece["code"]:
        return f"<code>{escape(piece['code'])}</code>"
    if piece["strong"]:
        return f"<strong>{escape(piece['strong'])}</strong>"
    return escape(piece["plain"] or piece["rest"])


def _bare(words: str) -> str:
    pieces = _MARKED.finditer(words)
    return "".join(p["code"] or p["strong"] or p["plain"] or p["rest"] for p in pieces)


_BACKSLASHED = r"\\\1"

_PAGE = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<meta name="robots" content="noindex">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>$name</title>
<style>
$style
</style>
</head>
<body>
<header>
<p class="above">$above</p>
<h1>$title</h1>
<p>$lead</p>
</header>
<main>
$main
</main>
</body>
</html>
""")

_STYLE = """\
:root { color-scheme: light dark; --ground: #f4f5f7; --card: #fff; --text: #1b1f27;
  --quiet: #5a6372; --line: #dde1e7; --focus: #e6b83c; }
@media (prefers-color-scheme: dark) { :root { --ground: #12151b; --card: #1c212a; --text: #e7eaf0;
  --quiet: #9ba5b5; --line: #313947; --focus: #8f7426; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--text);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
header, main { max-width: 52rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2.25rem; }
main { padding-bottom: 3rem; }
h1, h2, h3 { line-height: 1.2; overflow-wrap: anywhere; }
h1 { font-size: 2.1rem; margin: 0; }
h2 { font-size: 1.3rem; margin: 2.5rem 0 .5rem; }
h3 { font-size: 1.08rem; margin: 1.5rem 0 .4rem; }
p { margin: .6rem 0; overflow-wrap: anywhere; }
header p { color: var(--quiet); margin: .35rem 0 0; }
header .above { font-weight: 600; letter-spacing: .02em; margin: 0; }
ol, ul { padding-left: 1.4rem; margin: .6rem 0; }
li { margin: .3rem 0; overflow-wrap: anywhere; }
code, pre { font: .92em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  padding: .7rem .9rem; overflow-x: auto; margin: .6rem 0; }
.wide { overflow-x: auto; background: var(--card); border: 1px solid var(--line);
  border-radius: .6rem; margin: .6rem 0; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .45rem .9rem;
  border-top: 1px solid var(--line); }
thead th { border-top: 0; color: var(--quiet); font-weight: 600; }
td code { white-space: nowrap; }
details { background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
  padding: .7rem 1rem; margin: .6rem 0; }
details pre, details .wide { background: var(--ground); }
summary { font-weight: 600; cursor: pointer; }
summary:focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; }
@media print { body { background: #fff; color: #000; font-size: 11pt; }
  header, main { max-width: none; padding: 0; } h2, h3 { break-after: avoid; }
  pre, .wide, details { break-inside: avoid; border-color: #999; } pre { white-space: pre-wrap; }
  details::details-content { display: block; content-visibility: visible; } }"""
