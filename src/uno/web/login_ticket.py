"""Tickets with which the registry opens a cell's page without a password. Pure.

A ticket is for one user and one cell, good once, and for 5 minutes: text that the registry has
signed with its key, which cells know from their package.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable

from msgspec import Struct

from uno.model import codec

LIFETIME = 300.0
"""Seconds."""

_CONTEXT = b"uno web login ticket\0"


class TicketError(ValueError):
    """A ticket that opens nothing: why."""


class LoginTicket(Struct, frozen=True, kw_only=True):
    """Who may log in, at which cell, until when in seconds since the epoch; `nonce` is random."""

    email: str
    cell: int
    expires: float
    nonce: str


def signed(ticket: LoginTicket, *, sign: Callable[[bytes], bytes]) -> str:
    """Return a ticket as text for a URL; `sign` makes the registry's Ed25519 signatures."""
    content = codec.encode(ticket)
    return f"{_text(content)}.{_text(sign(_CONTEXT + content))}"


def verified(text: str, *, registry_key: str, cell: int, now: float) -> LoginTicket:
    """Return the ticket in `text`. Raises `TicketError`. `registry_key` is in base64."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - not for `uno -h`
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
        Ed25519PublicKey,
    )

    content, _, signature = text.partition(".")
    try:
        raw = _bytes(content)
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(registry_key, validate=True))
        key.verify(_bytes(signature), _CONTEXT + raw)
        ticket = codec.decode(raw, LoginTicket)
    except (InvalidSignature, ValueError) as error:
        raise TicketError("this is no ticket of this UVN's registry") from error
    if ticket.cell != cell:
        raise TicketError("this ticket is for another cell")
    if not ticket.expires - LIFETIME - LIFETIME <= now <= ticket.expires:
        raise TicketError("this ticket is too old, or the clock of this cell is wrong")
    return ticket


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error
