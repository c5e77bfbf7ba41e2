"""What tests of buses with real sockets share: envelopes, waiting, and what a process has open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from uno.model.messages import Envelope, Kind
from uno.ports.bus import BusEvent


def envelope(
    *, subject: int, sequence: int = 1, kind: int = Kind.STATUS, body: bytes = b"{}"
) -> Envelope:
    """Return an envelope whose signature is of no account."""
    return Envelope(
        subject=subject, kind=kind, sequence=sequence, relayed_by=1, body=body, signature=bytes(64)
    )


def footprint(process: int | str = "self") -> tuple[int, int]:
    """Return how many threads and open files a process has."""
    task, fd = (Path(f"/proc/{process}/{each}").iterdir() for each in ("task", "fd"))
    return len(list(task)), len(list(fd))


def ignore(_event: BusEvent) -> None:
    """Take no notice of an event."""


async def until(condition: Callable[[], bool], *, seconds: float = 15) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.002)


def run(scene: Coroutine[Any, Any, Any]) -> Any:
    """Play a scene in an event loop of its own."""
    return asyncio.run(scene)
