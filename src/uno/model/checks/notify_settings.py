"""Who is notified: targets that can be sent to, and cells that can send."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uno.diagnostics import Severity
from uno.model.checks.finding import Finding, Findings, Path
from uno.model.notification_targets import target_fault, web_address_fault
from uno.model.syntax import Fault, quoted, suggestion

if TYPE_CHECKING:
    from uno.model.uvn import Uvn

HOLDS = range(3601)
_NOTIFY: Path = ("settings", "notify")
# Each notice goes to all of them, from a cell with a slow uplink.
_MOST_TARGETS = 20


def check(uvn: Uvn) -> Findings:
    """Find targets that nothing can be sent to, and senders that are no cells."""
    notify = uvn.settings.notify
    for index, url in enumerate(notify.to):
        if fault := target_fault(url):
            yield _finding((*_NOTIFY, "to", index), fault)
        elif url in notify.to[:index]:
            fault = Fault("the same target is there twice", "remove one of them")
            yield _finding((*_NOTIFY, "to", index), fault)
    if len(notify.to) > _MOST_TARGETS:
        fault = Fault(f"there are {len(notify.to)} targets", f"use {_MOST_TARGETS} at most")
        yield _finding((*_NOTIFY, "to"), fault)
    if notify.heartbeat is not None and (fault := web_address_fault(notify.heartbeat)):
        yield _finding((*_NOTIFY, "heartbeat"), fault)
    if notify.hold not in HOLDS:
        fault = Fault(f"hold {notify.hold} is out of range", f"use 0 to {HOLDS[-1]}")
        yield _finding((*_NOTIFY, "hold"), fault)
    yield from _check_senders(uvn)


def _check_senders(uvn: Uvn) -> Findings:
    notify = uvn.settings.notify
    names = {cell.name: cell for cell in uvn.cells}
    for index, name in enumerate(notify.via):
        place = (*_NOTIFY, "via", index)
        if name not in names:
            hint = suggestion(name, names) or "use the name of a cell"
            yield Finding(
                path=place,
                what=f"no cell is called {quoted(name)}",
                hint=hint,
                needs=(("cells",),),
            )
    if notify.via and all(name in names and names[name].excluded for name in notify.via):
        what = "every cell that sends notifications is banned, so that nobody is notified"
        yield Finding(
            path=(*_NOTIFY, "via"),
            what=what,
            hint="add a cell to via, or remove via",
            severity=Severity.WARNING,
        )
    if notify.via and not notify.to and notify.heartbeat is None:
        yield Finding(
            path=(*_NOTIFY, "via"),
            what="cells are to send notifications, but there is no target",
            hint="add a target to notify.to",
            severity=Severity.WARNING,
        )


def _finding(path: Path, fault: Fault) -> Finding:
    return Finding(path=path, what=fault.what, hint=fault.hint)
