"""The result of a check, and of all checks of one machine. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct


class CheckState(StrEnum):
    """What a check has found. A fault is one that only a person ends."""

    GOOD = "good"
    WARNING = "warning"
    FAULT = "fault"
    NOT_CHECKED = "not checked"


class CheckResult(Struct, frozen=True, kw_only=True):
    """One result of the check with the id `check`; a check with several faults has several results.

    `what` was found, or for `NOT_CHECKED` why nothing was. `where` is the interface, LAN, cell or
    path that it is about, empty for the whole host. `remedy` is what to do, empty where nothing is.
    """

    check: str
    state: CheckState
    what: str
    where: str = ""
    remedy: str = ""


class Diagnosis(Struct, frozen=True, kw_only=True):
    """All results about `subject`, a cell or the registry, of a UVN, in order of the checks.

    Both names are empty where the directory could not be read.
    """

    uvn: str
    subject: str
    results: tuple[CheckResult, ...]

    @property
    def state(self) -> CheckState:
        """The worst state of all."""
        return worst(each.state for each in self.results)

    @property
    def exit_status(self) -> int:
        """2 for a fault, 1 for a warning or something that was not checked, 0 otherwise."""
        return _EXIT_STATUS[self.state]


def worst(states: Iterable[CheckState]) -> CheckState:
    """Return the worst of these states; none are good."""
    return max(states, key=_ORDER.index, default=CheckState.GOOD)


_ORDER = (CheckState.GOOD, CheckState.NOT_CHECKED, CheckState.WARNING, CheckState.FAULT)
_EXIT_STATUS = {
    CheckState.GOOD: 0,
    CheckState.NOT_CHECKED: 1,
    CheckState.WARNING: 1,
    CheckState.FAULT: 2,
}
