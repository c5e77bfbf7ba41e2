"""What `uno status` at a cell costs in a UVN of many cells, all of which advertise measurements.

    python benchmarks/views.py [--cells N] [--json FILE]

Signed statuses of all cells, as they advertise them while someone watches, go through a real state
database and the real socket of an agent; there is no network. Octets of all statuses, as they cross
each link once; processor time for the agent to accept one; octets on the socket, and how long the
agent's loop and the client take, for the first view, for one in which nothing has changed, and for
one in which one cell has. Exit status 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from reporting import below, finish, machine, say
from sites import exit_with

from uno.bus import stream_frames
from uno.model import codec
from uno.model.key_ids import cell_signing
from uno.model.messages import Envelope, Kind, UvnAnnouncement
from uno.model.plan import Member
from uno.model.status import CellStatus, LanState, LinkState, PathState, UvnView
from uno.registry.publish import keygen
from uno.statesync.envelope import signed
from uno.statesync.state_database import StateDatabase, advertised, view
from uno.statesync.view_updates import FollowedView, ViewUpdate, ViewUpdates

IDENTITY = "0123456789abcdef" * 2
LINKS = 4
ROUNDS = 20


def main() -> int:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cells", type=int, default=200)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    before = machine()
    found = measured(asked.cells)
    for what, value in found.items():
        say(f"{what}: {value:.4g}")
    goals = [
        below("all statuses, kB", found["all statuses, kB"], 300),
        below("first view on the socket, kB", found["first view on the socket, kB"], 350),
        below("agent's loop, first view, ms", found["agent's loop, first view, ms"], 50),
        below(
            "agent's loop, one cell changed, ms", found["agent's loop, one cell changed, ms"], 10
        ),
    ]
    return finish(before=before, found=found, goals=goals, file=asked.json, say=say)


def measured(cells: int) -> dict[str, float]:
    """Measure with so many cells."""
    keys = {cell: keygen.new_signing_key(cell_signing(cell)) for cell in range(1, cells + 1)}
    members = {cell: _member(cell, keys[cell].public or b"") for cell in keys}
    database = StateDatabase(identity=IDENTITY, registry_key="", members=members, own=1)
    statuses = {cell: _status(cell, cells, round_=0) for cell in keys}
    envelopes = [_envelope(cell, status, keys[cell].private) for cell, status in statuses.items()]
    octets = sum(len(stream_frames.sample(1, each)[0]) for each in envelopes)
    began = time.process_time()
    for each in envelopes:
        database.accept(each, now=1.0)
    accepting = time.process_time() - began

    def shown() -> UvnView:
        announced = UvnAnnouncement(generation=1, cells=dict.fromkeys(members, 1))
        return view(database, announced, uvn="many", viewer=1, registry=True, now=2.0)

    updates = ViewUpdates()
    first, first_line = timed(lambda: codec.encode(updates.next(shown(), database.lans)))
    same, same_line = median(lambda _: codec.encode(updates.next(shown(), database.lans)))

    def change(round_: int) -> bytes:
        status = _status(2, cells, round_=round_)
        changed = _envelope(2, status, keys[2].private, sequence=1 + round_)
        database.accept(changed, now=1.0 + round_)
        return codec.encode(updates.next(shown(), database.lans))

    changed, changed_line = median(change)
    followed = FollowedView()
    client, seen = timed(lambda: followed.apply(codec.decode(first_line, ViewUpdate)))
    assert seen.cells[-1].status is not None
    assert len(seen.cells[-1].status.reachable) == cells - 1
    return {
        "all statuses, kB": octets / 1e3,
        "accept a status, ms": 1e3 * accepting / cells,
        "first view on the socket, kB": len(first_line) / 1e3,
        "a view without a change, kB": len(same_line) / 1e3,
        "a view with one changed cell, kB": len(changed_line) / 1e3,
        "agent's loop, first view, ms": 1e3 * first,
        "agent's loop, no change, ms": 1e3 * same,
        "agent's loop, one cell changed, ms": 1e3 * changed,
        "client, first view, ms": 1e3 * client,
    }


def timed(work: Callable[[], bytes | UvnView]) -> tuple[float, bytes | UvnView]:
    """Return how many seconds of processor `work` took, and its result."""
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


def median(work: Callable[[int], bytes]) -> tuple[float, bytes]:
    """Return the median of the processor times of some rounds, and the last result."""
    found = [timed(lambda round_=each: work(round_)) for each in range(1, ROUNDS + 1)]
    return statistics.median(took for took, _ in found), found[-1][1]


def _member(cell: int, key: bytes) -> Member:
    return Member(
        id=cell,
        name=f"cell-{cell}",
        node4=IPv4Address("10.255.128.0") + cell,
        node6=IPv6Address("fd00::") + cell,
        lans=(IPv4Network(f"172.{16 + cell // 200}.{cell % 200}.0/24"),),
        sign_key=keygen.text(key),
    )


def _status(cell: int, cells: int, *, round_: int) -> CellStatus:
    others = [(cell + step) % cells + 1 for step in range(cells - 1)]
    links = tuple(
        LinkState(
            interface=f"uwg-b{slot}",
            cell=other,
            adjacent=True,
            handshake=17 + slot,
            bgp="Established",
            bfd="up",
            rtt=12.345 + round_,
            loss=0.0,
            mtu=1360,
            received=123_456_789 + round_,
            sent=987_654_321 + round_,
            endpoint="198.51.100.23:63450",
            prefixes=cells,
            flaps=0,
        )
        for slot, other in enumerate(others[:LINKS])
    )
    whole = CellStatus(
        generation=1,
        content="0123456789abcdef",
        lans=(LanState(network=IPv4Network("172.16.1.0/24"), interface="eth1", forwards=True),),
        links=links,
        paths=tuple(PathState(cell=other, rtt=23.456, loss=0.0) for other in others),
        registry=True,
        wireguard="kernel",
        version="1.0.0",
        clock=1_800_000_000 + round_,
        uptime=1_000 + round_,
        host_uptime=100_000 + round_,
    )
    return advertised(whole, watched=True)


def _envelope(cell: int, status: CellStatus, private: bytes, *, sequence: int = 1) -> Envelope:
    plain = Envelope(
        subject=cell,
        kind=Kind.STATUS,
        sequence=sequence,
        relayed_by=cell,
        body=codec.encode(status),
        signature=b"",
    )
    sign = Ed25519PrivateKey.from_private_bytes(private).sign
    return signed(plain, identity=IDENTITY, sign=sign)


if __name__ == "__main__":
    exit_with(main)
