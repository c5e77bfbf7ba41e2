"""A UVN whose cells' agents run in one event loop: their hosts and the bus between them are fakes.

The registry is played by the test, with the keys of a real one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from commands import run
from forwarding_answers import ForwardingAnswers
from uno.agent.agent_environment import AgentEnvironment
from uno.agent.cell_agent import CellAgent
from uno.agent.commit.commit_machine import ConfirmLimits
from uno.agent.commit.ledger import Ledger
from uno.agent.loop_timers import AgentIntervals
from uno.bus.memory import Impairment, MemoryBus, MemoryNetwork
from uno.diagnostics import ActionNeeded
from uno.host.fake.fake_host import FakeHost
from uno.model.codec import encode
from uno.model.key_ids import cell_sealing
from uno.model.messages import REGISTRY, Ack, Activation, Envelope, Kind, UvnAnnouncement
from uno.model.net import Network
from uno.model.network_directory import Directory
from uno.model.package import Package
from uno.model.status import CellStatus, UvnView
from uno.model.trust import TrustUpdate
from uno.ports.bus import (
    FOR_REGISTRY,
    OWN,
    REGISTRY_INDEX,
    RELAY,
    BusConfig,
    BusEvent,
    Channel,
    Received,
    Topic,
    offers_for,
    offers_to_relay,
)
from uno.ports.events import NetworkChange
from uno.ports.host import Nic, SessionStatus
from uno.ports.notifications import Notifications
from uno.ports.prober import ProbeResult, ProbeTarget
from uno.registry.changes import operations
from uno.registry.publish import keygen
from uno.render import package_file
from uno.statesync import envelope
from uno.statesync.state_database import StateDatabase

_T = TypeVar("_T")

QUICK = AgentIntervals(
    reconcile_every=5.0,
    reconcile_spacing=0.01,
    observe_every=0.2,
    observe_fast=0.02,
    fast_for=0.3,
    routing_retry=0.05,
    lan_timeout=0.3,
    registry_grace=0.05,
)
SEEN = ConfirmLimits(lease=0.4, confirm_timeout=1.0)

# Long enough for a machine that has much else to do.
PATIENCE = 20.0


class Probes:
    """A prober whose answers the test gives."""

    def __init__(self) -> None:
        self.answers: dict[IPv4Address, ProbeResult] = {}
        self.targets: tuple[ProbeTarget, ...] = ()
        self.called: tuple[IPv4Address, ...] = ()
        self.restarted: tuple[IPv4Address, ...] = ()
        self.watched = True

    def set_targets(self, targets: Iterable[ProbeTarget]) -> None:
        self.targets = tuple(targets)

    def set_watched(self, *, watched: bool) -> None:
        self.watched = watched

    def reset_backoff(self) -> None:
        pass

    def probe_now(self, addresses: Iterable[IPv4Address]) -> None:
        self.called = tuple(addresses)

    def restart(self, addresses: Iterable[IPv4Address]) -> None:
        self.restarted += tuple(addresses)

    def results(self) -> Mapping[IPv4Address, ProbeResult]:
        return self.answers

    async def run(self) -> None:
        await asyncio.Event().wait()


class Watch:
    """Changes that the test makes up."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[frozenset[NetworkChange]] = asyncio.Queue()

    async def changes(self) -> AsyncIterator[frozenset[NetworkChange]]:
        while True:
            yield await self.queue.get()

    def destinations_via(self, _interfaces: Iterable[str]) -> dict[Network, tuple[str, ...]]:
        return {}


@dataclass
class Cell:
    """A cell of the site, and all that it works with."""

    ledger: Ledger
    folder: Path
    bus: MemoryBus
    host: FakeHost
    probes: Probes = field(default_factory=Probes)
    forwarding: ForwardingAnswers | None = None
    watch: Watch = field(default_factory=Watch)
    notified: list[str] = field(default_factory=list)
    notifications: Notifications | None = None
    supervised: bool = False
    refusal: str = ""
    agent: CellAgent | None = None
    job: asyncio.Task[None] | None = None

    @property
    def package(self) -> Package:
        found = self.ledger.current()
        assert found is not None
        return found

    def check(self, _running: Package, _offered: Package, _own: Collection[int]) -> None:
        """Refuse a package, as a host that lacks something for it does."""
        if self.refusal:
            raise ActionNeeded(self.refusal)

    def bring_up_links(self, cells: Iterable[int] | None = None) -> None:
        """Have the links to these neighbours work, or all; and no others."""
        links = self.package.plan.links
        chosen = {link.cell for link in links} if cells is None else set(cells)
        self.host.sessions = tuple(
            SessionStatus(neighbor=str(link.remote4), state="Established", prefixes=1, bfd="up")
            for link in links
            if link.cell in chosen
        )
        self.host.handshakes = {link.public_key: 1 for link in links if link.cell in chosen}


@dataclass
class Site:
    """Cells in the order of their names, and the registry's end of the bus."""

    root: Path
    network: MemoryNetwork
    cells: dict[str, Cell]
    bus: MemoryBus
    database: StateDatabase
    sign: Callable[[bytes], bytes]
    sequence: int = 0
    acks: dict[int, list[Ack]] = field(default_factory=dict)
    received_for_unreachable: list[Envelope] = field(default_factory=list)
    receive_own: Callable[[Envelope], None] = lambda _: None

    def number(self, name: str) -> int:
        return self.cells[name].package.plan.cell

    def edit(self, *words: str) -> int:
        """Do a command at the registry; return the generation that came of it."""
        done = run(*words, "-r", str(self.root))
        assert done.status == 0, done.err
        with operations.opened(self.root) as registry:
            return int(registry.store.head().number)

    def package_bytes(self, name: str) -> bytes:
        return (self.root / "cells" / f"net__{name}.uvn-agent").read_bytes()

    def generation(self, name: str) -> int:
        return package_file.read_manifest(self.package_bytes(name)).generation

    def join(self, *, domain: int | None = None) -> None:
        """Be on the bus as the registry, in the domain of the cells or in another."""
        one = next(iter(self.cells.values())).package
        assert one.plan.root is not None
        self.bus.configure(
            BusConfig(
                domain=one.plan.bus.domain if domain is None else domain,
                address=one.plan.root.remote4,
                tag=one.plan.identity,
                index=REGISTRY_INDEX,
            ),
            self._receive,
        )
        for topic in (Topic.STATUS, Topic.ACK):
            for partition in (OWN, FOR_REGISTRY):
                self.bus.subscribe(Channel(topic, partition))

    def listen(self, receive: Callable[[Envelope], None]) -> None:
        """Join again as a registry that receives its own messages when cells relay them."""
        self.receive_own = receive
        self.join()
        for topic in (Topic.UVN, Topic.ACTIVATION):
            self.bus.subscribe(Channel(topic, RELAY))

    def announce(self, announcement: UvnAnnouncement) -> None:
        self.bus.write(Channel(Topic.UVN), self.signed(Kind.UVN, encode(announcement)))

    def state_trust(self, update: TrustUpdate) -> None:
        self.bus.write(Channel(Topic.TRUST), self.signed(Kind.TRUST, encode(update)))

    def state_facts(self, facts: Directory) -> None:
        self.bus.write(Channel(Topic.DIRECTORY), self.signed(Kind.DIRECTORY, encode(facts)))

    def activate(self, activation: Activation) -> Envelope:
        made = self.signed(Kind.ACTIVATION, encode(activation))
        self.bus.write(Channel(Topic.ACTIVATION), made)
        return made

    def offer(self, name: str, *, adjacent: bool = False, content: bytes | None = None) -> Envelope:
        cell = self.number(name)
        channel = offers_to_relay(cell) if adjacent else offers_for(cell)
        made = self.sealed(name, self.package_bytes(name) if content is None else content)
        self.bus.write(channel, made)
        return made

    def sealed(self, name: str, content: bytes) -> Envelope:
        cell, plan = self.number(name), self.cells[name].package.plan
        with operations.opened(self.root) as registry:
            public = registry.store.head().plan.public_keys[cell_sealing(cell)]
        self.sequence += 1
        body = envelope.seal(
            content,
            public_key=public,
            identity=plan.identity,
            cell=cell,
        )
        return self.signed(Kind.OFFER, body, subject=cell)

    def signed(self, kind: Kind, body: bytes, *, subject: int = REGISTRY) -> Envelope:
        self.sequence += 1
        plain = Envelope(
            subject=subject,
            kind=kind,
            sequence=self.sequence,
            relayed_by=REGISTRY,
            body=body,
            signature=b"",
        )
        identity = next(iter(self.cells.values())).package.plan.identity
        return envelope.signed(plain, identity=identity, sign=self.sign)

    def roll_out(self, *names: str, confirm_timeout: float = 1.0) -> Activation:
        """Offer the newest packages to these cells; return the activation for them."""
        for name in names:
            self.offer(name)
        cells = {self.number(name): self.generation(name) for name in names}
        return Activation(
            generation=max(cells.values()), cells=cells, confirm_timeout=confirm_timeout
        )

    def status(self, name: str) -> CellStatus | None:
        return self.database.status(self.number(name))

    def ack(self, name: str) -> Ack | None:
        return self.database.ack(self.number(name))

    async def start(self, *names: str) -> None:
        """Start the agents of these cells, or all, and wait for their status."""
        chosen = names or tuple(self.cells)
        for name in chosen:
            self.launch(name)
        for name in chosen:
            await self.until(lambda name=name: self._has_started(name))

    def launch(self, name: str) -> asyncio.Task[None]:
        cell = self.cells[name]
        environment = AgentEnvironment(
            host=cell.host,
            bus=cell.bus,
            prober=lambda _: cell.probes,
            forwarding_prober=cell.forwarding,
            notifications=cell.notifications,
            watch=cell.watch,
            folder=cell.folder,
            now=time.monotonic,
            wall=lambda: 1_700_000_000.0,
            notify=cell.notified.append if cell.supervised else None,
            check_host=cell.check,
            intervals=QUICK,
            confirm_limits=SEEN,
        )
        cell.agent = CellAgent(
            cell.package, ledger=cell.ledger, environment=environment, run_blocking=in_a_thread
        )
        cell.job = asyncio.get_running_loop().create_task(cell.agent.run())
        return cell.job

    async def stop(self, name: str) -> None:
        """End an agent as SIGTERM does."""
        cell = self.cells[name]
        if cell.job is not None and cell.agent is not None:
            cell.job.cancel()
            await asyncio.gather(cell.job, return_exceptions=True)
            cell.agent.close()
            cell.job = None

    async def crash(self, name: str) -> None:
        """End an agent as kill -9 does: it sends nothing more, and loses its memory."""
        self.cells[name].bus.crash()
        await self.stop(name)

    def cut_off(self, name: str) -> None:
        """Cut the path between the registry and a cell."""
        self.network.disconnect(*self._path(name))

    def connect(self, name: str) -> None:
        """Undo `cut_off`."""
        self.network.reconnect(*self._path(name))

    def view(self, name: str) -> UvnView:
        agent = self.cells[name].agent
        assert agent is not None
        return agent.view()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until it is so. Fails after `PATIENCE`, and where an agent has failed."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            for name, cell in self.cells.items():
                if cell.job is not None and cell.job.done():
                    raise AssertionError(f"the agent of {name} ended") from cell.job.exception()
            assert time.monotonic() < deadline, "it took too long"
            await asyncio.sleep(0.01)

    async def settle(self, *, seconds: float = 0.3) -> None:
        """Give what must not happen the time to happen."""
        await asyncio.sleep(seconds)

    def _path(self, name: str) -> tuple[IPv4Address, IPv4Address]:
        plan = self.cells[name].package.plan
        own = next(each for each in self.cells[name].package.roster.members if each.id == plan.cell)
        assert plan.root is not None
        return plan.root.remote4, own.node4

    def _has_started(self, name: str) -> bool:
        job = self.cells[name].job
        status = self.status(name)
        running = self.cells[name].ledger.cell_state().running
        is_received = status is not None and status.generation == running
        return is_received or bool(job and job.done() and not job.result())

    def _receive(self, event: BusEvent) -> None:
        if not isinstance(event, Received):
            return
        if event.channel.partition == RELAY:
            self.receive_own(event.envelope)
            return
        if event.channel.partition == FOR_REGISTRY:
            self.received_for_unreachable.append(event.envelope)
        if self.database.accept(event.envelope, now=time.monotonic()):
            ack = self.database.ack(event.envelope.subject)
            acks = self.acks.setdefault(event.envelope.subject, [])
            if ack is not None and (not acks or acks[-1] != ack):
                acks.append(ack)


def in_a_thread(call: Callable[..., _T], /, *arguments: Any) -> Awaitable[_T]:
    return asyncio.to_thread(call, *arguments)


def build(directory: Path) -> Path:
    """Make a registry of three cells: b has links to a and c, which both are public, too."""
    root = directory / "registry"
    for words in (
        "define uvn net -o john@example.org -p secret -a registry.example.org",
        "define cell a -a a.example.org -N 192.168.1.0/24",
        "define cell b -a b.example.org -N 192.168.2.0/24",
        "define cell c -N 192.168.3.0/24",
    ):
        done = run(*words.split(), "-r", str(root))
        assert done.status == 0, done.err
    return root


@asynccontextmanager
async def site(
    root: Path, place: Path, *, impairment: Impairment | None = None
) -> AsyncIterator[Site]:
    """Have the cells of the registry in `root` installed below `place`; no agent runs yet."""
    network = MemoryNetwork(impairment=impairment)
    cells = {}
    for number, name in enumerate("abc", start=1):
        ledger = Ledger(place / name)
        ledger.accept((root / "cells" / f"net__{name}.uvn-agent").read_bytes())
        lan = Nic(name="lan0", addresses=(IPv4Interface(f"192.168.{number}.1/24"),))
        host = FakeHost(nics=[lan])
        # Each peer has sent more whenever somebody asks.
        numbers = count(1)
        host.received = lambda _, numbers=numbers: next(numbers)
        cells[name] = Cell(
            ledger=ledger,
            folder=place / f"run-{name}",
            bus=network.bus(),
            host=host,
        )
    one = cells["a"].package
    with operations.opened(root) as registry:
        sign = envelope.signer(keygen.text(registry.store.secrets()[keygen.SIGNING].private))
    made = Site(
        root=root,
        network=network,
        cells=cells,
        bus=network.bus(),
        database=StateDatabase(
            identity=one.plan.identity,
            registry_key=one.manifest.registry_key,
            members={member.id: member for member in one.roster.members},
        ),
        sign=sign,
    )
    for cell in cells.values():
        cell.bring_up_links()
    made.join()
    try:
        yield made
    finally:
        for name in cells:
            await made.stop(name)
