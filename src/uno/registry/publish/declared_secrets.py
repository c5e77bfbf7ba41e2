"""Secrets in the packages of cells that follow from the definition. Pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING

from uno.model import codec
from uno.model.key_ids import NOTIFICATIONS
from uno.model.notification_targets import Notifying

if TYPE_CHECKING:
    from uno.model.uvn import Uvn

# By cell id, then by key id; the values are base64.
DeclaredSecrets = Mapping[int, Mapping[str, str]]


def declared_secrets(uvn: Uvn) -> DeclaredSecrets:
    """Return these secrets of every cell that has any: only senders have the targets."""
    notify = uvn.settings.notify
    if not notify.to and notify.heartbeat is None:
        return {}
    senders = _senders(uvn)
    notifying = Notifying(
        to=notify.to, heartbeat=notify.heartbeat, senders=senders, hold=notify.hold
    )
    text = base64.b64encode(codec.encode(notifying)).decode("ascii")
    return {cell: {NOTIFICATIONS: text} for cell in senders}


def _senders(uvn: Uvn) -> tuple[int, ...]:
    """Return the ids of the cells that may send: those declared, or the public ones, or all."""
    active = uvn.active_cells
    via = uvn.settings.notify.via
    if via:
        return tuple(cell.id for cell in active if cell.name in via)
    return tuple(cell.id for cell in active if cell.is_public) or tuple(c.id for c in active)
