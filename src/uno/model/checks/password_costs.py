"""Hashes of passwords that are cheap to guess from, or that no page checks passwords with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uno.diagnostics import Severity
from uno.model import password_hash
from uno.model.checks.finding import Finding, Findings
from uno.model.syntax import quoted

if TYPE_CHECKING:
    from uno.model.uvn import User, Uvn

_HINT = "write the password itself: uno hashes it with 64 MiB and 3 passes (RFC 9106)"


def check(uvn: Uvn) -> Findings:
    """Find hashes that are cheap to guess from, and those that no page checks passwords with."""
    for index, user in enumerate(uvn.users):
        if what := _fault(user):
            yield Finding(
                path=("users", index, "password"),
                what=what,
                hint=_HINT,
                severity=Severity.WARNING,
            )


def _fault(user: User) -> str:
    found = password_hash.parts(user.password or "")
    if found is None:
        return ""
    whose, cost = f"the password's hash of {quoted(user.email)}", _cost(found)
    if not found.is_checked:
        return f"{whose} is none that a page checks ({cost}), so that this user cannot log in there"
    if found.is_cheap:
        return f"{whose} is cheap to guess from ({cost})"
    return ""


def _cost(found: password_hash.PasswordHash) -> str:
    numbers = (
        (found.memory, "KiB"),
        (found.passes, "pass" if found.passes == 1 else "passes"),
        (found.lanes, "lane" if found.lanes == 1 else "lanes"),
        (len(found.salt), "bytes of salt"),
        (len(found.hash), "bytes of hash"),
    )
    return ", ".join(f"{number:,} {unit}" for number, unit in numbers)
