"""What an agent hands to the process that sends messages, and what it gets back. Pure."""

from __future__ import annotations

from msgspec import Struct

from uno.notify.notice_formats import Mail, Post

TIMEOUT = 20.0
"""Seconds for each step of a delivery: to connect, to wait for an answer."""

LIFETIME = 5 * TIMEOUT
"""Seconds after which a process that has not ended is killed."""


class Errand(Struct, frozen=True, kw_only=True):
    """A message for the target `url`; without one, its address is fetched (a heartbeat)."""

    url: str
    message: Post | Mail | None = None


class Outcome(Struct, frozen=True, kw_only=True):
    """What became of an errand: `fault` is empty if the target has taken the message."""

    fault: str = ""
