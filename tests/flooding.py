"""Cells that flood to each other: real `Flood`s, one clock, and channels in memory."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from packages import HOME, package_of
from uno.model.codec import encode
from uno.model.key_ids import cell_signing
from uno.model.messages import REGISTRY, Ack, Activation, Envelope, Kind, UvnAnnouncement
from uno.model.network_directory import Directory
from uno.model.package import Package, RegistryKey
from uno.model.plan import Member
from uno.model.status import CellStatus
from uno.model.trust import TrustUpdate, successor
from uno.ports.bus import OWN, Channel, Presence, Received, Topic
from uno.statesync.envelope import signed, signer
from uno.statesync.flooding import (
    Command,
    Flood,
    Rejoin,
    ReserveSequence,
    StateChanged,
    Subscribe,
    Warn,
    Withdraw,
    Write,
)

GRACE = 3.0


@dataclass
class Executed:
    """What executing a cell's commands leaves: its channels, its reservation, its warnings."""

    newest: dict[tuple[Channel, int], Envelope] = field(default_factory=dict)
    written: list[Write] = field(default_factory=list)
    subscribed: set[Channel] = field(default_factory=set)
    warnings: list[Warn] = field(default_factory=list)
    reserved: int = 0

    def execute(self, commands: Iterable[Command]) -> None:
        """Execute commands in their order."""
        for command in commands:
            match command:
                case Write(channel, envelope):
                    self.newest[channel, envelope.subject] = envelope
                    self.written.append(command)
                case Withdraw(channel, subject):
                    del self.newest[channel, subject]
                case ReserveSequence(through):
                    self.reserved = through
                case Warn():
                    self.warnings.append(command)
                case Subscribe(channel):
                    self.subscribed.add(channel)
                case StateChanged() | Rejoin():
                    pass


@dataclass
class Cells:
    """So many cells, which share a clock; the test decides which cell receives from which."""

    count: int
    now: float = 0.0
    executed: dict[int, Executed] = field(default_factory=dict)
    floods: dict[int, Flood] = field(default_factory=dict)
    sequence: int = 0

    def __post_init__(self) -> None:
        """Start all of them."""
        for cell in range(1, self.count + 1):
            self.executed[cell] = Executed()
            self.start(cell)

    def start(self, cell: int, *, reserved: int = 0) -> None:
        """Start a cell, with no state but the highest sequence number that it has reserved."""
        self.floods[cell] = Flood(self.package(cell), reserved=reserved, grace=GRACE)

    def run(self, cell: int, commands: tuple[Command, ...]) -> tuple[Command, ...]:
        """Execute what a cell's flood has returned, and return it."""
        self.executed[cell].execute(commands)
        return commands

    def set_members(self, cell: int, count: int) -> tuple[Command, ...]:
        """Give a cell a package with so many members."""
        package = self.package(cell)
        roster = replace(package.roster, members=package.roster.members[:count])
        package = replace(package, roster=roster)
        return self.run(cell, self.floods[cell].follow(package, now=self.now))

    def advertise(self, cell: int, generation: int = 1) -> tuple[Command, ...]:
        """Have a cell originate its status."""
        return self.originate(cell, CellStatus(generation=generation), Kind.STATUS)

    def originate(self, cell: int, body: CellStatus | Ack, kind: Kind) -> tuple[Command, ...]:
        """Have a cell originate an advertisement."""
        return self.run(cell, self.floods[cell].originate(body, kind, now=self.now))

    def sync(self, cell: int, source: int) -> tuple[Command, ...]:
        """Have a cell receive all that another one has on its channels, again if need be."""
        found: list[Command] = []
        for (channel, _), envelope in tuple(self.executed[source].newest.items()):
            found.extend(self.receive(cell, channel, envelope))
        return tuple(found)

    def receive(self, cell: int, channel: Channel, envelope: Envelope) -> tuple[Command, ...]:
        """Have a cell receive one envelope."""
        event = Received(channel, envelope)
        return self.run(cell, self.floods[cell].receive(event, now=self.now))

    def from_registry(
        self,
        cell: int,
        body: UvnAnnouncement | Activation | TrustUpdate | Directory,
        *,
        signed_by: int | None = None,
    ) -> tuple[Command, ...]:
        """Have a cell receive a message from the registry itself."""
        topic, kind = _KINDS[type(body)]
        self.sequence += 1
        made = advertisement(
            REGISTRY, kind, encode(body), sequence=self.sequence, signed_by=signed_by
        )
        return self.receive(cell, Channel(topic), made)

    def set_registry_present(self, cell: int, *, present: bool) -> tuple[Command, ...]:
        """Have the registry appear to a cell, or leave."""
        event = Presence(Channel(Topic.UVN, OWN), int(present))
        return self.run(cell, self.floods[cell].receive(event, now=self.now))

    def flood_due(self, cell: int, *, awaiting_confirm: bool = False) -> tuple[Command, ...]:
        """Have a cell flood its queue if it is due."""
        flood = self.floods[cell]
        return self.run(cell, flood.flood_due(awaiting_confirm=awaiting_confirm, now=self.now))

    def next_flood(self, cell: int, *, awaiting_confirm: bool = False) -> float | None:
        """Return when a cell's queue is due."""
        return self.floods[cell].next_flood(awaiting_confirm=awaiting_confirm, now=self.now)

    def package(self, cell: int) -> Package:
        """Return a cell's package."""
        return _packages(self.count)[cell]

    def statuses(self, cell: int) -> Mapping[int, CellStatus]:
        """Return the statuses in a cell's database."""
        return self.floods[cell].database.statuses()


_KINDS: dict[type[object], tuple[Topic, Kind]] = {
    UvnAnnouncement: (Topic.UVN, Kind.UVN),
    Activation: (Topic.ACTIVATION, Kind.ACTIVATION),
    TrustUpdate: (Topic.TRUST, Kind.TRUST),
    Directory: (Topic.DIRECTORY, Kind.DIRECTORY),
}


def registry_key(old: int, new: int) -> RegistryKey:
    """Return the registry's key that follows `old`; keys are those of originators, by id."""
    return successor(
        _public(new),
        follows=_public(old),
        identity=_BASE.plan.identity,
        sign=signer(_private(old)),
    )


def writes(commands: Iterable[Command]) -> list[tuple[str, str, int]]:
    """Return topic, partition and subject of each envelope that commands write."""
    return [
        (each.channel.topic.name, each.channel.partition, each.envelope.subject)
        for each in commands
        if isinstance(each, Write)
    ]


def advertisement(
    subject: int, kind: Kind, body: bytes, *, sequence: int, signed_by: int | None = None
) -> Envelope:
    """Return a signed envelope."""
    plain = Envelope(
        subject=subject, kind=kind, sequence=sequence, relayed_by=subject, body=body, signature=b""
    )
    key = _private(subject if signed_by is None else signed_by)
    return signed(plain, identity=_BASE.plan.identity, sign=signer(key))


_BASE = package_of(HOME)


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
