"""Send altered datagrams of the bus to the bus ports of others, from the host of a cell.

    altered_datagrams.py DIRECTORY COUNT SEED ADDRESS:PORT...

`DIRECTORY` is that of the cell, whose agent does not run. The program joins the bus as that cell,
captures the datagrams that it receives and sends, and leaves. Then it sends altered ones, from the
address of the cell. It prints how many different ones it has captured and how many it has sent, as
JSON.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
import sys
from pathlib import Path
from threading import Event

from uno.agent.agent_environment import bus_config
from uno.agent.commit.ledger import Ledger
from uno.bus.cyclone import CycloneSession
from uno.bus.dds import DdsBus
from uno.bus.in_process import InProcess
from uno.model.messages import Envelope, Kind
from uno.model.package import Package
from uno.ports.bus import OWN, RELAY, Channel, Topic

# Seconds on the bus: discovery, data and acknowledgements in both directions.
_CAPTURE = 6.0
# Datagrams between two pauses, and a pause in seconds: 20,000 a second at most.
_BURST, _PAUSE = 100, 0.005
_LARGEST = 1400
_ALL_PROTOCOLS = 3
_ODD = (0, 1, 2, 3, 4, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF)
_ODD_LONG = (*_ODD, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
# The header of RTPS is left as it is: without it a datagram is dropped at once.
_HEADER = 20


def main(directory: str, count: str, seed: str, *targets: str) -> None:
    """Capture, alter and send."""
    package = Ledger(Path(directory)).current()
    assert package is not None, "the cell has a package"
    config = bus_config(package)
    captured = asyncio.run(capture(package))
    chance = random.Random(int(seed))  # noqa: S311 - repeatable, and protects nothing
    sent, pause = 0, Event()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind((str(config.address), 0))
        for number in range(int(count)):
            address, _, port = chance.choice(targets).rpartition(":")
            try:
                one.sendto(altered(captured, chance), (address, int(port)))
                sent += 1
            except OSError:
                pause.wait(_PAUSE)
            if number % _BURST == _BURST - 1:
                pause.wait(_PAUSE)
    print(json.dumps({"captured": len(captured), "sent": sent}), flush=True)


async def capture(package: Package) -> list[bytes]:
    """Return the different datagrams of RTPS that pass while the cell is on the bus."""
    found: dict[tuple[int, bytes], bytes] = {}

    def take(sniffer: socket.socket) -> None:
        frame = sniffer.recv(1 << 16)
        at = frame.find(b"RTPS")
        if at >= 0:
            datagram = frame[at:]
            # By length and first submessage: what differs in numbers alone is the same.
            found.setdefault((len(datagram), datagram[_HEADER : _HEADER + 4]), datagram)

    bus = DdsBus(InProcess(CycloneSession))
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL_PROTOCOLS)) as one:
        one.settimeout(0)
        loop = asyncio.get_running_loop()
        loop.add_reader(one, take, one)
        for topic in Topic:
            for partition in (OWN, RELAY):
                bus.subscribe(Channel(topic, partition))
        bus.configure(bus_config(package), lambda _: None)
        for size in (10, 3000):
            envelope = Envelope(
                subject=package.plan.cell,
                kind=Kind.STATUS,
                sequence=1,
                relayed_by=package.plan.cell,
                body=bytes(size),
                signature=bytes(64),
            )
            bus.write(Channel(Topic.STATUS), envelope)
            await asyncio.sleep(_CAPTURE / 2)
        loop.remove_reader(one)
    bus.close()
    return list(found.values())


def altered(datagrams: list[bytes], chance: random.Random) -> bytes:
    """Return one of `datagrams` with some bytes changed, or parts of two."""
    made = bytearray(chance.choice(datagrams))
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        at = chance.randrange(_HEADER, max(_HEADER + 1, len(made)))
        match chance.randrange(6):
            case 0 if at < len(made):
                made[at] = chance.randrange(256)
            case 1 if at + 4 <= len(made):
                struct.pack_into("<I", made, at & ~3, chance.choice(_ODD_LONG))
            case 2 if at + 2 <= len(made):
                struct.pack_into("<H", made, at & ~1, chance.choice(_ODD))
            case 3:
                del made[at : at + chance.randrange(1, 40)]
            case 4:
                made[at:at] = chance.randbytes(chance.randrange(1, 40))
            case _:
                other = chance.choice(datagrams)
                made = made[:at] + other[chance.randrange(_HEADER, max(_HEADER + 1, len(other))) :]
    return bytes(made[:_LARGEST])


if __name__ == "__main__" and len(sys.argv) > 4:
    main(*sys.argv[1:])
