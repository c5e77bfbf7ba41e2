"""What people are notified of: the causes that the page names, as a sender observes them."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from msgspec.structs import replace

from uno.notify.notifier import SenderView
from uno.notify.policy import Condition
from uno.web import causes
from uno.web.documents import Alert, AlertKind, AlertSeverity
from uno.web.picture import Picture

if TYPE_CHECKING:
    from uno.model.network_directory import Directory
    from uno.model.notification_targets import Notifying
    from uno.model.package import Package
    from uno.model.status import UvnView

# What is over when it is reported.
_EVENTS = frozenset({AlertKind.GENERATION_UNDONE})
# What the owner does, and knows; and links that work, though not well.
_NOT_LOST = frozenset({AlertKind.ROLLOUT, AlertKind.NOT_RELEASED, AlertKind.LINK_DEGRADED})


def observed(
    view: UvnView, directory: Directory | None, package: Package, settings: Notifying
) -> SenderView:
    """Return what a sender observes in the view of its cell."""
    picture = Picture(view=view, roster=package.roster, directory=directory, package=package)
    found = [each for each in causes.alerts(picture) if each.severity is not AlertSeverity.INFO]
    names = {cell.id: cell.name for cell in view.cells}
    own = package.plan.cell
    senders = [cell for cell in view.cells if cell.id in settings.senders]
    alive = {
        cell.id: frozenset(cell.status.notified if cell.status else ())
        for cell in senders
        if cell.alive
    }
    conditions = [each for each in found if each.kind not in _EVENTS | _NOT_LOST]
    muted = frozenset(cell.id for cell in view.cells if cell.muted_for > 0)
    return SenderView(
        uvn=view.uvn,
        cell=package.own.name,
        own=own,
        conditions={each.id: _condition(each, names) for each in conditions},
        muted=frozenset(each.id for each in conditions if _is_muted(each, muted)),
        events=tuple(_event(each, view) for each in found if each.kind in _EVENTS),
        alive={**alive, own: alive.get(own, frozenset())},
        changing=bool(view.rollout),
        page=_page(package),
    )


def _is_muted(alert: Alert, muted: AbstractSet[int]) -> bool:
    """Whether an alert is about a cell that is muted, its LANs or its links.

    A LAN that is not reached has its owner first, and then the cells that do not reach it.
    """
    if alert.kind is not AlertKind.LAN_UNREACHED:
        return not muted.isdisjoint(alert.cells)
    owner, *others = alert.cells
    return owner in muted or (bool(others) and muted >= set(others))


def _page(package: Package) -> str:
    port = package.plan.httpd_port
    return f"https://{package.own.node4}{'' if port == 443 else f':{port}'}/"


def _condition(alert: Alert, names: Mapping[int, str]) -> Condition:
    subjects = [names.get(each, str(each)) for each in alert.cells]
    subject = ", ".join(alert.lans) if alert.kind in _OF_LANS else " ↔ ".join(subjects)
    return Condition(
        id=alert.id,
        subject=subject or "the network",
        text=alert.what,
        remedy=alert.remedy,
    )


def _event(alert: Alert, view: UvnView) -> Condition:
    """Return an event of its own for each generation that was undone."""
    found = _condition(alert, {})
    return replace(found, id=f"{alert.id}:{view.undone}", subject=f"generation {view.undone}")


_OF_LANS = frozenset({AlertKind.LAN_DETACHED, AlertKind.LAN_UNREACHED})
