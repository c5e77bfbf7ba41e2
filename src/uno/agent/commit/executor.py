"""Carries out what `agent.commit.decisions` decides, on the disk, the host and the bus.

Only one of these coroutines runs at a time.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from msgspec.structs import replace

from uno.agent.commit.decisions import (
    CommitVerdict,
    Limits,
    Order,
    PendingCommit,
    PersistentState,
    judge,
    order,
    wants_offer,
)
from uno.agent.commit.drain_plan import (
    DeferredLinks,
    DrainSchedule,
    held,
    name,
    scheduled,
    with_held,
)
from uno.agent.commit.package_checks import own_lans, require_keys, require_new_lans
from uno.agent.commit.reachability import Reachability, describe, proven, seen
from uno.diagnostics import UnoError
from uno.model.key_ids import cell_sealing
from uno.model.messages import REGISTRY, Ack, Activation, Envelope, Kind, Phase
from uno.render import package_file
from uno.statesync.envelope import unseal

if TYPE_CHECKING:
    from uno.agent.blocking import RunBlocking
    from uno.agent.commit.drain_runner import RemainingSteps
    from uno.agent.commit.ledger import AcceptOutcome, Ledger
    from uno.agent.host_loop.host_reconciler import HostReconciler
    from uno.agent.state_sync.flood_runner import FloodRunner
    from uno.model.package import Package
    from uno.model.status import CellStatus
    from uno.ports.prober import ProbeResults

_log = logging.getLogger(__name__)

# Looks at the host, and tells how the cell is.
Look: TypeAlias = Callable[[], Awaitable["CellStatus"]]


class CommitExecutor:
    """The packages of one cell: the one that runs, `package`, and what is to come."""

    def __init__(  # noqa: PLR0913 - what it works with, and each is another thing
        self,
        package: Package,
        *,
        ledger: Ledger,
        upkeep: HostReconciler,
        flood: FloodRunner,
        work: RunBlocking,
        clock: Callable[[], float],
        limits: Limits,
    ) -> None:
        """Go on from what is in `ledger`, whose current package `package` is."""
        self.package = package
        self._held = ledger.held()
        self.standing = ledger.standing()
        self._ledger = ledger
        self._upkeep = upkeep
        self._flood = flood
        self._work = work
        self._clock = clock
        self._limits = limits
        self._rest: RemainingSteps | None = None
        self._applied_at = clock()
        self._received = self._dealt_with = 0

    @property
    def effective(self) -> Package:
        """The running package, with the links that are held in place of its own."""
        return with_held(self.package, self._held_now)

    @property
    def leaving(self) -> tuple[str, ...]:
        """The interfaces of links that are to go, and carry something until then."""
        left = self._rest.way[0].package.plan.links if self._rest else ()
        planned = {link.cell for link in self.package.plan.links}
        return tuple(link.interface for link in left if link.cell not in planned)

    @property
    def awaiting_confirm(self) -> bool:
        """Whether the running package is not confirmed yet."""
        return self.standing.trial is not None

    @property
    def judged_from(self) -> float:
        """When a link that the last change has broken is known to be: BFD says so, and FRR that."""
        timing = self.package.roster.timing
        return self._applied_at + timing.bfd_interval * timing.bfd_multiplier / 1000 + 0.3

    @property
    def is_under_way(self) -> bool:
        """Whether the last change is not over: on trial, or there are links that are to go.

        What else is left to take back the next change takes back itself.
        """
        return self.awaiting_confirm or bool(self.leaving)

    @property
    def rest_due(self) -> float | None:
        """When something of the package before is to be taken back; None if nothing is left."""
        return self._rest.due if self._rest else None

    async def proceed(self) -> None:
        """Take the next step in taking back the package before. Raises UnoError."""
        rest, self._rest = self._rest, None
        if rest is not None:
            self._rest = await self._work(self._upkeep.proceed, rest)

    async def begin(self) -> None:
        """The running package is applied, by this process or one before it: say what it last said.

        A package on trial has its whole window again.
        """
        await self._note_applied()
        self._flood.restore(self.standing.memory.words)
        if (ack := self.standing.memory.ack) is not None:
            self._flood.originate(ack, Kind.ACK)

    async def take_offer(self) -> None:
        """Stage the package that is offered, if it is one for us, and say so or why not."""
        envelope = self._flood.state.database.newest(Kind.OFFER, self._flood.state.cell)
        if envelope is None or envelope.sequence <= self._dealt_with:
            return
        self._dealt_with = envelope.sequence
        if not wants_offer(self.standing.memory, envelope.sequence):
            return
        generation = self._announced_generation()
        try:
            content = await self._work(self._open, envelope)
            generation = package_file.read_manifest(content).generation
            outcome = await self._work(self._stage, content)
        except UnoError as error:
            _log.warning("refused a package that was offered: %s", error)
            await self._answer(Phase.REFUSED, generation, error.what, offer=envelope.sequence)
            return
        await self._staged(outcome, generation, envelope.sequence)

    async def take_activation(self, look: Look) -> bool:
        """Do what the registry's last word asks of this cell; return whether packages changed.

        `look` tells how the cell is now: whom it is in contact with.
        """
        envelope = self._flood.state.database.newest(Kind.ACTIVATION, REGISTRY)
        activation = self._flood.state.database.activation()
        if envelope is None or activation is None:
            return False
        sequence = envelope.sequence
        held = frozenset(name(self.package.plan, link) for link in self._held_now.links)
        standing = replace(self.standing, held=held)
        asked = order(standing, activation, cell=self._flood.state.cell, sequence=sequence)
        if asked in {Order.ACTIVATE, Order.RELEASE} and self.is_under_way:
            # One after the other: to be asked again.
            return False
        if asked is Order.ACTIVATE:
            await self._activate(activation, sequence, await look())
        elif asked is Order.RELEASE:
            await self._release(activation, sequence)
        elif asked is Order.GO_BACK:
            await self._go_back("it was undone for all", sequence)
        elif asked is Order.DISCARD:
            await self._work(self._ledger.discard)
            await self._reload()
            await self._remember(handled=sequence)
        return asked is not Order.NOTHING

    async def take_installed(self, look: Look) -> bool:
        """Change over to a package that somebody installed by hand; return whether there is one.

        `look` is as for `take_activation`. Raises UnoError if the package cannot be read.
        """
        new = await self._work(self._ledger.current)
        if new is None or new.manifest == self.package.manifest:
            return False
        require_keys(new)
        _log.info("generation %s was installed by hand", new.manifest.generation)
        trial = self._trial(new.manifest.generation, await look(), self._limits.confirm_timeout)
        await self._work(self._ledger.put_pending, trial)
        await self._apply(new, DrainSchedule())
        return True

    async def judge(self, status: CellStatus, probes: ProbeResults) -> bool:
        """Confirm the package on trial or go back from it, once it shows; return whether it has."""
        trial = self.standing.trial
        if trial is None:
            return False
        contact = self.contact(status)
        verdict, missing = judge(
            trial,
            contact,
            elapsed=self._clock() - self._applied_at,
            settled=await self._is_settled(trial, probes),
            planned=frozenset(link.cell for link in self.package.plan.links),
            registry_elsewhere=self._is_registry_elsewhere(status),
        )
        if verdict is CommitVerdict.CONFIRMED:
            await self._work(self._ledger.confirm)
            await self._reload()
            _log.info("generation %s is confirmed", trial.generation)
            await self._answer(Phase.CONFIRMED, trial.generation)
        elif verdict is CommitVerdict.LOST:
            names = {each.id: each.name for each in self.package.roster.members}
            await self.give_up(f"it lost {describe(missing, names)}")
        return verdict is not CommitVerdict.WAIT

    async def give_up(self, reason: str) -> None:
        """Go back from the package on trial, which this host cannot have."""
        await self._go_back(reason, self._flood.state.database.highest_sequence(REGISTRY))

    def contact(self, status: CellStatus) -> Reachability:
        """Return whom the cell is in contact with."""
        return seen(status.links, registry=self._flood.state.registry_present)

    def _open(self, envelope: Envelope) -> bytes:
        plan = self.package.plan
        key = self.package.secrets[cell_sealing(plan.cell)]
        return unseal(envelope.body, private_key=key, identity=plan.identity, cell=plan.cell)

    def _stage(self, content: bytes) -> AcceptOutcome:
        offered = package_file.read(content)
        require_keys(offered)
        require_new_lans(offered, self.package, self._upkeep.host.facts().nics)
        return self._ledger.stage(content)

    async def _staged(self, outcome: AcceptOutcome, generation: int, sequence: int) -> None:
        await self._reload()
        if outcome != "same":
            _log.info("generation %s is staged", generation)
            phase = Phase.STAGED
        else:
            phase = Phase.APPLIED if self.awaiting_confirm else Phase.CONFIRMED
        await self._answer(phase, generation, offer=sequence, news={"offer": sequence})

    async def _activate(self, activation: Activation, sequence: int, status: CellStatus) -> None:
        generation = activation.cells[self._flood.state.cell]
        trial = self._trial(generation, status, activation.confirm_timeout)
        schedule = scheduled(
            activation, since=self._flood.state.database.received_at(Kind.ACTIVATION, REGISTRY)
        )
        try:
            await self._hold(generation, held(self.effective, schedule.hold))
            new = await self._work(self._ledger.activate, trial)
        except UnoError as error:
            _log.warning("cannot change over to generation %s: %s", generation, error)
            await self._answer(Phase.FAILED, generation, error.what, news={"handled": sequence})
            return
        await self._answer(Phase.APPLYING, generation, news={"handled": sequence})
        await self._apply(new, schedule)

    async def _apply(self, new: Package, schedule: DrainSchedule) -> None:
        generation = new.manifest.generation
        old = self.effective
        _log.info("changing over from generation %s to %s", old.manifest.generation, generation)
        try:
            self._rest = await self._work(self._upkeep.switch, old, new, schedule)
        except UnoError as error:
            _log.warning("generation %s cannot be applied: %s", generation, error)
            await self._work(self._ledger.roll_back)
            await self._reload()
            await self._answer(Phase.FAILED, generation, error.what)
            return
        self._run(new)
        await self._note_applied()
        await self._reload()
        await self._answer(Phase.APPLIED, generation)

    async def _release(self, activation: Activation, sequence: int) -> None:
        """Have links as planned that were held until their other ends were ready."""
        old, generation = self.effective, self.package.manifest.generation
        schedule = scheduled(
            activation, since=self._flood.state.database.received_at(Kind.ACTIVATION, REGISTRY)
        )
        _log.info("changing links that were held")
        await self._remember(handled=sequence)
        try:
            await self._hold(generation, held(old, schedule.hold))
            self._rest = await self._work(self._upkeep.switch, old, self.effective, schedule)
        except UnoError as error:
            # The next pass goes on: what is held is on the disk.
            _log.warning("links that were held cannot be changed: %s", error)

    async def _go_back(self, reason: str, sequence: int) -> None:
        old, self._rest = self.effective, None
        generation = old.manifest.generation
        _log.warning("going back from generation %s: %s", generation, reason)
        # On the disk first, so that after a crash it is the one before that is applied.
        before = await self._work(self._ledger.roll_back)
        await self._remember(handled=sequence)
        self._run(before)
        try:
            await self._work(self._upkeep.switch, old, self.effective, DrainSchedule(urgent=True))
        except UnoError as error:
            # The next pass tries again, and it knows of no other package.
            _log.warning("generation %s cannot be applied: %s", before.manifest.generation, error)
        await self._reload()
        await self._answer(Phase.REVERTED, generation, reason)

    @property
    def _held_now(self) -> DeferredLinks:
        return self._held.get(self.package.manifest.generation, DeferredLinks())

    async def _hold(self, generation: int, kept: DeferredLinks) -> None:
        """Hold links under the package of a generation, beside those held under the running one."""
        running = self.package.manifest.generation
        both = {running: self._held_now, generation: kept}
        await self._work(self._ledger.hold, both)
        self._held = both

    def _run(self, package: Package) -> None:
        self.package = package
        self._flood.follow(package)

    def _trial(self, generation: int, status: CellStatus, confirm_timeout: float) -> PendingCommit:
        return PendingCommit(
            generation=generation,
            previous=self.package.manifest.generation,
            before=self.contact(status),
            confirm_timeout=confirm_timeout,
        )

    async def _note_applied(self) -> None:
        self._applied_at = self._clock()
        self._received = await self._from_registry()

    async def _is_settled(self, trial: PendingCommit, probes: ProbeResults) -> bool:
        """Whether what is seen now is not from before the change."""
        links, neighbours = self.effective.plan.links, trial.before.neighbours
        if self._clock() < self.judged_from and not proven(
            links, probes, neighbours=neighbours, since=self._applied_at
        ):
            return False
        if not trial.before.registry or self._clock() - self._applied_at >= self._limits.lease:
            return True
        said_at = self._flood.state.registry_contact_at
        if said_at is not None and said_at > self._applied_at:
            return True
        return await self._from_registry() not in {0, self._received}

    async def _from_registry(self) -> int:
        """Return how many bytes came from the registry: WireGuard counts what was authentic."""
        root = self.package.plan.root
        if root is None:
            return 0
        peers = (await self._work(self._upkeep.host.peer_status)).get(root.interface, ())
        return sum(each.received for each in peers)

    def _is_registry_elsewhere(self, status: CellStatus) -> bool:
        """Whether a cell that answers us hears the registry itself."""
        answering = {each.cell for each in status.paths if each.answers}
        answering |= {link.cell for link in status.links if link.works}
        said = (self._flood.state.database.status(cell) for cell in answering)
        return any(each.registry for each in said if each is not None)

    def _announced_generation(self) -> int:
        said = self._flood.state.database.registry_announcement()
        running = self.package.manifest.generation
        return said.cells.get(self._flood.state.cell, running) if said else running

    async def _answer(
        self,
        phase: Phase,
        generation: int,
        reason: str = "",
        *,
        offer: int | None = None,
        news: Mapping[str, object] | None = None,
    ) -> None:
        """Tell how it went, after that and what else is `news` is remembered."""
        ack = Ack(
            generation=generation,
            phase=phase,
            running=self.package.manifest.generation,
            reason=reason,
            offer=self.standing.memory.offer if offer is None else offer,
        )
        await self._remember(ack=ack, **(news or {}))
        self._flood.originate(ack, Kind.ACK)

    async def remember_lans(self) -> None:
        """Remember that the cell has been in all of its LANs."""
        lans = own_lans(self.package)
        if set(lans) != set(self.standing.memory.lans):
            await self._remember(lans=lans)

    async def _remember(self, **news: object) -> None:
        memory = self.standing.memory
        changed: PersistentState = replace(
            memory, words=self._flood.state.last_registry_messages() or memory.words, **news
        )
        changed = replace(changed, handled=max(changed.handled, memory.handled))
        self.standing = replace(self.standing, memory=changed)
        try:
            await self._work(self._ledger.remember, changed)
        except UnoError as error:
            # The disk is full: this process remembers, and the next one may do something twice.
            _log.warning("%s", error)

    async def _reload(self) -> None:
        memory = self.standing.memory
        self.standing = replace(await self._work(self._ledger.standing), memory=memory)
