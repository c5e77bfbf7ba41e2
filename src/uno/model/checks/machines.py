"""A middleware that not every machine runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from uno.diagnostics import Severity
from uno.model.checks.finding import Finding, Findings
from uno.model.uvn import Middleware

if TYPE_CHECKING:
    from uno.model.uvn import Uvn

# As PyPI has them; TCP runs on all.
_MACHINES: Final = {
    Middleware.CYCLONE: "x86-64 with glibc",
    Middleware.CONNEXT: "x86-64 and ARM64 with glibc",
}


def check(uvn: Uvn) -> Findings:
    """Warn of a middleware that runs on some machines only."""
    chosen = uvn.settings.middleware
    if (machines := _MACHINES.get(chosen)) is None:
        return
    yield Finding(
        path=("settings", "middleware"),
        what=f"agents on {chosen} run on {machines}; a cell on another machine refuses its package",
        hint=f"choose {Middleware.TCP}, which runs on all, if there may be one",
        severity=Severity.WARNING,
    )
