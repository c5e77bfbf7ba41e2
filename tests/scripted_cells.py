"""Cells that follow the protocol, but for what a test makes them do wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from ipaddress import IPv4Address
from pathlib import Path

from uno.bus.memory import MemoryBus, MemoryNetwork
from uno.model import codec
from uno.model.key_ids import cell_sealing, cell_signing
from uno.model.messages import Ack, Activation, Envelope, Kind, Phase
from uno.model.net import Network
from uno.model.network_directory import Directory
from uno.model.package import Package, SignedManifest
from uno.model.status import CellStatus
from uno.model.trust import TrustUpdate, newest_key
from uno.ports.bus import (
    FOR_REGISTRY,
    REGISTRY_INDEX,
    RELAY,
    BusConfig,
    BusEvent,
    BusPeer,
    Channel,
    Received,
    Topic,
    offers_for,
    offers_to_relay,
)
from uno.render import package_file
from uno.statesync import envelope


class Behaviour(Enum):
    """What a cell does with a package that is offered, or activated."""

    NORMAL = auto()
    REFUSE = auto()
    FAIL = auto()
    REVERT = auto()
    STAGE_NOTHING = auto()


@dataclass(kw_only=True)
class ScriptedCell:
    """A cell. `log` has what it did: the phase and the generation.

    `claims` is the generation that it claims to run, None for the truth. `package_format` is the
    newest format of packages that it reads.
    """

    network: MemoryNetwork
    running: Package
    behaviour: Behaviour = Behaviour.NORMAL
    reachable_lans: bool = True
    relays_for: int | None = None
    claims: int | None = None
    package_format: int = 1
    previous: Package | None = None
    staged: Package | None = None
    log: list[tuple[Phase, int]] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    proofs: dict[int, SignedManifest] = field(default_factory=dict)
    trust: TrustUpdate = field(default_factory=TrustUpdate)
    directory: Directory | None = None
    untrusted: list[Envelope] = field(default_factory=list)
    _bus: MemoryBus | None = None
    _sequence: int = 100
    _seen: dict[tuple[int, int], int] = field(default_factory=dict)
    _handled: int = 0

    @property
    def id(self) -> int:
        return self.running.plan.cell

    @property
    def generation(self) -> int:
        return self.running.manifest.generation

    @property
    def address(self) -> IPv4Address:
        return next(m.node4 for m in self.running.roster.members if m.id == self.id)

    def start(self, *, reaches_registry: bool = True, near: tuple[ScriptedCell, ...] = ()) -> None:
        root = self.running.plan.root
        assert root is not None
        registry = (BusPeer(root.remote4, REGISTRY_INDEX),) if reaches_registry else ()
        peers = (*registry, *(BusPeer(each.address) for each in near))
        self._bus = self.network.bus()
        self._bus.configure(
            BusConfig(
                domain=self.running.plan.bus.domain,
                address=self.address,
                tag=self.running.manifest.identity,
                peers=peers,
            ),
            self._receive,
        )
        for topic in (Topic.TRUST, Topic.UVN, Topic.ACTIVATION, Topic.DIRECTORY):
            self._bus.subscribe(Channel(topic))
            self._bus.subscribe(Channel(topic, RELAY))
        self._bus.subscribe(offers_for(self.id))
        if self.relays_for is not None:
            self._bus.subscribe(Channel(Topic.STATUS))
            self._bus.subscribe(Channel(Topic.ACK))
            self._bus.subscribe(offers_to_relay(self.relays_for))
        self._refresh_status(self._bus)

    def stop(self) -> None:
        assert self._bus is not None
        self._bus.crash()
        self._bus = None

    def _refresh_status(self, bus: MemoryBus) -> None:
        """Refresh the status until the cell is stopped."""
        if self._bus is bus:
            self.advertise()
            asyncio.get_running_loop().call_later(0.5, self._refresh_status, bus)

    def advertise(self) -> None:
        """Publish the cell's status."""
        lost: tuple[Network, ...] = ()
        if not self.reachable_lans:
            lost = next(m.lans for m in self.running.roster.members if m.id != self.id)
        self._write(
            Topic.STATUS,
            Kind.STATUS,
            CellStatus(
                generation=self.claims or self.generation,
                content=self.running.manifest.content,
                proof=self.proofs.get(self.generation),
                staged=self.staged.manifest.generation if self.staged else None,
                unreachable=lost,
                registry=True,
                package_format=self.package_format,
            ),
        )

    def _receive(self, event: BusEvent) -> None:
        if not isinstance(event, Received):
            return
        received = event.envelope
        if event.channel.topic in {Topic.STATUS, Topic.ACK}:
            self._relay_to_registry(event)
            return
        # Sequences count for each kind and subject.
        key = (received.kind, received.subject)
        if received.sequence <= self._seen.get(key, 0):
            return
        identity = self.running.manifest.identity
        trust = self.trust
        if received.kind == Kind.TRUST:
            trust = codec.decode(received.body, TrustUpdate)
        key = newest_key(self.running.manifest.registry_key, trust.registry_keys, identity=identity)
        try:
            envelope.verify(received, identity=identity, public_key=key)
        except envelope.Untrusted:
            # Signed with a new key, and here before the statement that leads to it.
            self.untrusted.append(received)
            return
        self.trust = trust
        self._seen[key] = received.sequence
        if event.channel == offers_to_relay(received.subject):
            self.write(offers_for(received.subject), received)
        elif received.kind == Kind.OFFER:
            self._offered(received)
        elif received.kind == Kind.ACTIVATION:
            self._relay(event)
            self._activate(codec.decode(received.body, Activation), received.sequence)
        else:
            if received.kind == Kind.DIRECTORY:
                self.directory = codec.decode(received.body, Directory)
            self._relay(event)

    def _relay_to_registry(self, event: Received) -> None:
        if event.envelope.subject == self.relays_for:
            self.write(Channel(event.channel.topic, FOR_REGISTRY), event.envelope)

    def _relay(self, event: Received) -> None:
        self.write(Channel(event.channel.topic, RELAY), event.envelope)

    def _offered(self, received: Envelope) -> None:
        if self.behaviour is Behaviour.STAGE_NOTHING:
            return
        content = envelope.unseal(
            received.body,
            private_key=self.running.secrets[cell_sealing(self.id)],
            identity=self.running.manifest.identity,
            cell=self.id,
        )
        offered = package_file.read(content)
        generation = offered.manifest.generation
        self.proofs[generation] = package_file.read_proof(content)
        if offered.manifest == self.running.manifest:
            self._ack(Phase.CONFIRMED, generation, received.sequence)
        elif self.behaviour is Behaviour.REFUSE:
            self._ack(Phase.REFUSED, generation, received.sequence, "the disk is full")
        elif generation <= self.generation:
            self._ack(Phase.REFUSED, generation, received.sequence, "it is not newer")
        else:
            self.staged = offered
            self._ack(Phase.STAGED, generation, received.sequence)
            self.advertise()

    def _activate(self, activation: Activation, sequence: int) -> None:
        if activation.undo:
            undone = activation.cells.get(self.id, activation.generation)
            if self.previous is not None and self.generation == undone:
                self.running, self.previous = self.previous, None
                self._ack(Phase.REVERTED, undone, 0, "undone")
                self.advertise()
            elif self.staged is not None and self.staged.manifest.generation == undone:
                self.staged = None
                self.advertise()
            return
        wanted = activation.cells.get(self.id)
        if wanted is None or sequence <= self._handled or wanted == self.generation:
            return
        if self.staged is None or self.staged.manifest.generation != wanted:
            if self.log and self.log[-1][0] is not Phase.REVERTED:
                self.violations.append(f"activated {wanted} without having it staged")
            return
        self._handled = sequence
        self._change_over(wanted)

    def _change_over(self, wanted: int) -> None:
        assert self.staged is not None
        before, self.staged, staged = self.running, None, self.staged
        if self.behaviour is Behaviour.FAIL:
            self._ack(Phase.FAILED, wanted, 0, "nft refuses the ruleset")
            return
        self.running, self.previous = staged, before
        self._ack(Phase.APPLIED, wanted, 0)
        self.advertise()
        later = asyncio.get_running_loop().call_later
        later(0.05, self._go_back if self.behaviour is Behaviour.REVERT else self._confirm, wanted)

    def _confirm(self, wanted: int) -> None:
        if self._bus is not None and self.generation == wanted:
            self._ack(Phase.CONFIRMED, wanted, 0)

    def _go_back(self, wanted: int) -> None:
        assert self.previous is not None
        self.running, self.previous = self.previous, None
        self._ack(Phase.REVERTED, wanted, 0, "lost the registry")
        self.advertise()

    def _ack(self, phase: Phase, generation: int, offer: int, reason: str = "") -> None:
        self.log.append((phase, generation))
        ack = Ack(
            generation=generation,
            phase=phase,
            running=self.generation,
            reason=reason,
            offer=offer,
        )
        self._write(Topic.ACK, Kind.ACK, ack)

    def _write(self, topic: Topic, kind: Kind, body: object) -> None:
        self._sequence += 1
        plain = Envelope(
            subject=self.id,
            kind=kind,
            sequence=self._sequence,
            relayed_by=self.id,
            body=codec.encode(body),
            signature=b"",
        )
        sign = envelope.signer(self.running.secrets[cell_signing(self.id)])
        identity = self.running.manifest.identity
        self.write(Channel(topic), envelope.signed(plain, identity=identity, sign=sign))

    def write(self, channel: Channel, received: Envelope) -> None:
        if self._bus is not None:
            self._bus.write(channel, received)


def installed(root: Path, name: str) -> Package:
    """Read the package that the registry in `root` has written for a cell."""
    return package_file.read((root / "cells" / f"net__{name}.uvn-agent").read_bytes())


async def until(condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
    """Wait until something is so."""
    try:
        async with asyncio.timeout(seconds):
            # Polls: no event marks what a test waits for.
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"not within {seconds} s: {what}") from None
