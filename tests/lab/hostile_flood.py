"""A compromised cell on the bus with its own keys, which sends more than anybody wants.

    hostile_flood.py DIRECTORY MODE SECONDS

Prints `joined` when it is on the bus. The modes are the functions of `MODES`.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from uno.agent.agent_environment import bus_config
from uno.agent.commit.ledger import Ledger
from uno.cli.middleware import make_bus
from uno.model.codec import encode
from uno.model.key_ids import cell_signing
from uno.model.messages import REGISTRY, Envelope, Kind
from uno.model.package import Package
from uno.model.status import CellStatus
from uno.ports.bus import RELAY, BusEvent, Channel, Received, Topic
from uno.statesync.envelope import signed, signer

# Envelopes between two pauses, and a pause in seconds.
_BURST, _PAUSE = 20, 0.01
STATUS = Channel(Topic.STATUS)
_received: list[Envelope] = []


def _own(package: Package, sequence: int, body: CellStatus) -> Envelope:
    cell = package.plan.cell
    plain = Envelope(
        subject=cell,
        kind=Kind.STATUS,
        sequence=sequence,
        relayed_by=cell,
        body=encode(body),
        signature=b"",
    )
    sign = signer(package.secrets[cell_signing(cell)])
    return signed(plain, identity=package.plan.identity, sign=sign)


def _junk(package: Package, subject: int, sequence: int, size: int = 200) -> Envelope:
    return Envelope(
        subject=subject,
        kind=Kind.STATUS,
        sequence=sequence,
        relayed_by=package.plan.cell,
        body=os.urandom(size),
        signature=os.urandom(64),
    )


def subjects(package: Package) -> Iterator[tuple[Channel, Envelope]]:
    """Yield a message about each of any number of cells that there are not."""
    for number in itertools.count(1000):
        yield STATUS, _junk(package, number, 1)


def forgeries(package: Package) -> Iterator[tuple[Channel, Envelope]]:
    """Yield messages about all cells, in the names of any nodes, that nobody has signed."""
    members = [each.id for each in package.roster.members]
    for number in itertools.count(1):
        made = _junk(package, members[number % len(members)], (1 << 30) + number)
        yield STATUS, made
        yield Channel(Topic.STATUS, RELAY), made


def statuses(package: Package) -> Iterator[tuple[Channel, Envelope]]:
    """Yield statuses of the cell itself, in order, each with another text."""
    last = max((each.sequence for each in _received), default=0)
    for number in itertools.count(last + 1000):
        body = CellStatus(generation=package.manifest.generation, problem=f"{number} " * 200)
        yield STATUS, _own(package, number, body)


def large(package: Package) -> Iterator[tuple[Channel, Envelope]]:
    """Yield signed statuses that are as large as a message can be."""
    last = max((each.sequence for each in _received), default=0)
    text = "A" * (7 << 20)
    for number in itertools.count(last + 1000):
        body = CellStatus(generation=package.manifest.generation, problem=text)
        yield STATUS, _own(package, number, body)


def heartbeats(package: Package) -> Iterator[tuple[Channel, Envelope]]:
    """Yield what a writer of the registry's channel can have without the registry's key."""
    for number in itertools.count(1):
        made = Envelope(
            subject=REGISTRY,
            kind=Kind.UVN,
            sequence=number if number % 2 else (1 << 40) + number,
            relayed_by=REGISTRY if number % 3 else package.plan.cell,
            body=b"junk",
            signature=b"x" * 64,
        )
        yield Channel(Topic.UVN), made


MODES: dict[str, Callable[[Package], Iterator[tuple[Channel, Envelope]]]] = {
    each.__name__: each for each in (subjects, forgeries, statuses, large, heartbeats)
}


async def _write(package: Package, mode: str, seconds: float) -> None:
    bus = make_bus(package.plan.bus, environ={})
    bus.subscribe(STATUS)
    bus.subscribe(Channel(Topic.STATUS, RELAY))
    bus.configure(bus_config(package), _take)
    await asyncio.sleep(3)
    sys.stdout.write("joined\n")
    sys.stdout.flush()
    end = asyncio.get_running_loop().time() + seconds
    for number, (channel, envelope) in enumerate(MODES[mode](package)):
        bus.write(channel, envelope)
        if number % _BURST == 0 or len(envelope.body) > 1 << 20:
            await asyncio.sleep(_PAUSE)
        if asyncio.get_running_loop().time() >= end:
            break
    bus.close()


def _take(event: BusEvent) -> None:
    if isinstance(event, Received):
        _received.append(event.envelope)


def _main(root: str, mode: str, seconds: str) -> None:
    package = Ledger(Path(root)).current()
    assert package is not None
    asyncio.run(_write(package, mode, float(seconds)))


if __name__ == "__main__":
    _main(*sys.argv[1:])
