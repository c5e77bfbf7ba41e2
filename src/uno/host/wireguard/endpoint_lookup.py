"""Resolves endpoints of WireGuard peers to the form that wg(8) accepts."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait

from msgspec import Struct

PATIENCE = 2.0
"""Seconds to wait for a name service.

One that is out of reach takes the C library 5 s for each server and attempt (resolv.conf(5)).
"""

KEPT = 120.0
"""Seconds for which answers that came too late are still used: a silent peer is called again."""


def resolve(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return addresses and port of each `host:port`, resolved concurrently.

    Names that cannot be resolved are left out.
    """
    wanted = sorted(names)
    if not wanted:
        return {}
    with ThreadPoolExecutor(max_workers=min(16, len(wanted))) as pool:
        answers = zip(wanted, pool.map(lookup, wanted), strict=True)
    return {name: found for name, found in answers if found}


def lookup(endpoint: str) -> tuple[str, ...]:
    """Return all addresses of one `host:port`, each with the port, in the resolver's order.

    A name that cannot be resolved has none.
    """
    host, _, port = endpoint.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        return ()
    addresses = dict.fromkeys(str(each[4][0]) for each in found)
    return tuple(f"[{it}]:{port}" if ":" in it else f"{it}:{port}" for it in addresses)


class _Lookup(Struct, frozen=True):
    answers: Future[tuple[str, ...]]
    begun: float


class PatientResolver:
    """Resolves endpoints, and waits for none longer than `PATIENCE` after its lookup has begun.

    A lookup that takes longer goes on; its answers are returned when the endpoint is resolved
    again.
    """

    def __init__(self) -> None:
        """Start with no lookup under way."""
        self._under_way: dict[str, _Lookup] = {}

    def begin(self, names: Iterable[str]) -> None:
        """Begin to resolve each `host:port`, unless that is under way."""
        now = time.monotonic()
        for name in names:
            known = self._under_way.get(name)
            if known is None or (known.answers.done() and now - known.begun > KEPT):
                self._under_way[name] = _begun(name)

    def resolve(self, names: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Return addresses and port of each `host:port` that can be resolved in time."""
        wanted = sorted(names)
        self.begin(wanted)
        lookups = [self._under_way[name] for name in wanted]
        until = max((each.begun + PATIENCE for each in lookups), default=0.0)
        wait([each.answers for each in lookups], timeout=max(0.0, until - time.monotonic()))
        done = [name for name in wanted if self._under_way[name].answers.done()]
        found = {name: self._under_way.pop(name).answers.result() for name in done}
        return {name: answers for name, answers in found.items() if answers}


def _begun(name: str) -> _Lookup:
    """Begin a lookup in a thread that does not keep this process from its end."""
    answers: Future[tuple[str, ...]] = Future()
    thread = threading.Thread(
        target=lambda: answers.set_result(lookup(name)), name=f"resolve {name}", daemon=True
    )
    thread.start()
    return _Lookup(answers, begun=time.monotonic())
