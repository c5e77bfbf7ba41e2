"""The numbers that `docs/reference/features.md` has of what tests cover."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs/reference/features.md"
_ROW = re.compile(
    r"^\| (?P<what>[^|]+) \| (?P<count>[\d,]+) \| `(?P<test>[^`]+)` \|$", re.MULTILINE
)


@cache
def counts(test: str) -> dict[str, int]:
    """Return what the page has of one file of tests: each thing that is counted, and its number."""
    rows = _ROW.finditer(PAGE.read_text())
    return {it["what"]: int(it["count"].replace(",", "")) for it in rows if it["test"] == test}
