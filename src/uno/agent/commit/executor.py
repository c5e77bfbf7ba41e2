"""Executes the commands of `commit.commit_machine` on the ledger, the host and the bus.

Only one of these coroutines runs at a time.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING, TypeAlias, assert_never

from msgspec.structs import replace

from uno.agent.commit.commit_machine import (
    Acknowledge,
    Activate,
    Activated,
    ActivationFailed,
    Applied,
    Apply,
    ApplyFailed,
    CellState,
    Cleanup,
    CleanupAdvanced,
    CommitCommand,
    CommitEvent,
    CommitState,
    Confirm,
    Confirmed,
    ConfirmLimits,
    Discard,
    Discarded,
    InstalledPackage,
    LansAttached,
    LinksReleased,
    MessagesReceived,
    Observe,
    OfferRefused,
    OfferStaged,
    PackageInstalled,
    PendingPut,
    Persist,
    PutPending,
    ReachabilityObserved,
    ReceivedActivation,
    ReconcileFailed,
    RecordPending,
    ReleaseLinks,
    RestoreMessages,
    RevertHost,
    RollBack,
    RolledBack,
    Stage,
    Started,
    step,
)
from uno.agent.commit.control_path import moves_control, moves_root_vpn
from uno.agent.commit.drain_plan import (
    DeferredLinks,
    DrainSchedule,
    deferred,
    link_name,
    with_deferred,
)
from uno.agent.commit.drain_runner import DrainRunner, RemainingSteps
from uno.agent.commit.ledger import TrustRecord
from uno.agent.commit.package_checks import require_keys, require_new_lans
from uno.agent.commit.reachability import detection_time, observed
from uno.diagnostics import InternalError, UnoError
from uno.model.key_ids import cell_sealing
from uno.model.messages import REGISTRY, Envelope, Kind
from uno.model.net import Network
from uno.model.trust import TrustUpdate, obeying, replaced_keys
from uno.ports.host import RemoveTunnel
from uno.render import package_file
from uno.statesync.envelope import unseal

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from uno.agent.blocking import RunBlocking
    from uno.agent.commit.commit_machine import PendingCommit
    from uno.agent.commit.ledger import AcceptOutcome, InstallRequest, Ledger
    from uno.agent.host_loop.host_reconciler import HostReconciler
    from uno.agent.state_sync.flood_runner import FloodRunner
    from uno.model.package import Package
    from uno.model.status import CellStatus
    from uno.ports.prober import ProbeResults

_log = logging.getLogger(__name__)

# Commands after which the agent follows another package, or other links.
_CHANGING = (Activate, PutPending, RecordPending, RollBack, ReleaseLinks, Discard, Confirm)

# Joins the bus as the cell of a package. Raises `UnoError`.
JoinBus: TypeAlias = Callable[["Package"], None]

# Checks that this host can run a package (the second) instead of the one that it runs. Blocks.
# Raises `UnoError`.
CheckHost: TypeAlias = Callable[["Package", "Package", Collection[int]], None]

# Observes the host, and returns the status of the cell and what the prober has measured.
ObserveCell: TypeAlias = Callable[[], Awaitable[tuple["CellStatus", "ProbeResults"]]]


class CommitExecutor:
    """The packages of one cell.

    `package` is the one that runs, `state` how the change stands, `problems` what could not be
    recorded.
    """

    def __init__(  # noqa: PLR0913 - its collaborators
        self,
        package: Package,
        *,
        ledger: Ledger,
        reconciler: HostReconciler,
        flood: FloodRunner,
        run_blocking: RunBlocking,
        clock: Callable[[], float],
        wall: Callable[[], float],
        observe: ObserveCell,
        proved_at: Callable[[], float | None],
        forwarded: Callable[[], frozenset[Network]],
        join_bus: JoinBus,
        check_host: CheckHost,
        limits: ConfirmLimits,
    ) -> None:
        """Continue from the state of `ledger`, whose current package is `package`.

        `clock` is monotonic, `wall` returns the seconds since the epoch. `proved_at` returns when
        the proof of forwarding in the status was begun, if it proves anything; `forwarded`, the
        LANs that the newest proof of each has shown to be forwarded.
        """
        self.package = package
        self.problems: tuple[str, ...] = ()
        self._trust = ledger.trust()
        self._deferred = ledger.deferred()
        self._ledger = ledger
        self._reconciler = reconciler
        self._flood = flood
        self._run_blocking = run_blocking
        self._clock = clock
        self._wall = wall
        self._observe = observe
        self._proved_at = proved_at
        self._forwarded = forwarded
        self._join_bus = join_bus
        self._check_host = check_host
        self._drain_runner = DrainRunner(
            host=reconciler.host,
            progress=lambda step: _log.info("%s", step),
            pause=reconciler.stopping.wait,
            now=clock,
            cancelled=reconciler.stopping.is_set,
        )
        self._accepted = package
        self._on_host = self.effective
        self._remaining: RemainingSteps | None = None
        self.state = CommitState(
            cell=package.plan.cell,
            ledger=self._with_deferred_names(ledger.cell_state()),
            limits=limits,
            applied_at=clock(),
        )

    @property
    def effective(self) -> Package:
        """The running package, with the links that are deferred in place of its own."""
        return obeying(with_deferred(self.package, self._deferred_now), self._trust.update)

    @property
    def is_revoked(self) -> bool:
        """Whether the registry has revoked the keys of this cell that the running package has."""
        update, generation = self._trust.update, self.package.manifest.generation
        return self._trust.statement is not None and self.state.cell in update.revoked_cells(
            generation
        )

    @property
    def interfaces_to_remove(self) -> tuple[str, ...]:
        """The interfaces of links that are to be removed, and carry traffic until then."""
        left = self._remaining.steps[0].package.plan.links if self._remaining else ()
        planned = {link.cell for link in self.package.plan.links}
        return tuple(link.interface for link in left if link.cell not in planned)

    @property
    def awaiting_confirm(self) -> bool:
        """Whether the running package is not confirmed yet."""
        return self.state.pending is not None

    @property
    def links_settled_at(self) -> float:
        """When a link that the last change has broken is known to be down."""
        return self.state.applied_at + detection_time(self.package.plan, self.package.roster)

    @property
    def cleanup_due(self) -> float | None:
        """When the next step of removing the package before is due; None if nothing is left."""
        return self._remaining.due if self._remaining else None

    # What the agent reports. Each returns whether packages or links changed.

    async def start(self) -> None:
        """Report that the running package is applied, by this process or one before it."""
        request = self._unanswered(await self._run_blocking(self._ledger.install_request))
        event = Started(
            now=self._clock(),
            registry_bytes=await self._registry_bytes(),
            registry_sequence=self._registry_sequence,
            installed=self._installed(self.package, request) if request else None,
        )
        await self._handle(event)

    async def obey(self) -> bool:
        """Obey the registry's newest statement on trust; return whether the package changed.

        One that cannot be recorded is obeyed all the same, until this process ends.
        """
        database = self._flood.state.database
        statement = database.newest(Kind.TRUST, REGISTRY)
        if statement is None or statement == self._trust.statement:
            return False
        self._trust = TrustRecord(update=database.trust(), statement=statement)
        package = obeying(self.package, self._trust.update)
        self._accepted = obeying(self._accepted, self._trust.update)
        is_changed = package != self.package
        if is_changed:
            _log.warning("the registry has revoked keys: %s", _revoked(self.package, package))
            # What is left of the change before has links in it that are revoked.
            self._remaining = None
            self._follow(package)
            await self._handle(CleanupAdvanced(cleanup=self._cleanup))
        try:
            await self._run_blocking(self._ledger.obey, self._trust.update, statement)
            self._trust = await self._run_blocking(self._ledger.trust)
        except UnoError as error:
            _log.warning("%s", error)
        return is_changed

    def restore_trust(self) -> None:
        """Accept and flood the registry's last statement on trust, before any other message."""
        if self._trust.statement is not None:
            self._flood.restore((self._trust.statement,))

    async def receive_messages(self) -> bool:
        """Report the newest messages of the registry. Raises `UnoError`."""
        database, cell = self._flood.state.database, self.state.cell
        offer = database.newest(Kind.OFFER, cell)
        envelope = database.newest(Kind.ACTIVATION, REGISTRY)
        activation, announcement = database.activation(), database.registry_announcement()
        running = self.state.ledger.running
        return await self._handle(
            MessagesReceived(
                offer=offer.sequence if offer else 0,
                activation=ReceivedActivation(
                    activation=activation,
                    sequence=envelope.sequence,
                    received_at=database.received_at(Kind.ACTIVATION, REGISTRY),
                )
                if envelope and activation
                else None,
                announced=announcement.cells.get(cell, running) if announcement else None,
            )
        )

    async def find_installed(self) -> bool:
        """Report a package that a person installed. Raises `UnoError`."""
        found = await self._run_blocking(self._ledger.current)
        request = self._unanswered(await self._run_blocking(self._ledger.install_request))
        if found is None or (found.manifest == self.package.manifest and request is None):
            return False
        installed = self._installed(found, request)
        if found.manifest != self.package.manifest:
            _log.info("generation %s was installed by hand", installed.generation)
            installed = replace(installed, refusal=await self._refusal(found))
            self._accepted = found
        return await self._handle(PackageInstalled(installed=installed))

    def _unanswered(self, request: InstallRequest | None) -> InstallRequest | None:
        verdict = self.state.persistent.verdict
        return None if request and verdict and verdict.install == request.install else request

    def _installed(self, found: Package, request: InstallRequest | None) -> InstalledPackage:
        return InstalledPackage(
            generation=found.manifest.generation,
            install=request.install if request else "",
            keep=request.keep if request else False,
            moves_control=moves_control(self.package, found),
        )

    async def _refusal(self, found: Package) -> str:
        """Return why this host cannot run an installed package, empty if it can."""
        try:
            await self._run_blocking(self._check, found)
        except UnoError as error:
            _log.warning("refused generation %s: %s", found.manifest.generation, error)
            return error.what
        return ""

    async def report_observed(self, status: CellStatus, probes: ProbeResults) -> bool:
        """Report the status of the cell, and what the prober has measured. Raises `UnoError`."""
        return await self._handle(await self._observed(status, probes))

    async def report_failure(self, reason: str) -> None:
        """Report that the host cannot be reconciled with the package of the pending commit."""
        await self._handle(
            ReconcileFailed(reason=reason, registry_sequence=self._registry_sequence)
        )

    async def report_lans(self) -> None:
        """Report that the host is attached to all LANs of the cell."""
        await self._handle(LansAttached(lans=self.package.own.lans))

    async def advance_cleanup(self) -> None:
        """Take the next step of removing the package before. Raises `UnoError`."""
        remaining, self._remaining = self._remaining, None
        try:
            if remaining is not None:
                self._remaining = await self._run_blocking(self._proceed, remaining)
        finally:
            await self._handle(CleanupAdvanced(cleanup=self._cleanup))

    # Executing commands.

    async def _handle(self, event: CommitEvent) -> bool:
        self.state, commands = step(self.state, event)
        changed = False
        for command in commands:
            changed = changed or isinstance(command, _CHANGING)
            result = await self._execute(command)
            if result is not None:
                changed = await self._handle(result) or changed
        return changed

    async def _execute(  # noqa: C901, PLR0911, PLR0912 - one for each command
        self, command: CommitCommand
    ) -> CommitEvent | None:
        match command:
            case Observe():
                return await self._observed(*await self._observe())
            case Stage():
                return await self._stage()
            case Activate():
                return await self._activate(command)
            case Apply():
                return await self._apply(command)
            case RollBack():
                return await self._roll_back(command)
            case ReleaseLinks():
                return await self._release(command)
            case Discard():
                await self._run_blocking(self._ledger.discard)
                return Discarded(sequence=command.sequence, ledger=await self._read_ledger())
            case PutPending():
                await self._run_blocking(self._ledger.put_pending, command.pending)
                return PendingPut(pending=command.pending)
            case RecordPending():
                await self._record_pending(command.pending)
            case Confirm():
                await self._run_blocking(self._ledger.confirm)
                _log.info("generation %s is confirmed", command.generation)
                return Confirmed(ledger=await self._read_ledger())
            case RevertHost():
                await self._revert_host()
            case Persist():
                await self._persist(command)
            case RestoreMessages():
                self._flood.restore(command.messages)
            case Acknowledge():
                self._flood.originate(command.ack, Kind.ACK)
            case _:
                assert_never(command)
        return None

    async def _stage(self) -> CommitEvent:
        envelope = self._flood.state.database.newest(Kind.OFFER, self.state.cell)
        if envelope is None:
            raise InternalError("an offer was dropped from the state database")
        sequence, generation = envelope.sequence, None
        try:
            content = await self._run_blocking(self._unseal, envelope)
            generation = package_file.read_manifest(content).generation
            outcome = await self._run_blocking(self._verify_and_stage, content)
        except UnoError as error:
            _log.warning("refused a package that was offered: %s", error)
            return OfferRefused(sequence=sequence, reason=error.what, generation=generation)
        if outcome != "same":
            _log.info("generation %s is staged", generation)
        return OfferStaged(
            sequence=sequence,
            generation=generation,
            is_running=outcome == "same",
            ledger=await self._read_ledger(),
        )

    def _unseal(self, envelope: Envelope) -> bytes:
        plan = self.package.plan
        key = self.package.secrets[cell_sealing(plan.cell)]
        return unseal(envelope.body, private_key=key, identity=plan.identity, cell=plan.cell)

    def _verify_and_stage(self, content: bytes) -> AcceptOutcome:
        self._check(package_file.read(content))
        return self._ledger.stage(content)

    def _check(self, offered: Package) -> None:
        """Raise `UnoError` if this host cannot run `offered`."""
        require_keys(offered)
        require_new_lans(offered, self.package, self._reconciler.host.facts().nics)
        tunnels = self._reconciler.host.observe(()).tunnels
        own_ports = [each.port for each in tunnels if each.port is not None]
        self._check_host(self.package, offered, own_ports)

    async def _activate(self, command: Activate) -> CommitEvent:
        generation = command.pending.generation
        try:
            await self._defer(generation, command.schedule)
            self._accepted = await self._run_blocking(self._ledger.activate, command.pending)
        except UnoError as error:
            _log.warning("cannot change to generation %s: %s", generation, error)
            return ActivationFailed(command=command, reason=error.what)
        return Activated(command=command)

    async def _apply(self, command: Apply) -> CommitEvent:
        old, new, generation = self.effective, self._accepted, command.generation
        _log.info("changing from generation %s to %s", old.manifest.generation, generation)
        try:
            await self._switch(old, new, command.schedule)
        except UnoError as error:
            _log.warning("generation %s cannot be applied: %s", generation, error)
            return ApplyFailed(generation=generation, reason=error.what)
        moves = moves_control(self.package, new)
        # What comes from here on has come the new way, also while the rest is recorded.
        sequence = self._registry_sequence
        self._follow(new)
        try:
            self._join_bus(new)
        except UnoError as error:
            if moves:
                _log.warning("generation %s cannot join the bus: %s", generation, error)
                return ApplyFailed(generation=generation, reason=error.what, host_changed=True)
        return Applied(
            now=self._clock(),
            registry_bytes=await self._registry_bytes(),
            registry_sequence=sequence,
            cleanup=self._cleanup,
            ledger=await self._read_ledger(),
        )

    async def _release(self, command: ReleaseLinks) -> CommitEvent:
        old = self.effective
        _log.info("changing links that were deferred")
        try:
            await self._defer(command.generation, command.schedule)
            await self._switch(old, self.effective, command.schedule)
        except UnoError as error:
            _log.warning("links that were deferred cannot be changed: %s", error)
        return LinksReleased(cleanup=self._cleanup, ledger=await self._read_ledger())

    async def _roll_back(self, command: RollBack) -> CommitEvent:
        reason = command.reason
        _log.warning("rolling back from generation %s: %s", command.generation, reason)
        self._on_host = self.effective
        before = await self._run_blocking(self._ledger.roll_back)
        if before.manifest != self.package.manifest:
            self._follow(before)
        return RolledBack(command=command, ledger=await self._read_ledger(), at=int(self._wall()))

    async def _revert_host(self) -> None:
        self._remaining = None
        try:
            await self._switch(self._on_host, self.effective, DrainSchedule(at_once=True))
        except UnoError as error:
            generation = self.package.manifest.generation
            _log.warning("generation %s cannot be applied: %s", generation, error)

    async def _switch(self, old: Package, new: Package, schedule: DrainSchedule) -> None:
        self._remaining = await self._run_blocking(self._begin, old, new, schedule)

    def _begin(self, old: Package, new: Package, schedule: DrainSchedule) -> RemainingSteps | None:
        with self._reconciler.host_lock():
            if old.plan.root is not None and moves_root_vpn(old, new):
                # Its session must not outlive the change. It is created again with what is new.
                self._reconciler.host.perform(RemoveTunnel(old.plan.root.interface))
            done, remaining = self._drain_runner.begin(old, new, schedule)
        self._reconciler.note_done(done)
        return remaining

    def _proceed(self, remaining: RemainingSteps) -> RemainingSteps | None:
        if self._drain_runner.must_wait(remaining):
            return remaining
        with self._reconciler.host_lock():
            done, left = self._drain_runner.proceed(remaining)
        self._reconciler.note_done(done)
        return left

    def _follow(self, package: Package) -> None:
        self.package = package
        self._flood.follow(package)

    async def _record_pending(self, pending: PendingCommit) -> None:
        try:
            await self._run_blocking(self._ledger.put_pending, pending)
        except UnoError as error:
            _log.warning("%s", error)

    async def _persist(self, command: Persist) -> None:
        messages = self._flood.state.last_registry_messages()
        state = replace(
            command.state,
            last_registry_messages=messages or command.state.last_registry_messages,
        )
        before, self.problems = self.problems, ()
        try:
            await self._run_blocking(self._ledger.persist, state)
        except UnoError as error:
            self.problems = (error.what,)
            if self.problems != before:
                _log.warning("%s", error)

    # What events report.

    async def _read_ledger(self) -> CellState:
        return self._with_deferred_names(await self._run_blocking(self._ledger.cell_state))

    def _with_deferred_names(self, state: CellState) -> CellState:
        links = self._deferred.get(state.running, DeferredLinks()).links
        return replace(
            state, deferred=frozenset(link_name(self.package.plan, link) for link in links)
        )

    @property
    def _deferred_now(self) -> DeferredLinks:
        return self._deferred.get(self.package.manifest.generation, DeferredLinks())

    async def _defer(self, generation: int, schedule: DrainSchedule) -> None:
        """Defer links under a generation, beside those deferred under the running one.

        None to a cell that has another signing key from that generation on: it had to be replaced.
        """
        staged = await self._run_blocking(self._ledger.staged)
        revoked = TrustUpdate(cells=replaced_keys(self.package, staged) if staged else ())
        kept = deferred(obeying(self.effective, revoked), schedule.hold)
        both = {self.package.manifest.generation: self._deferred_now, generation: kept}
        await self._run_blocking(self._ledger.defer, both)
        self._deferred = both

    @property
    def _cleanup(self) -> Cleanup:
        if self.interfaces_to_remove:
            return Cleanup.LINKS
        return Cleanup.FILTERS if self._remaining else Cleanup.DONE

    @property
    def _registry_sequence(self) -> int:
        return self._flood.state.database.highest_sequence(REGISTRY)

    async def _registry_bytes(self) -> int | None:
        """Return how many bytes came from the registry: WireGuard counts authentic ones only.

        None if WireGuard cannot be queried, which must not keep a change from being recorded.
        """
        root = self.package.plan.root
        if root is None:
            return 0
        try:
            peers = await self._run_blocking(self._reconciler.host.peer_status)
        except UnoError as error:
            _log.warning("%s", error)
            return None
        return sum(each.received for each in peers.get(root.interface, ()))

    async def _observed(self, status: CellStatus, probes: ProbeResults) -> ReachabilityObserved:
        flood, package = self._flood.state, self.package
        return ReachabilityObserved(
            now=self._clock(),
            reachability=observed(
                status.links, registry=self._flood.registry_present, lans=self._forwarded()
            ),
            unforwarded=frozenset(lan.network for lan in status.lans if lan.forwards is False),
            proved_at=self._proved_at(),
            planned=frozenset(link.cell for link in package.plan.links),
            answered={
                link.cell: probes[link.remote4].last_answered if link.remote4 in probes else None
                for link in self.effective.plan.links
            },
            detection=detection_time(package.plan, package.roster),
            registry_elsewhere=self._is_registry_elsewhere(status),
            registry_bytes=await self._registry_bytes() if self.awaiting_confirm else None,
            registry_is_local=package.plan.root is not None
            and _is_of_this_host(package.plan.root.remote4),
            registry_sequence=self._registry_sequence,
            registry_contact=flood.registry_contact,
            had_registry=self._flood.had_registry(within=self.state.limits.lease),
            names={each.id: each.name for each in package.roster.members},
        )

    def _is_registry_elsewhere(self, status: CellStatus) -> bool:
        """Whether a cell that this one reaches reaches the registry itself."""
        reached = {each.cell for each in status.paths if each.answers}
        reached |= {link.cell for link in status.links if link.works}
        statuses = (self._flood.state.database.status(cell) for cell in reached)
        return any(each.registry for each in statuses if each is not None)


def _revoked(before: Package, after: Package) -> str:
    """Return the names of the cells and particles that `after` lacks keys of, as text."""
    keys = {member.id: member.sign_key for member in after.roster.members}
    cells = [it.name for it in before.roster.members if it.sign_key and not keys.get(it.id)]
    kept = {peer.particle.id for peer in after.particles}
    gone = [it.particle.name for it in before.particles if it.particle.id not in kept]
    return ", ".join((*(f"cell {name}" for name in cells), *(f"particle {name}" for name in gone)))


def _is_of_this_host(address: IPv4Address) -> bool:
    """Whether this host has an address: an agent of the registry may run beside that of a cell."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
        return True
