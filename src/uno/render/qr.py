"""Texts as QR codes (ISO/IEC 18004): for a screen, for a page, for a terminal."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from uno.diagnostics import ActionNeeded

if TYPE_CHECKING:
    from segno import QRCode

# White on black by name, so that the code is not inverted on a light terminal: apps that scan
# take the dark squares for the code.
_COLOURS, _RESET = "\x1b[97;40m", "\x1b[0m"


# Version 40-L, ISO/IEC 18004 table 7.
CAPACITY = 2953


def fits(text: str) -> bool:
    """Whether a QR code can hold `text`."""
    return len(text.encode()) <= CAPACITY


class Code:
    """The QR code of one text, made once for all its forms."""

    def __init__(self, text: str) -> None:
        """Encode `text`. Raises UnoError if it does not fit."""
        if not fits(text):
            raise ActionNeeded(
                f"{len(text.encode())} bytes are too many for a QR code, which holds {CAPACITY}",
                "use the configuration file instead",
            )
        self._code = _encode(text)

    def png(self) -> bytes:
        """Return an image of 6 pixels a square, in black and white."""
        out = io.BytesIO()
        self._code.save(out, kind="png", scale=6, compresslevel=6)
        return out.getvalue()

    def svg(self, title: str) -> str:
        """Return an SVG element on a white ground, without a size, for a page or a file alone.

        `title` is the text for a screen reader; it is escaped here.
        """
        out = io.BytesIO()
        self._code.save(
            out, kind="svg", light="#fff", title=title, omitsize=True, xmldecl=False, nl=False
        )
        return out.getvalue().decode()

    def terminal(self) -> str:
        """Return lines of half blocks, in colours that are right on any terminal."""
        out = io.StringIO()
        self._code.terminal(out=out, compact=True, border=2)
        return "".join(f"{_COLOURS}{line}{_RESET}\n" for line in out.getvalue().splitlines())


def _encode(text: str) -> QRCode:
    import segno  # noqa: PLC0415 - needed only to write packages

    # Trying all masks takes four times as long (14 ms against 3 ms), and keys look random under
    # any of them. The lowest error correction makes the largest squares on a given screen.
    return segno.make(text, micro=False, error="l", mask=0)
