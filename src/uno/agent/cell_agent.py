"""The agent of a cell at work: keeps the host as its package wants, and in touch with all others.

A pass is made on every change of the host's network, on request, and once a minute; it looks at all
there is, and keeps no plan of its own. Between passes the agent looks at links and routes, and
tells the others what it sees.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import replace

from uno import control
from uno.agent.commit.drain_runner import LOOK_EVERY
from uno.agent.commit.executor import CommitExecutor
from uno.agent.commit.ledger import CURRENT
from uno.agent.host_loop import cell_status, network_files
from uno.agent.host_loop.host_reconciler import HostReconciler, PassOutcome
from uno.agent.host_loop.wait_for_lans import await_lans, listed
from uno.agent.state_sync.bus_watchdog import BusWatchdog
from uno.agent.state_sync.flood_runner import FloodRunner
from uno.agent.state_sync.status_publisher import StatusPublisher
from uno.diagnostics import ActionNeeded, UnoError
from uno.model.messages import UvnAnnouncement
from uno.ports.bus import Presence
from uno.ports.events import NetworkChange
from uno.statesync.state_database import view

if TYPE_CHECKING:
    from uno.agent.agent_environment import AgentEnvironment
    from uno.agent.blocking import RunBlocking
    from uno.agent.commit.ledger import Ledger
    from uno.model.net import Network
    from uno.model.package import Package
    from uno.model.status import CellStatus, UvnView
    from uno.ports.bus import BusEvent

_log = logging.getLogger(__name__)

_T = TypeVar("_T")


class CellAgent:
    """One cell. For one event loop."""

    def __init__(
        self, package: Package, *, ledger: Ledger, world: AgentEnvironment, work: RunBlocking
    ) -> None:
        """Work for the cell of `package`, the current package in `ledger`."""
        self._ledger = ledger
        self._environment = world
        self._work = work
        self._upkeep = HostReconciler(world.host, ledger.directory, wall=world.wall, now=world.now)
        self._flood = FloodRunner(
            world.bus,
            package,
            directory=ledger.directory,
            clock=world.now,
            grace=world.intervals.registry_grace,
        )
        self._change = CommitExecutor(
            package,
            ledger=ledger,
            upkeep=self._upkeep,
            flood=self._flood,
            work=work,
            clock=world.now,
            limits=world.limits,
        )
        self._control = control.ControlServer(world.folder / control.SOCKET, view=self.view)
        self._publisher = StatusPublisher(
            self._flood,
            clock=world.now,
            on_published=self._control.changed,
            awaiting_confirm=lambda: self._change.awaiting_confirm,
        )
        self._prober = world.prober(self.observe_soon)
        self._bus_watchdog = BusWatchdog()
        self._wake = asyncio.Event()
        self._problems: dict[str, str] = {}
        self._found: PassOutcome | None = None
        self._installed = self._mark()
        now = world.now()
        self._pass_due = self._look_due = now
        self._passed_at = now - world.intervals.reconcile_spacing
        self._calm_at = self._turned_at = now

    async def run(self) -> None:
        """Start, and work until cancelled. Raises `UnoError` where it cannot start."""
        await self._start()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_trying("control", self._control.serve))
            tasks.create_task(self._keep_trying("probes", self._prober.run))
            tasks.create_task(self._keep_trying("events", self._follow_events))
            tasks.create_task(self._publisher.run_refresh())
            tasks.create_task(self._publisher.run_flooding())
            tasks.create_task(self._show_life())
            await self._conduct()

    def reconcile_now(self) -> None:
        """Make a pass now."""
        self._pass_due = self._environment.now()
        self._wake.set()

    def observe_soon(self) -> None:
        """Look at links and routes, since something has changed there."""
        self._look_due = self._environment.now()
        self._wake.set()

    def close(self) -> None:
        """Leave the bus, and let what is under way on the host come to its end."""
        self._upkeep.stopping.set()
        self._environment.bus.close()

    def view(self) -> UvnView:
        """Return the whole UVN as this cell sees it."""
        package, flood = self._change.package, self._flood.state
        cell, generation = package.plan.cell, package.manifest.generation
        seen = view(
            flood.database,
            flood.database.registry_announcement()
            or UvnAnnouncement(generation=generation, cells={cell: generation}),
            uvn=package.plan.uvn,
            viewer=cell,
            registry=flood.registry_present,
            now=self._environment.now(),
        )
        elsewhere = any(each.alive and each.status and each.status.registry for each in seen.cells)
        return replace(seen, registry=True) if elsewhere else seen

    # How it starts.

    async def _start(self) -> None:
        await await_lans(self._change, self._upkeep, self._environment, self._work)
        await self._first_pass()
        self._flood.subscribe()
        self._join()
        await self._change.begin()
        await self._look()
        manifest = self._change.package.manifest
        name, generation = f"{manifest.cell_name} of {manifest.uvn}", manifest.generation
        _log.info("%s is up, generation %s", name, generation)
        self._notify(f"READY=1\nSTATUS={name}, generation {generation}")

    async def _first_pass(self) -> None:
        try:
            await self._pass()
        except UnoError as error:
            if self._change.awaiting_confirm:
                await self._change.give_up(error.what)
                await self._pass()
            elif not await self._work(self._upkeep.is_up):
                raise
            else:
                self._complain("pass", error)

    # What it does.

    async def _conduct(self) -> None:
        while True:
            due = min(self._pass_due, self._look_due)
            if (rest := self._change.rest_due) is not None:
                due = min(due, max(rest, self._environment.now() + LOOK_EVERY))
            try:
                async with asyncio.timeout(max(0.0, due - self._environment.now())):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            self._turned_at = self._environment.now()
            await self._turn()

    async def _turn(self) -> None:
        """Do all that is due, what may change the package first."""
        if await self._tried("package", self._change_package):
            self._after_change()
        if (rest := self._change.rest_due) is not None and rest <= self._environment.now():
            await self._tried("package", self._change.proceed)
            if self._change.rest_due is None or not self._change.is_under_way:
                self.reconcile_now()
        if self._pass_due <= self._environment.now():
            await self._tried("pass", self._pass)
            self._join()
        if self._look_due <= self._environment.now():
            await self._tried("look", self._look)

    async def _tried(self, what: str, work: Callable[[], Awaitable[_T]]) -> _T | None:
        """Do something that can fail without an end to all the rest."""
        try:
            done = await work()
        except UnoError as error:
            self._complain(what, error)
            self._look_due = self._environment.now() + self._retry_after(what, error)
            return None
        self._problems.pop(what, None)
        return done

    def _retry_after(self, what: str, error: UnoError) -> float:
        """Return the seconds until the next observation after `what` failed.

        An observation that fails until a person acts is not tried at the quick interval, unless a
        pending commit depends on it.
        """
        intervals = self._environment.intervals
        is_quick = error.transient or what != "look" or self._change.awaiting_confirm
        return intervals.observe_every if is_quick else intervals.reconcile_every

    async def _change_package(self) -> bool:
        """Do what was heard, and what is due, about packages; return whether that changed one.

        What fails is tried again at the next look. Raises `UnoError`.
        """
        news, change = self._flood.state.unhandled, self._change
        if change.awaiting_confirm:
            # What else came has its turn when it is known whether this package stays.
            ended = await self._end_trial()
            if ended:
                news.offer = news.activation = True
                self._wake.set()
            return ended
        changed = False
        if (mark := self._mark()) != self._installed and change.rest_due is None:
            self._installed = mark
            changed = await change.take_installed(self._look)
        # Who has a package staged may be told to change over, and all are to begin together.
        if news.offer and not change.is_under_way:
            news.offer = False
            await change.take_offer()
            self._look_due = self._environment.now()
            news.activation = True
        if news.activation and not change.awaiting_confirm:
            heard = self._flood.state.database.activation
            said = heard()
            changed = await change.take_activation(self._look) or changed
            # Another may have come meanwhile.
            news.activation = change.is_under_way or heard() is not said
        return changed

    async def _end_trial(self) -> bool:
        if self._flood.state.unhandled.activation and await self._change.take_activation(
            self._look
        ):
            return True
        if self._look_due > self._environment.now():
            return False
        return await self._change.judge(await self._look(), self._prober.results())

    def _after_change(self) -> None:
        """Have all that follows from the package follow the one that runs now."""
        self._look_due = self._environment.now()
        self._stir()
        self._publisher.wake_flooding()
        self._join()
        if self._change.awaiting_confirm:
            self._prober.probe_now(link.remote4 for link in self._change.effective.plan.links)
        else:
            self._pass_due = self._environment.now()

    async def _pass(self) -> None:
        """Make the host as it should be. Raises `UnoError`."""
        now = self._environment.now()
        if now < self._passed_at + self._environment.intervals.reconcile_spacing:
            self._pass_due = self._passed_at + self._environment.intervals.reconcile_spacing
            return
        if (due := self._change.rest_due) is not None:
            # Not before: it would take back at once what others still need.
            self._pass_due = max(due, now + self._environment.intervals.observe_fast)
            return
        package = self._change.effective
        self._passed_at, self._pass_due = now, now + self._environment.intervals.reconcile_every
        found = self._found = await self._work(self._upkeep.reconcile, package)
        if found.again:
            self._pass_due = self._environment.now() + self._environment.intervals.routing_retry
        if found.actions:
            self._stir()
        self._note_lans(found.missing)
        if not found.missing:
            await self._change.remember_lans()
        if package.plan.root:
            await self._work(self._upkeep.find_registry, package.plan.root.interface)

    def _note_lans(self, missing: tuple[Network, ...]) -> None:
        if missing:
            self._complain("lans", ActionNeeded(f"the host has no interface on {listed(missing)}"))
        elif self._problems.pop("lans", None):
            _log.info("all LANs are there again")

    async def _look(self) -> CellStatus:
        """Look at the host, tell the others what is new, and return it."""
        world, intervals = self._environment, self._environment.intervals
        # What changes from here on may be missed by this look, and asks for another.
        self._look_due = math.inf
        status = await self._work(self._collect)
        now = world.now()
        hurried = self._change.awaiting_confirm or now < self._calm_at
        self._look_due = min(
            self._look_due, now + (intervals.observe_fast if hurried else intervals.observe_every)
        )
        if self._change.awaiting_confirm and now < self._change.judged_from:
            self._look_due = min(self._look_due, self._change.judged_from)
        if (missed := self._flood.state.registry_lost_at) is not None and now < missed:
            self._look_due = min(self._look_due, missed)
        if self._publisher.update(status):
            self._stir()
        if not any(link.bgp for link in status.links) and status.links:
            # Nothing of FRR's answers. What else goes is seen by the events of the network.
            self._pass_due = min(self._pass_due, self._passed_at + intervals.routing_retry)
        await self._work(self._upkeep.maintain_links, self._change.effective, status.links)
        others, directory = self._flood.state.database.statuses(), self._ledger.directory
        await self._work(network_files.write, directory, self._change.package, status, others)
        return status

    def _collect(self) -> CellStatus:
        change, world, found = self._change, self._environment, self._found
        package, leaving = change.package, change.leaving
        there = (*(link.interface for link in change.effective.plan.links), *leaving)
        known = cell_status.StatusInputs(
            facts=found.facts if found else world.host.facts(),
            now=int(world.wall()),
            probes=self._prober.results(),
            routed=world.watch.destinations_via(there),
            wireguard=found.wireguard if found else world.host.wireguard_kind(),
            registry=self._flood.registry_reachable,
            staged=change.standing.staged,
            pending=tuple(f"remove {each}" for each in leaving),
            problem="; ".join(self._problems.values()),
        )
        status = cell_status.collect(world.host, package, known)
        return replace(status, content=package.manifest.content)

    # What wakes it.

    def _deliver(self, event: BusEvent) -> None:
        if self._flood.receive(event):
            self._control.changed()
            self._publisher.wake_flooding()
            news = self._flood.state.unhandled
            if news.offer or news.activation:
                self._wake.set()
            if isinstance(event, Presence):
                self.observe_soon()

    async def _follow_events(self) -> None:
        async for changes in self._environment.watch.changes():
            if NetworkChange.HOST in changes:
                self._pass_due = self._environment.now()
            self._prober.reset_backoff()
            self.observe_soon()

    def _stir(self) -> None:
        """Look more often for a while, as something has changed."""
        now = self._environment.now()
        self._calm_at = now + self._environment.intervals.fast_for
        self._look_due = min(self._look_due, now + self._environment.intervals.observe_fast)
        self._prober.reset_backoff()

    # What it is connected to.

    def _join(self) -> None:
        """Be on the bus as the package says; without it the network works all the same."""
        package = self._change.package
        self._prober.set_targets(cell_status.targets(package))
        try:
            self._environment.bus.configure(self._environment.config(package), self._deliver)
            if self._bus_watchdog.is_due(self._contact_ages(), now=self._environment.now()):
                self._environment.bus.rejoin()
        except UnoError as error:
            self._complain("bus", error)
        else:
            self._problems.pop("bus", None)

    def _contact_ages(self) -> list[float | None]:
        """Return the seconds since the last message of each neighbour whose link works."""
        now, status = self._environment.now(), self._publisher.status
        links = status.links if status else ()
        heard = self._flood.state.database.contact_age
        return [heard(link.cell, now=now) for link in links if link.works]

    async def _keep_trying(self, what: str, job: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await job()
            except UnoError as error:
                self._complain(what, error)
            await asyncio.sleep(self._environment.intervals.reconcile_every)

    async def _show_life(self) -> None:
        """Tell the supervisor that work goes on; one that hangs is to be ended and started."""
        intervals, watchdog = self._environment.intervals, self._environment.watchdog
        while watchdog > 0:
            await asyncio.sleep(watchdog / 3)
            if self._environment.now() - self._turned_at < intervals.hung_after:
                self._notify("WATCHDOG=1")

    def _complain(self, about: str, error: UnoError) -> None:
        if self._problems.get(about) != error.what:
            self._problems[about] = error.what
            _log.warning("%s", error)

    def _notify(self, text: str) -> None:
        if self._environment.notify:
            self._environment.notify(text)

    def _mark(self) -> tuple[int, int] | None:
        """Return by what a new package in the directory is told from the one before."""
        try:
            found = (self._ledger.directory / CURRENT).stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns
