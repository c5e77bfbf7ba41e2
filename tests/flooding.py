"""Cells that pass on what they hear of each other: real floods, a clock and a bus in memory."""

from __future__ import annotations

import tempfile
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from bundles import HOME, bundle
from uno.agent.state_sync.sequence_file import Sequence
from uno.model.codec import encode
from uno.model.key_ids import cell_signing
from uno.model.messages import REGISTRY, Activation, Envelope, Kind, UvnAnnouncement
from uno.model.package import Package
from uno.model.plan import Member
from uno.model.status import CellStatus
from uno.ports.bus import OWN, BusConfig, BusEvent, Channel, Presence, Received, Topic
from uno.statesync.envelope import signed, signer
from uno.statesync.flooding import Flood


@dataclass
class Board:
    """A cell's end of the bus: the newest of all that it has written, and all in its order."""

    newest: dict[tuple[Channel, int], Envelope] = field(default_factory=dict)
    written: list[tuple[Channel, Envelope]] = field(default_factory=list)

    def configure(self, config: BusConfig, deliver: Callable[[BusEvent], None]) -> None: ...

    def renew(self) -> None: ...

    def subscribe(self, channel: Channel) -> None: ...

    def write(self, channel: Channel, envelope: Envelope) -> None:
        self.newest[channel, envelope.about] = envelope
        self.written.append((channel, envelope))

    def withdraw(self, channel: Channel, about: int) -> None:
        self.newest.pop((channel, about), None)

    def close(self) -> None: ...

    def news(self) -> list[tuple[str, str, int]]:
        """Return topic, partition and cell of what was written since this was last asked."""
        found = [(it.topic.name, it.partition, about.about) for it, about in self.written]
        self.written.clear()
        return found


@dataclass
class Crowd:
    """So many cells, which share a clock; who hears whom is for the test to say."""

    count: int
    now: float = 0.0
    boards: dict[int, Board] = field(default_factory=dict)
    floods: dict[int, Flood] = field(default_factory=dict)
    sequence: int = 0

    def __post_init__(self) -> None:
        packages = _packages(self.count)
        for cell, package in packages.items():
            self.boards[cell] = Board()
            with tempfile.TemporaryDirectory() as folder:
                sequence = Sequence(Path(folder))
                sequence.next()
            self.floods[cell] = Flood(
                self.boards[cell], package, sequence=sequence, clock=lambda: self.now, grace=3.0
            )

    def admit(self, cell: int, members: int) -> None:
        """Have a cell run a package in which only so many cells are members."""
        package = self.package(cell)
        kept = package.roster.members[:members]
        roster = replace(package.roster, members=kept)
        self.floods[cell].follow(replace(package, roster=roster))

    def say(self, cell: int, generation: int = 1) -> None:
        """Have a cell say how it is."""
        self.floods[cell].say(CellStatus(generation=generation), Kind.STATUS)

    def hear(self, cell: int, other: int) -> None:
        """Have a cell hear all that another one has on the bus, some of it again."""
        for (channel, _), envelope in tuple(self.boards[other].newest.items()):
            self.floods[cell].receive(Received(channel, envelope))

    def order(self, cell: int, said: UvnAnnouncement | Activation) -> None:
        """Have a cell hear the registry itself."""
        topic, kind = (
            (Topic.UVN, Kind.UVN)
            if isinstance(said, UvnAnnouncement)
            else (Topic.ACTIVATION, Kind.ACTIVATION)
        )
        self.sequence += 1
        plain = Envelope(
            about=REGISTRY,
            kind=kind,
            sequence=self.sequence,
            sender=REGISTRY,
            body=encode(said),
            signature=b"",
        )
        made = signed(plain, identity=_BASE.plan.identity, sign=signer(_private(REGISTRY)))
        self.floods[cell].receive(Received(Channel(topic), made))

    def see_registry(self, cell: int, *, there: bool) -> None:
        """Have a cell see the registry come or go."""
        self.floods[cell].receive(Presence(Channel(Topic.UVN, OWN), int(there)))

    def package(self, cell: int) -> Package:
        """Return a cell's package."""
        return _packages(self.count)[cell]

    def known(self, cell: int) -> Mapping[int, CellStatus]:
        """Return what a cell knows of each."""
        return self.floods[cell].statements.statuses()


_BASE = bundle(HOME)


def _packages(count: int) -> dict[int, Package]:
    members = tuple(_member(cell) for cell in range(1, count + 1))
    return {
        each.id: replace(
            _BASE,
            manifest=replace(_BASE.manifest, registry_key=_public(REGISTRY)),
            roster=replace(_BASE.roster, members=members),
            plan=replace(_BASE.plan, cell=each.id, links=()),
            secrets={cell_signing(each.id): _private(each.id)},
        )
        for each in members
    }


def _member(cell: int) -> Member:
    return Member(
        id=cell,
        name=f"cell-{cell}",
        node4=IPv4Address(f"10.255.128.{cell + 1}"),
        node6=IPv6Address(f"fd00::{cell + 1}"),
        sign_key=_public(cell),
    )


def _private(author: int) -> str:
    return b64encode(bytes([author + 1] * 32)).decode()


def _public(author: int) -> str:
    key = Ed25519PrivateKey.from_private_bytes(bytes([author + 1] * 32))
    return b64encode(key.public_key().public_bytes_raw()).decode()
