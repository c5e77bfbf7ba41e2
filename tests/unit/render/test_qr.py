"""QR codes: every form shows the same squares."""

from __future__ import annotations

import struct
import zlib

import pytest

from uno.diagnostics import UnoError
from uno.render.qr import CAPACITY, Code

TEXT = "[Interface]\nPrivateKey = example\n"


@pytest.mark.feature("F072")
def test_the_image_and_the_terminal_show_the_same_squares() -> None:
    code = Code(TEXT)

    assert squares_of_terminal(code.terminal()) == squares_of_png(code.png())


def test_the_drawing_is_escaped_scalable_and_on_white() -> None:
    svg = Code(TEXT).svg('<john> & "co"')

    assert svg.startswith("<svg ")
    assert 'viewBox="0 0 ' in svg
    assert "<title>&lt;john&gt; &amp; " in svg
    assert 'fill="#fff"' in svg
    assert " width=" not in svg


def test_the_same_text_makes_the_same_bytes() -> None:
    assert Code(TEXT).png() == Code(TEXT).png()
    assert Code(TEXT).svg("x") == Code(TEXT).svg("x")


def test_a_text_that_no_code_can_hold_is_refused() -> None:
    assert Code("x" * CAPACITY)
    with pytest.raises(UnoError, match="2954 bytes are too many for a QR code"):
        Code("x" * (CAPACITY + 1))


# Helpers


def squares_of_terminal(text: str) -> list[list[bool]]:
    """Return which squares are dark: what is not drawn in white."""
    rows: list[list[bool]] = []
    for line in text.splitlines():
        blocks = line.removeprefix("\x1b[97;40m").removesuffix("\x1b[0m")
        rows.append([block in " ▄" for block in blocks])
        rows.append([block in " ▀" for block in blocks])
    return trimmed(rows)


def squares_of_png(png: bytes) -> list[list[bool]]:
    """Return which squares are dark in a 1 bit image, 6 pixels a square."""
    width, height, depth, colour = struct.unpack(">IIBB", png[16:26])
    assert (depth, colour) == (1, 0)
    at, packed = 8, b""
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            packed += png[at + 8 : at + 8 + length]
        at += 12 + length
    lines = zlib.decompress(packed)
    stride = 1 + (width + 7) // 8
    rows = []
    for y in range(0, height, 6):
        line = lines[y * stride : (y + 1) * stride]
        assert line[0] == 0, "the line is filtered"
        rows.append([not line[1 + x // 8] >> (7 - x % 8) & 1 for x in range(0, width, 6)])
    return trimmed(rows)


def trimmed(rows: list[list[bool]]) -> list[list[bool]]:
    """Return the code without its quiet zone, which differs."""
    rows = [row for row in rows if any(row) and not all(row)]
    left = min(row.index(True) for row in rows)
    right = max(len(row) - row[::-1].index(True) for row in rows)
    return [row[left:right] for row in rows]
