"""The agent of a cell: reconciles its host with the running package, and advertises its status.

The agent reconciles on every change of the host's network, on request, and once a minute. It checks
each second for changes of which the kernel does not notify. It observes the whole host each time
and keeps no plan of its own. In between it observes links and
routes, and advertises what changes.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import replace

from uno import control, files
from uno.agent.commit.commit_machine import Cleanup
from uno.agent.commit.drain_runner import POLL_INTERVAL
from uno.agent.commit.executor import CommitExecutor
from uno.agent.commit.ledger import CURRENT, INSTALL
from uno.agent.host_loop import cell_status
from uno.agent.host_loop.forwarding_check import ForwardingCheck
from uno.agent.host_loop.host_reconciler import HostReconciler, PassOutcome
from uno.agent.host_loop.network_files import NetworkFiles
from uno.agent.loop_timers import LoopTimers
from uno.agent.state_sync.bus_watchdog import BusWatchdog
from uno.agent.state_sync.directory_file import DirectoryFile
from uno.agent.state_sync.flood_runner import FloodRunner
from uno.agent.state_sync.status_publisher import StatusPublisher
from uno.diagnostics import ActionNeeded, UnoError
from uno.model.messages import REGISTRY, Kind, UvnAnnouncement
from uno.ports.events import NetworkChange
from uno.reconcile import collisions
from uno.reconcile.collisions import Collision
from uno.reconcile.forwarding_proof import proof_plan
from uno.reconcile.lans import attached, require_all
from uno.statesync.state_database import view
from uno.statesync.timers import MAX_AGE, WATCH_LEASE

if TYPE_CHECKING:
    from uno.agent.agent_environment import AgentEnvironment
    from uno.agent.blocking import RunBlocking
    from uno.agent.commit.ledger import Ledger
    from uno.model.net import Network
    from uno.model.network_directory import Directory
    from uno.model.package import Package
    from uno.model.status import CellStatus, CellView, UvnView
    from uno.ports.bus import BusEvent
    from uno.ports.prober import ProbeResults
    from uno.reconcile.forwarding_proof import ProofPlan

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

_REVOKED = "the registry has revoked this cell's keys: a new package must be installed by hand"


class CellAgent:
    """The agent of one cell. For one event loop."""

    def __init__(
        self,
        package: Package,
        *,
        ledger: Ledger,
        environment: AgentEnvironment,
        run_blocking: RunBlocking,
    ) -> None:
        """Serve the cell of `package`, the current package in `ledger`."""
        host, now = environment.host, environment.now
        self._ledger = ledger
        self._environment = environment
        self._intervals = environment.intervals
        self._now = now
        self._run_blocking = run_blocking
        self._reconciler = HostReconciler(host, environment.folder, wall=environment.wall, now=now)
        self._flood = FloodRunner(
            environment.bus,
            package,
            directory=ledger.directory,
            clock=now,
            grace=environment.intervals.registry_grace,
        )
        self._commit = CommitExecutor(
            package,
            ledger=ledger,
            reconciler=self._reconciler,
            flood=self._flood,
            run_blocking=run_blocking,
            clock=now,
            wall=environment.wall,
            observe=self._observe_with_probes,
            proved_at=lambda: self._forwarding.settled_at,
            forwarded=lambda: self._forwarding.forwarded,
            join_bus=self._configure_bus,
            check_host=environment.check_host,
            limits=environment.confirm_limits,
        )
        self._control = control.ControlServer(
            environment.folder / control.SOCKET,
            view=self.view,
            watched=self._watch,
            lans=lambda: self._flood.state.database.lans,
        )
        self._publisher = StatusPublisher(
            self._flood,
            clock=now,
            on_published=self._show,
            awaiting_confirm=lambda: self._commit.awaiting_confirm,
        )
        self._prober = environment.prober(self._probes_changed)
        self._forwarding = ForwardingCheck(
            environment.forwarding_prober,
            plan=self._proof_plan,
            run_blocking=run_blocking,
            proved=self._take_proof,
            now=now,
            retry_after=environment.intervals.observe_every,
        )
        self._bus_watchdog = BusWatchdog()
        self._directory_file = DirectoryFile(ledger.directory)
        self._network_files = NetworkFiles(ledger.directory)
        self._wake = asyncio.Event()
        self._timers = LoopTimers(environment.intervals, now=now())
        self._turned_at = self._started_at = now()
        self._problems: dict[str, str] = {}
        self._watched_until = -math.inf
        # Whether something on the host has changed since the last pass.
        self._has_host_changed = True
        self._last_pass: PassOutcome | None = None
        self._package_mark = self._current_mark()

    async def run(self) -> None:
        """Start, and serve until cancelled. Raises `UnoError` if it cannot start."""
        await self._start()
        environment = self._environment
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_running("control", self._control.serve))
            tasks.create_task(self._keep_running("probes", self._prober.run))
            tasks.create_task(self._keep_running("events", self._watch_network))
            tasks.create_task(self._keep_running("check", self._check_for_changes))
            tasks.create_task(self._keep_running("forwarding", self._forwarding.run))
            if environment.web is not None:
                tasks.create_task(environment.web.run(self.view, self.directory, self._watch))
            if environment.notifications is not None:
                notify = environment.notifications
                notify.configure(self._commit.package)
                tasks.create_task(notify.run(self.view, self.directory))
            tasks.create_task(self._publisher.run_refresh())
            tasks.create_task(self._publisher.run_flooding())
            tasks.create_task(self._notify_watchdog())
            await self._loop()

    def reconcile_now(self) -> None:
        """Reconcile the host now, as something has changed."""
        self._has_host_changed = True
        self._timers.request_reconcile(now=self._now())
        self._wake.set()

    def observe_soon(self) -> None:
        """Observe links and routes, since they have changed."""
        self._timers.request_observe(now=self._now())
        self._wake.set()

    def _probes_changed(self) -> None:
        """Observe, as a target begins or ceases to answer: the sessions of a link follow."""
        self._timers.expect_sessions(now=self._now())
        self.observe_soon()

    def close(self) -> None:
        """Leave the bus, and let the running step on the host complete."""
        self._reconciler.stopping.set()
        self._environment.bus.close()
        if self._environment.web is not None:
            self._environment.web.close()
        with suppress(UnoError):
            self._forwarding.close()

    def view(self) -> UvnView:
        """Return the whole UVN as this cell sees it."""
        package, flood = self._commit.package, self._flood.state
        cell, generation = package.plan.cell, package.manifest.generation
        seen = view(
            flood.database,
            flood.database.registry_announcement()
            or UvnAnnouncement(generation=generation, cells={cell: generation}),
            uvn=package.plan.uvn,
            viewer=cell,
            registry=self._flood.registry_present,
            now=self._now(),
        )
        seen = replace(seen, cells=tuple(map(self._with_own_status, seen.cells)))
        elsewhere = any(each.alive and each.status and each.status.registry for each in seen.cells)
        # What other cells report counts while the registry's own messages arrive through them.
        age = flood.database.contact_age(REGISTRY, now=self._now())
        is_relayed = elsewhere and age is not None and age <= MAX_AGE
        return replace(seen, registry=True) if is_relayed else seen

    def directory(self) -> Directory | None:
        """Return the registry's public facts, None if none were received."""
        return self._flood.state.database.directory()

    def _with_own_status(self, cell: CellView) -> CellView:
        """Return the cell with all that was observed last, if it is this one."""
        status = self._publisher.status
        if cell.id != self._commit.package.plan.cell or status is None:
            return cell
        return replace(cell, status=status, status_age=0.0)

    def _watch(self) -> None:
        """Have all cells advertise what they measure, as somebody watches the UVN here."""
        was_watched = self._is_watched_here
        self._watched_until = self._now() + WATCH_LEASE
        if not was_watched:
            self._forwarding.request_after(self._intervals.reconcile_every)
            self.observe_soon()

    @property
    def _is_watched_here(self) -> bool:
        return self._now() < self._watched_until

    @property
    def _is_measuring(self) -> bool:
        """Whether probes are sent often: someone watches, or a commit awaits what they show."""
        is_watched = self._is_watched_here or self._flood.state.is_watched(now=self._now())
        return is_watched or self._commit.awaiting_confirm

    # Start.

    async def _start(self) -> None:
        await self._wait_for_lans()
        await self._reconcile_first()
        self._commit.restore_trust()
        self._flood.restore(await self._run_blocking(self._directory_file.read))
        self._flood.subscribe()
        self._join_bus()
        # The network is up: what fails from here on is a problem to report, not an end.
        await self._try("commit", self._commit.start)
        await self._try("observe", self._observe)
        manifest = self._commit.package.manifest
        name, generation = f"{manifest.cell_name} of {manifest.uvn}", manifest.generation
        _log.info("%s is up, generation %s", name, generation)
        self._notify(f"READY=1\nSTATUS={name}, generation {generation}")

    async def _wait_for_lans(self) -> None:
        """Wait for LANs that come up late at boot; continue without one that was attached before.

        Raises `UnoError` for a LAN that this host has never been attached to, and for any LAN
        without a supervisor: then a person at a terminal can mend it.
        """
        supervised, package = self._environment.notify is not None, self._commit.package
        timeout = self._intervals.lan_timeout if supervised else 0.0
        deadline = self._now() + timeout
        while missing := await self._run_blocking(self._reconciler.missing, package):
            was_attached = set(missing) <= set(self._commit.state.persistent.lans)
            if was_attached and await self._run_blocking(self._reconciler.is_up):
                return
            if self._now() >= deadline:
                if was_attached and supervised:
                    return
                nics = (await self._run_blocking(self._environment.host.facts)).nics
                require_all(package.own.lans, nics)
            self._notify(f"STATUS=waiting for {_listed(missing)}")
            await asyncio.sleep(min(1.0, timeout / 10))

    async def _reconcile_first(self) -> None:
        try:
            await self._reconcile()
        except UnoError as error:
            if self._commit.awaiting_confirm:
                await self._commit.report_failure(error.what)
                await self._reconcile()
            elif not await self._run_blocking(self._reconciler.is_up):
                raise
            else:
                self._warn_once("reconcile", error)

    # The loop.

    async def _loop(self) -> None:
        while True:
            due = self._timers.next_due(
                now=self._now(), cleanup_due=self._commit.cleanup_due, poll=POLL_INTERVAL
            )
            try:
                async with asyncio.timeout(max(0.0, due - self._now())):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            self._turned_at = self._now()
            await self._turn()

    async def _turn(self) -> None:
        """Do all that is due; what can change the package comes first."""
        if await self._try("trust", self._commit.obey):
            self._follow_package()
            await self._try("reconcile", self._reconcile)
        if await self._try("commit", self._advance_commit):
            self._follow_package()
        due = self._commit.cleanup_due
        if due is not None and due <= self._now():
            await self._try("commit", self._commit.advance_cleanup)
            if self._commit.cleanup_due is None or not self._commit.state.is_under_way:
                self.reconcile_now()
        if self._timers.is_reconcile_due(now=self._now()):
            await self._try("reconcile", self._reconcile)
            self._join_bus()
        if self._timers.are_sessions_due(now=self._now()):
            await self._try("sessions", self._compare_sessions)
        if self._timers.is_observe_due(now=self._now()):
            await self._try("observe", self._observe)

    async def _try(self, what: str, work: Callable[[], Awaitable[_T]]) -> _T | None:
        """Do what can fail without ending the agent."""
        try:
            done = await work()
        except UnoError as error:
            self._warn_once(what, error)
            self._timers.observe_within(self._retry_after(what, error), now=self._now())
            return None
        self._problems.pop(what, None)
        return done

    def _retry_after(self, what: str, error: UnoError) -> float:
        """Return the seconds within which to observe after `what` failed.

        An observation that fails until a person acts is not tried at the quick interval, unless a
        pending commit depends on it.
        """
        is_quick = error.transient or what != "observe" or self._commit.awaiting_confirm
        return self._intervals.observe_every if is_quick else self._intervals.reconcile_every

    async def _advance_commit(self) -> bool:
        """Report what is new to the commit machine; return whether packages or links changed.

        What fails is tried again at the next observation. Raises `UnoError`.
        """
        commit = self._commit
        answered = commit.state.answered
        changed = await self._find_installed()
        changed = await commit.receive_messages() or changed
        if not changed and commit.awaiting_confirm and self._timers.is_observe_due(now=self._now()):
            changed = await commit.report_observed(*await self._observe_with_probes())
            if not self._forwarding.has_proved_since(commit.state.applied_at):
                self._forwarding.request()
        if commit.state.answered != answered:
            self._timers.request_observe(now=self._now())
        if changed or commit.state.answered != answered:
            # Messages that had to wait have their turn.
            self._wake.set()
        return changed

    async def _find_installed(self) -> bool:
        commit, mark = self._commit, self._current_mark()
        is_busy = commit.awaiting_confirm or commit.state.cleanup is not Cleanup.DONE
        if mark == self._package_mark:
            return False
        if is_busy and mark[0] != self._package_mark[0]:
            # The agent replaces the package itself as well.
            found = await self._run_blocking(self._ledger.current)
            if found is None or found.manifest != commit.package.manifest:
                return False
        self._package_mark = mark
        return await commit.find_installed()

    def _follow_package(self) -> None:
        """Have everything follow the package and the links that are in force."""
        if self._environment.notifications is not None:
            self._environment.notifications.configure(self._commit.package)
        self._timers.request_observe(now=self._now())
        self._poll_faster()
        self._publisher.wake_flooding()
        self._join_bus()
        if self._commit.awaiting_confirm:
            self._prober.probe_now(link.remote4 for link in self._commit.effective.plan.links)
            self._forwarding.request()
        else:
            self.reconcile_now()

    async def _reconcile(self) -> None:
        """Reconcile the host with the running package. Raises `UnoError`."""
        cleanup_due = self._commit.cleanup_due
        if not self._timers.begin_reconcile(now=self._now(), cleanup_due=cleanup_due):
            return
        package, has_changed = self._commit.effective, self._has_host_changed
        self._has_host_changed = False
        done = self._last_pass = await self._run_blocking(self._reconciler.reconcile, package)
        is_due = has_changed or done.actions or self._is_measuring
        rest = self._intervals.prove_after(package.roster.timing_of(package.plan.cell))
        if is_due:
            self._forwarding.request_after(0.0)
        else:
            metered = self._intervals.prove_metered_every
            self._forwarding.request_after(rest, metered_after=metered)
        if done.again:
            self._timers.retry_routing(now=self._now())
        if done.actions:
            self._poll_faster()
        self._note_missing(done.missing)
        self._note_collisions(done.collisions)
        self._serve_page(done)
        if not done.missing:
            await self._commit.report_lans()
        if package.plan.root:
            await self._run_blocking(self._reconciler.find_registry, package.plan.root.interface)

    def _note_missing(self, lans: tuple[Network, ...]) -> None:
        if lans:
            error = ActionNeeded(f"the host has no interface on {_listed(lans)}")
            self._warn_once("lans", error)
        elif self._problems.pop("lans", None):
            _log.info("all LANs are attached again")

    def _note_collisions(self, found: tuple[Collision, ...]) -> None:
        if found:
            self._warn_once("collisions", ActionNeeded(collisions.summary(found)))
        elif self._problems.pop("collisions", None):
            _log.info("no network of the host is a prefix of the UVN any more")

    async def _observe(self) -> CellStatus:
        """Observe the host, advertise what is new, and return the status of the cell."""
        commit = self._commit
        self._timers.begin_observe()
        status = await self._run_blocking(self._collect_status)
        links = self._flood.state.note_links(status.links, now=self._now())
        status = replace(status, links=links)
        self._log_obstacles(status)
        before = self._publisher.status
        status = self._with_mended_links(status, before)
        if _working(status) != _working(before) or status.obstacles != _obstacles(before):
            self._forwarding.request()
        is_pending = commit.awaiting_confirm
        self._timers.end_observe(
            now=self._now(),
            fast=is_pending,
            also_at=(
                commit.links_settled_at if is_pending else None,
                self._flood.state.registry.changes_at(),
            ),
        )
        if self._publisher.update(status):
            self._poll_faster()
        self._await_sessions(status)
        self._prober.set_watched(watched=self._is_measuring)
        if not any(link.bgp for link in status.links) and status.links:
            # FRR does not answer. Any other failure comes as an event of the network.
            self._timers.routing_is_silent()
        await self._follow_observed(status)
        if self._all_problems != status.problem:
            # It is advertised with the next status.
            self._timers.observe_within(self._intervals.observe_fast, now=self._now())
        return status

    def _with_mended_links(self, status: CellStatus, before: CellStatus | None) -> CellStatus:
        """Return the status with the losses of links that work again counted from now on.

        Probes that were lost while a link was down do not count for it.
        """
        mended = _working(status) - _working(before) if before is not None else frozenset()
        if not mended:
            return status
        links = self._commit.effective.plan.links
        self._prober.restart(link.remote4 for link in links if link.interface in mended)
        return replace(
            status,
            links=tuple(
                replace(link, loss=None) if link.interface in mended else link
                for link in status.links
            ),
        )

    def _await_sessions(self, status: CellStatus) -> None:
        missing = not all(link.works for link in status.links)
        self._timers.await_sessions(now=self._now(), missing=missing)

    async def _compare_sessions(self) -> None:
        """Observe if sessions of links have come up or gone down since the last observation."""
        status, package = self._publisher.status, self._commit.effective
        sessions = await self._run_blocking(self._environment.host.session_status)
        if status is None or cell_status.working_links(package, sessions) != _working(status):
            self._timers.request_observe(now=self._now())
        else:
            self._await_sessions(status)

    async def _follow_observed(self, status: CellStatus) -> None:
        """Do what follows from a status; a failure is reported, and ends nothing else."""
        effective, package = self._commit.effective, self._commit.package
        others = self._flood.state.database.statuses()
        facts = self._flood.state.database.newest(Kind.DIRECTORY, REGISTRY)
        calls = {
            "links": partial(self._reconciler.maintain_links, effective, status.links),
            "files": partial(self._network_files.write, package, status, others),
            "directory": partial(self._directory_file.keep, facts),
        }
        for what, error in (await self._run_blocking(_tried, calls)).items():
            if error is not None:
                self._warn_once(what, error)
            else:
                self._problems.pop(what, None)

    @property
    def _all_problems(self) -> str:
        """Everything that fails at present, as one text, each once."""
        environment = self._environment
        beside = (environment.bus, environment.web, environment.notifications)
        found = (
            *(*self._problems.values(), *self._flood.problems, *self._commit.problems),
            *(each.problem for each in beside if each is not None),
        )
        if self._commit.is_revoked:
            found = (_REVOKED, *found)
        return "; ".join(dict.fromkeys(filter(None, found)))

    def _log_obstacles(self, status: CellStatus) -> None:
        known = _obstacles(self._publisher.status)
        for each in status.obstacles:
            if each not in known:
                _log.warning("in the way of what this cell forwards: %s", each)
        if known and not status.obstacles:
            _log.info("nothing is in the way of what this cell forwards any more")

    async def _observe_with_probes(self) -> tuple[CellStatus, ProbeResults]:
        return await self._observe(), self._prober.results()

    def _collect_status(self) -> CellStatus:
        commit, environment, done = self._commit, self._environment, self._last_pass
        package, interfaces_to_remove = commit.package, commit.interfaces_to_remove
        interfaces = (
            *(link.interface for link in commit.effective.plan.links),
            *interfaces_to_remove,
        )
        inputs = cell_status.StatusInputs(
            facts=done.facts if done else environment.host.facts(),
            now=int(environment.wall()),
            probes=self._prober.results(),
            routed=environment.watch.destinations_via(interfaces),
            proof=self._forwarding.proof,
            wireguard=done.wireguard if done else environment.host.wireguard_kind(),
            registry=self._flood.registry_reachable,
            staged=commit.state.ledger.staged,
            pending=tuple(f"remove {each}" for each in interfaces_to_remove),
            problem=self._all_problems,
            uptime=int(self._now() - self._started_at),
            watched=self._is_watched_here,
        )
        status = cell_status.collect(environment.host, package, inputs)
        proof = self._ledger.proof() if self._is_ahead else None
        undone = commit.state.persistent.undone
        notify = environment.notifications
        return replace(
            status,
            content=package.manifest.content,
            notified=notify.reported if notify else (),
            muted_until=notify.muted_until if notify else None,
            proof=proof,
            undone=undone.seen(now=inputs.now) if undone else None,
        )

    @property
    def _is_ahead(self) -> bool:
        """Whether the registry announces an older generation for this cell than it runs."""
        announced = self._flood.state.database.registry_announcement()
        package = self._commit.package
        if announced is None:
            return False
        expected = announced.cells.get(package.plan.cell, announced.generation)
        return expected < package.manifest.generation

    def _take_proof(self, *, is_changed: bool) -> None:
        """Observe, as a proof has changed, or a commit awaits it."""
        if is_changed or self._commit.awaiting_confirm:
            self.observe_soon()

    def _proof_plan(self) -> ProofPlan | None:
        """Return what is to be probed, None before the first pass."""
        done, package = self._last_pass, self._commit.effective
        if done is None:
            return None
        database = self._flood.state.database
        in_contact = database.in_contact(now=self._now())
        answering = {
            cell
            for cell, status in database.statuses().items()
            # Others may be about to change as well.
            if cell in in_contact
            and not self._commit.awaiting_confirm
            and any(lan.forwards is not None for lan in status.lans)
        }
        lans = attached(package.own.lans, done.facts.nics)
        working = _working(self._publisher.status)
        return proof_plan(
            package, lans=lans, facts=done.facts, working=working, answering=answering
        )

    # What shows it.

    def _show(self) -> None:
        """Show what has changed to clients and readers."""
        self._control.changed()
        if self._environment.web is not None:
            self._environment.web.changed()

    def _serve_page(self, done: PassOutcome) -> None:
        """Serve the page of the running package, at the addresses that the host has."""
        web, package = self._environment.web, self._commit.package
        if web is None:
            return
        found = [each.ip for nic in done.facts.nics for each in nic.addresses]
        found += [package.own.node4, package.own.node6]
        hub = package.plan.particles
        found += [hub.address4, hub.address6] if hub else []
        web.configure(package, [each for each in found if done.facts.has_ipv6 or each.version == 4])

    # Events.

    def _receive(self, event: BusEvent) -> None:
        self._receive_and_follow(event)
        self._publisher.wake_flooding()
        self._publisher.wake_refresh()

    def _receive_and_follow(self, event: BusEvent) -> None:
        was_present, adjacent = self._flood.registry_present, self._adjacent
        if self._flood.receive(event):
            self._show()
            unhandled = self._flood.state.unhandled
            if unhandled.offer or unhandled.activation or unhandled.trust:
                unhandled.offer = unhandled.activation = unhandled.trust = False
                self._wake.set()
            status = self._publisher.status
            lacks_proof = status is not None and self._is_ahead and status.proof is None
            is_contact = (self._flood.registry_present, self._adjacent) != (was_present, adjacent)
            if lacks_proof or is_contact:
                self.observe_soon()

    @property
    def _adjacent(self) -> frozenset[int]:
        return self._flood.state.database.contacts.adjacent(now=self._now())

    async def _watch_network(self) -> None:
        async for changes in self._environment.watch.changes():
            if NetworkChange.HOST in changes:
                self.reconcile_now()
            self._timers.expect_sessions(now=self._now())
            self._prober.reset_backoff()
            self.observe_soon()

    async def _check_for_changes(self) -> None:
        """Reconcile once something has changed of which the kernel does not notify.

        Beside it, end the sessions of neighbours that advertise too much.
        """
        commit = self._commit
        while True:
            await asyncio.sleep(self._intervals.check_every)
            is_changing = commit.awaiting_confirm or commit.cleanup_due is not None
            check = partial(self._check, commit.effective, compares=not is_changing)
            if await self._run_blocking(check):
                self.reconcile_now()

    def _check(self, package: Package, *, compares: bool) -> bool:
        """End sessions over their limits; return whether the host has changed, if `compares`."""
        # bgpd may not run; a pass reports that.
        with suppress(UnoError):
            self._reconciler.end_sessions_over_limit(package)
        # The next pass meets the same error, and reports it.
        with suppress(UnoError):
            return compares and self._reconciler.has_changed()
        return False

    def _poll_faster(self) -> None:
        """Observe and probe more often for a while, as something has changed."""
        self._timers.poll_faster(now=self._now())
        self._prober.reset_backoff()

    # The bus.

    def _join_bus(self) -> None:
        """Join the bus with the configuration of the package; the network works without it too."""
        package = self._commit.package
        self._prober.set_targets(cell_status.probe_targets(package))
        try:
            self._configure_bus(package)
            if self._bus_watchdog.is_due(self._contact_ages(), now=self._now()):
                self._environment.bus.rejoin()
        except UnoError as error:
            self._warn_once("bus", error)
        else:
            self._problems.pop("bus", None)

    def _configure_bus(self, package: Package) -> None:
        """Join the bus as the cell of `package`. Raises `UnoError`."""
        self._environment.bus.configure(self._environment.config(package), self._receive)

    def _contact_ages(self) -> list[float | None]:
        """Return the seconds since the last message of each neighbour whose link works.

        A neighbour, or the registry, whose hellos arrive without what they name counts as silent
        since then.
        """
        status, database, now = self._publisher.status, self._flood.state.database, self._now()
        working = [link.cell for link in status.links if link.works] if status else []
        ages = [database.contact_age(cell, now=now) for cell in working]
        return ages + [
            database.contacts.lacking_for(node, now=now) for node in (*working, REGISTRY)
        ]

    # Supervision.

    async def _keep_running(self, what: str, job: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await job()
            except UnoError as error:
                self._warn_once(what, error)
            await asyncio.sleep(self._intervals.reconcile_every)

    async def _notify_watchdog(self) -> None:
        """Send keep-alives (sd_watchdog_enabled(3)) unless the loop hangs."""
        watchdog = self._environment.watchdog
        while watchdog > 0:
            await asyncio.sleep(watchdog / 3)
            if self._now() - self._turned_at < self._intervals.hung_after:
                self._notify("WATCHDOG=1")

    def _warn_once(self, about: str, error: UnoError) -> None:
        if self._problems.get(about) != error.what:
            self._problems[about] = error.what
            _log.warning("%s", error)

    def _notify(self, text: str) -> None:
        if self._environment.notify:
            self._environment.notify(text)

    def _current_mark(self) -> tuple[tuple[int, ...] | None, tuple[int, ...] | None]:
        """Return what identifies the files of the accepted package, and of its installation."""
        directory = self._ledger.directory
        return files.mark(directory / CURRENT), files.mark(directory / INSTALL)


def _tried(calls: Mapping[str, Callable[[], None]]) -> dict[str, UnoError | None]:
    """Make each of these calls; return what was raised, None where nothing was."""
    errors: dict[str, UnoError | None] = dict.fromkeys(calls)
    for what, call in calls.items():
        try:
            call()
        except UnoError as error:
            errors[what] = error
    return errors


def _working(status: CellStatus | None) -> frozenset[str]:
    """Return the interfaces of the links that work."""
    links = status.links if status is not None else ()
    return frozenset(link.interface for link in links if link.works)


def _obstacles(status: CellStatus | None) -> tuple[str, ...]:
    return status.obstacles if status is not None else ()


def _listed(lans: tuple[Network, ...]) -> str:
    return " or ".join(map(str, lans))
