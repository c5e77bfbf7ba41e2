"""A compromised cell: on the bus with its own keys, it writes given messages.

    hostile_cell.py DIRECTORY FORGERIES SECONDS

`FORGERIES` is a file with channels and envelopes. Prints `joined` when they are written.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from msgspec import Struct

from uno.agent.agent_environment import bus_config
from uno.agent.commit.ledger import Ledger
from uno.cli.middleware import make_bus
from uno.model import codec
from uno.model.messages import Envelope
from uno.model.package import Package
from uno.ports.bus import Channel, Topic


class Forgery(Struct, frozen=True):
    """An envelope and where it is put."""

    topic: Topic
    partition: str
    envelope: Envelope


async def _write(package: Package, forgeries: list[Forgery], seconds: float) -> None:
    bus = make_bus(package.plan.bus, environ={})
    bus.configure(bus_config(package), lambda _: None)
    for each in forgeries:
        bus.write(Channel(each.topic, each.partition), each.envelope)
    sys.stdout.write("joined\n")
    sys.stdout.flush()
    await asyncio.sleep(seconds)
    bus.close()


def _main(root: str, forgeries: str, seconds: str) -> None:
    package = Ledger(Path(root)).current()
    assert package is not None
    forged = codec.decode(Path(forgeries).read_bytes(), list[Forgery])
    asyncio.run(_write(package, forged, float(seconds)))


if __name__ == "__main__":
    _main(*sys.argv[1:])
