"""Logins at the page: passwords, tickets of the registry, and what a password opens."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Callable
from typing import Final

from argon2.low_level import Type, hash_secret_raw
from msgspec import Struct

from uno.model.web_access import WebUser
from uno.render import web_seal
from uno.web.login_ticket import TicketError, verified
from uno.web.page_site import PageSite
from uno.web.server.login_throttle import LoginThrottle, keys_of
from uno.web.server.sessions import SessionTable, device_token, known_device

LONGEST_PASSWORD: Final = 1024
# Attempts that wait for their turn: one run of argon2id takes 64 MB and a good part of a second.
_QUEUE, _QUEUE_OF_KNOWN_DEVICES = 4, 8

# Who is no user costs as much as a user, so that an answer does not tell which one it is.
_NOBODY: Final = WebUser(
    email="", salt=bytes(16), passes=3, memory=65536, lanes=4, size=32, verifier=bytes(32)
)


class LoginRefused(Exception):
    """A password is wrong."""


class LoginLater(Exception):
    """No password is checked now, but `seconds` later; `busy` if others are being checked."""

    def __init__(self, seconds: float, *, busy: bool = False) -> None:
        """Have the reader wait for so many seconds."""
        super().__init__(f"wait {seconds:.0f} s")
        self.seconds, self.busy = seconds, busy


class OpenedLogin(Struct, frozen=True):
    """A login: the token of its session, that of its device, and the keys of particles by id."""

    email: str
    token: str
    device: str
    keys: dict[int, bytes]

    def __repr__(self) -> str:
        return f"OpenedLogin({self.email})"


class LoginDesk:
    """Checks passwords one at a time, and keeps the sessions. For one event loop."""

    def __init__(self, *, now: Callable[[], float], wall: Callable[[], float]) -> None:
        """`now` is a monotonic clock, `wall` returns the seconds since the epoch."""
        self.sessions = SessionTable()
        self._now, self._wall = now, wall
        self._throttle = LoginThrottle()
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._used_tickets: dict[str, float] = {}

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is lost if all is forgotten: sessions, wrong passwords, used tickets."""
        now, wall = self._now(), self._wall()
        return (
            self.sessions.is_empty(now=now)
            and self._throttle.is_empty(now=now)
            and all(until <= wall for until in self._used_tickets.values())
        )

    async def log_in(
        self, site: PageSite, email: str, password: str, *, source: str, device: str
    ) -> OpenedLogin:
        """Open a session. Raises `LoginRefused` and `LoginLater`."""
        email = email.strip().lower()
        keys = await self._checked(site, email, password, source=source, device=device)
        return self._opened(site, email, keys)

    async def keys(
        self, site: PageSite, email: str, password: str, *, source: str, device: str
    ) -> dict[int, bytes]:
        """Return what the password of a user opens. Raises as `log_in` does."""
        return await self._checked(site, email, password, source=source, device=device)

    def redeem(self, site: PageSite, ticket: str) -> OpenedLogin:
        """Open a session with a ticket of the registry, good once. Raises `TicketError`."""
        now = self._wall()
        found = verified(ticket, registry_key=site.registry_key, cell=site.cell, now=now)
        self._used_tickets = {it: until for it, until in self._used_tickets.items() if until > now}
        if found.nonce in self._used_tickets:
            raise TicketError("this ticket was used already")
        self._used_tickets[found.nonce] = found.expires
        return self._opened(site, found.email, {})

    def _opened(self, site: PageSite, email: str, keys: dict[int, bytes]) -> OpenedLogin:
        token = secrets.token_urlsafe(32)
        self.sessions.open(token, email, now=self._now())
        device = device_token(email, secrets.token_urlsafe(16), key=site.device_key)
        return OpenedLogin(email, token, device, keys)

    async def _checked(
        self, site: PageSite, email: str, password: str, *, source: str, device: str
    ) -> dict[int, bytes]:
        nonce = known_device(email, device, key=site.device_key)
        keys = keys_of(email, source, nonce)
        if (rest := self._throttle.wait(keys, now=self._now())) > 0:
            raise LoginLater(rest)
        if self._waiting >= (_QUEUE if nonce is None else _QUEUE_OF_KNOWN_DEVICES):
            raise LoginLater(2.0, busy=True)
        self._waiting += 1
        try:
            async with self._turn:
                # Others may have failed meanwhile.
                if (rest := self._throttle.wait(keys, now=self._now())) > 0:
                    raise LoginLater(rest)
                user = next((each for each in site.users if each.email == email), None)
                opened = await asyncio.to_thread(_open, site, user, password)
        finally:
            self._waiting -= 1
        if opened is None:
            self._throttle.failed(keys, now=self._now())
            raise LoginRefused
        self._throttle.passed(keys)
        return opened


def _open(site: PageSite, user: WebUser | None, password: str) -> dict[int, bytes] | None:
    """Return what a password opens, None if it is wrong. It takes the same time for no user."""
    of = user or _NOBODY
    given = hash_secret_raw(
        password.encode(errors="replace")[:LONGEST_PASSWORD],
        of.salt,
        of.passes,
        of.memory,
        of.lanes,
        of.size,
        Type.ID,
    )
    if not hmac.compare_digest(web_seal.verifier(given), of.verifier) or user is None:
        return None
    if not user.particles:
        return {}
    return web_seal.unseal(
        user.particles,
        password_hash=given,
        identity=site.identity,
        cell=site.cell,
        email=user.email,
    )
