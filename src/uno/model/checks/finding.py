"""What a check found, and where in the definition."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from msgspec import Struct

from uno.diagnostics import Severity

# Attribute names and indexes from the `Uvn` down: ("cells", 2, "allowed_lans", 0).
Path: TypeAlias = tuple[str | int, ...]
Findings: TypeAlias = Iterator["Finding"]


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that is wrong with a definition.

    `what` and `hint` are as in `diagnostics.Problem`; `path` is the value to change, `also` the
    other values that it collides with. `needs` are the parts of the definition that the finding
    takes to be complete: where one of them could not be read, the finding may be false.
    """

    path: Path
    what: str
    hint: str
    also: tuple[Path, ...] = ()
    needs: tuple[Path, ...] = ()
    severity: Severity = Severity.ERROR
