"""The registry's agent: rolls out what is released, hears what cells say, and keeps their VPN up.

It knows nothing that it cannot find again: what was released, and whom it told to change over, is
in the store before anybody hears of it; the rest is what cells say. So it may be killed at any
moment, and the next one goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from uno import control
from uno.controller import activation, announcement, release_record, rollout_events
from uno.controller import rollout as rolling
from uno.controller.controller_environment import Surroundings
from uno.controller.publisher import DuplicateRegistry, Voice
from uno.controller.receiver import CHANNELS, Ear
from uno.controller.rollout import Heard, Rollout
from uno.controller.root_network import RootNetwork
from uno.controller.store_access import Archive, Known
from uno.diagnostics import UnoError
from uno.model.key_ids import cell_sealing
from uno.model.messages import REGISTRY
from uno.model.plan import Plan
from uno.planning.cell_plans import roster
from uno.statesync import envelope
from uno.statesync.sequence import Sequence

if TYPE_CHECKING:
    from uno.model.messages import Activation, UvnAnnouncement
    from uno.model.plan import Member
    from uno.model.status import UvnView
    from uno.ports.bus import BusConfig, BusEvent

_log = logging.getLogger(__name__)

# Seconds between two looks at how things are, unless something comes.
_AT_REST, _AT_WORK = 2.0, 0.25
# What comes together is dealt with together.
_TOGETHER = 0.02

# Seconds without a word from anybody after which the bus is joined anew (`Bus.renew`).
_DEAF = 120.0

# Seconds between two rounds of calls to cells that do not answer.
_CALLS = 30.0
# Nothing tells when the last words have been heard; this long they may take.
_FAREWELL = 0.3


def never(_view: UvnView) -> bool:
    """Want the agent to go on, whatever it sees."""
    return False


class RegistryAgent:
    """The agent of the registry in one directory. For one event loop."""

    _known: Known
    _ear: Ear
    _rollout: Rollout
    _voice: Voice

    def __init__(self, root: Path, around: Surroundings) -> None:
        """Touch nothing yet."""
        self._around = around
        self._archive = Archive(root)
        self._sequence = Sequence(self._archive.reserve)
        self._duplicate = DuplicateRegistry()
        self._duplicate = DuplicateRegistry()
        self._network = RootNetwork(
            raise_network=around.raise_network,
            configure=self._configure,
            licence=around.licence,
            credentials=around.credentials,
            turns=around.turns,
            has_ipv6=around.has_ipv6,
        )
        self._server: control.ControlServer | None = None
        self._busy = asyncio.Lock()
        self._wake = asyncio.Event()
        self._events: deque[BusEvent] = deque()
        self._queued = self._pruned = False
        # Cells that went back alone, and are asked once more because a person asked.
        self._again: set[int] = set()
        self._listening = self._renewed = 0.0

    async def run(
        self, *, release: bool = False, until: Callable[[UvnView], bool] = never
    ) -> UvnView:
        """Serve until what it sees is as `until` says, and return that; or until cancelled.

        With `release`, or if nothing was ever released, the newest generation is released first.
        Takes its network down when it ends in any of these ways. Raises `UnoError`.
        """
        try:
            await self._start(release=release)
            return await self._serve(until)
        finally:
            self._around.bus.close()
            await asyncio.shield(self._network.leave())

    def view(self) -> UvnView:
        """Return the whole UVN as the registry sees it now."""
        now = self._around.clock()
        said = self._announcement(self._ear.heard(now=now), now)
        return announcement.view(said, self._ear.statements, uvn=self._known.plan.uvn, now=now)

    async def release(self) -> None:
        """Release the newest generation: now, or when the change that is under way has ended."""
        async with self._busy:
            rollout, now = self._rollout, self._around.clock()
            newest = await asyncio.to_thread(self._archive.newest)
            if newest == rollout.release.generation and not rollout.failed:
                self._again = set(rollout.release.cells)
                return
            self._queued = not rollout.may_end(now, self._around.limits)
            if not self._queued:
                await self._release()
        self._wake.set()

    async def _start(self, *, release: bool) -> None:
        # The passphrase is asked for here, where nobody is kept waiting yet.
        registry_key, sign = self._archive.signer()
        known = self._archive.known()
        if known is None:
            known = self._archive.release(attempt=self._sequence.next())
        identity, around = known.plan.identity, self._around
        self._listening = self._renewed = around.clock()
        self._voice = Voice(around.bus, identity=identity, sign=sign, sequence=self._sequence)
        self._ear = Ear(
            identity=identity,
            registry_key=registry_key,
            members=_members(known.plan),
            since=self._listening,
        )
        self._adopt(known)
        if release:
            await self.release()
        await self._tend({}, self._listening)
        for channel in CHANNELS:
            around.bus.subscribe(channel)

    async def _serve(self, until: Callable[[UvnView], bool]) -> UvnView:
        plan = self._known.plan
        path = control.socket_path(plan.identity, REGISTRY, run=self._around.run)
        self._server = control.ControlServer(path, view=self.view, sync=self.release)
        try:
            async with asyncio.TaskGroup() as tasks:
                serving = tasks.create_task(self._server.serve())
                working = tasks.create_task(self._work(until))
                calling = tasks.create_task(self._call_again())
                working.add_done_callback(lambda _: (serving.cancel(), calling.cancel()))
        except ExceptionGroup as group:
            raise _cause(group) from None
        return working.result()

    async def _work(self, until: Callable[[UvnView], bool]) -> UvnView:
        before = self.view()
        while True:
            async with self._busy:
                await self._step()
            seen = self.view()
            for line in rollout_events.events(before, seen):
                _log.info("%s", line)
            if (verdict := rollout_events.verdict(seen)) and verdict != rollout_events.verdict(
                before
            ):
                _log.warning("%s", verdict)
            before = seen
            if self._server is not None:
                self._server.changed()
            if until(seen):
                await self._farewell()
                return seen
            self._around.alive()
            await self._pause(_AT_WORK if seen.rollout or self._queued else _AT_REST)

    async def _farewell(self) -> None:
        """Leave nobody with the news of a change that has ended."""
        now = self._around.clock()
        self._voice.announce(self._announcement(self._ear.heard(now=now), now), now=now, last=True)
        await asyncio.sleep(_FAREWELL)

    async def _call_again(self) -> None:
        while True:
            await asyncio.sleep(_CALLS)
            try:
                await asyncio.to_thread(self._around.refresh_endpoints)
            except UnoError as error:
                _log.warning("cells could not be called: %s", error)

    async def _pause(self, longest: float) -> None:
        try:
            async with asyncio.timeout(longest):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()
        await asyncio.sleep(_TOGETHER)

    async def _step(self) -> None:
        now = self._around.clock()
        while self._events:
            self._ear.hear(self._events.popleft(), now=now)
        self._mind_own_words(now)
        if self._queued and self._rollout.may_end(now, self._around.limits):
            self._queued = False
            await self._release()
        heard = self._ear.heard(now=now)
        await self._ask_again(heard)
        before = self._rollout
        self._rollout = rolling.step(before, heard, now=now, limits=self._around.limits)
        if rolling.ahead(self._rollout, heard):
            newest = await asyncio.to_thread(self._archive.newest)
            self._rollout = replace(self._rollout, newest=newest)
        await self._keep(before, heard)
        self._say(heard, now)
        await self._tend(heard, now)
        await self._prune(heard)

    async def _ask_again(self, heard: dict[int, Heard]) -> None:
        again = self._again & rolling.unwilling(self._rollout, heard)
        if not again or not self._rollout.settled:
            return
        self._again -= again
        attempt = self._sequence.next()
        record = release_record.with_retry(self._known.record, again, attempt=attempt)
        await asyncio.to_thread(self._archive.keep, record)
        self._adopt(replace(self._known, record=record))

    async def _release(self) -> None:
        attempt = self._sequence.next()
        known = await asyncio.to_thread(partial(self._archive.release, attempt=attempt))
        if known.record != self._known.record:
            self._adopt(known)

    def _adopt(self, known: Known) -> None:
        """Go on from what is in the store."""
        now = self._around.clock()
        record, self._known, self._pruned = known.record, known, False
        told = record.activation
        self._rollout = Rollout(
            release=record.release,
            listening=self._listening,
            began=now,
            newest=known.newest,
            activated=told.cells if told else {},
            activated_at=now,
            takes=_duration(told),
            settled=record.settled,
            failed=record.failed,
        )
        self._ear.trust(_members(known.plan), now=now)
        self._voice.order(activation.undo(self._rollout) if record.failed else told)

    async def _keep(self, before: Rollout, heard: dict[int, Heard]) -> None:
        """Have what was decided in the store before anybody hears of it."""
        rollout, record = self._rollout, self._known.record
        runs = {cell: it.running for cell, it in heard.items() if it.running is not None}
        if rollout.activated != before.activated:
            told = await self._activation(heard, record.runs | runs)
            self._rollout = replace(rollout, takes=_duration(told))
            record = structs.replace(record, activation=told)
        record = structs.replace(record, settled=rollout.settled, failed=rollout.failed)
        if record != self._known.record:
            record = structs.replace(record, runs=record.runs | runs)
            await asyncio.to_thread(self._archive.keep, record)
            self._known = replace(self._known, record=record)

    async def _activation(self, heard: dict[int, Heard], runs: dict[int, int]) -> Activation:
        standing = self._known.record.previous
        if standing is not None:
            runs = dict.fromkeys(standing.cells, standing.generation) | runs
        missing = set(runs.values()) - self._known.plans.keys()
        if missing:
            more = await asyncio.to_thread(self._archive.plans, missing)
            self._known = replace(self._known, plans=self._known.plans | more)
        confirm_timeout = self._around.limits.confirm_timeout
        plans = self._known.plans
        return activation.activation(
            self._rollout, heard, plans=plans, runs=runs, confirm_timeout=confirm_timeout
        )

    def _say(self, heard: dict[int, Heard], now: float) -> None:
        voice, rollout = self._voice, self._rollout
        voice.announce(self._announcement(heard, now), now=now)
        wanted = rolling.offers(rollout, heard)
        for cell in voice.offered - wanted:
            voice.withdraw(cell)
        unreachable_from_registry = set(self._ear.unreachable_from_registry(now=now))
        for cell in sorted(wanted):
            content, make = rollout.release.cells[cell].content, partial(self._sealed, cell)
            since = rollout.release.attempt
            try:
                voice.offer(
                    cell, content, make, near=cell in unreachable_from_registry, since=since
                )
            except UnoError as error:
                self._ear.complain(REGISTRY, str(error))
        voice.order(activation.undo(rollout) if rollout.failed else self._known.record.activation)

    def _announcement(self, heard: dict[int, Heard], now: float) -> UvnAnnouncement:
        return announcement.announcement(
            self._known.record,
            self._rollout,
            heard,
            unreachable_from_registry=self._ear.unreachable_from_registry(now=now),
            waits=self._queued,
        )

    def _sealed(self, cell: int) -> bytes:
        plan = self._known.plan
        return envelope.seal(
            self._archive.package(cell, self._rollout.release.cells[cell]),
            public_key=plan.public_keys[cell_sealing(cell)],
            identity=plan.identity,
            cell=cell,
        )

    async def _tend(self, heard: dict[int, Heard], now: float) -> None:
        rollout, standing = self._rollout, self._known.record.previous
        was_told = bool(rollout.activated) or rollout.settled
        begun = was_told and not rollout.failed
        release = rollout.release if begun or standing is None else standing
        # Nobody has keys of a generation that nobody was told to change over to.
        untold = None if was_told else rollout.release.generation
        unheard = self._ear.unheard(now=now) if heard else frozenset()
        if heard and unheard == heard.keys() and now - self._renewed >= _DEAF:
            self._renewed = now
            self._around.bus.rejoin()

        def answering(since: float) -> bool:
            return any(
                not rolling.is_done(rollout.release.cells[cell], heard[cell])
                for cell in self._ear.since(since, now=now) - rollout.activated.keys()
            )

        await self._network.tend(
            self._known,
            wanted=release.generation,
            ways=[way for way in self._known.ways if way != untold],
            unheard=unheard,
            answering=answering,
            now=now,
        )

    async def _prune(self, heard: dict[int, Heard]) -> None:
        """Forget the earlier keys of the root VPN once every cell has the new ones."""
        rollout, root = self._rollout, self._known.root
        if self._pruned or not rollout.settled or not root.has_earlier:
            return
        cells = rollout.release.cells
        if all(rolling.is_done(it, heard[cell]) for cell, it in cells.items() if cell in heard):
            self._pruned = True
            await asyncio.to_thread(self._archive.prune, self._known.plan)
            known = await asyncio.to_thread(self._archive.known)
            self._known = known or self._known

    def _mind_own_words(self, now: float) -> None:
        """Go on above what this registry was heard to say before it was restored."""
        seen = self._ear.own_sequence()
        if seen > self._sequence.last:
            self._duplicate.note_jump(now=now)
            self._sequence.above(seen)
            self._voice.repeat()

    def _configure(self, config: BusConfig) -> None:
        self._around.bus.configure(config, self._deliver)

    def _deliver(self, event: BusEvent) -> None:
        self._events.append(event)
        self._wake.set()


def _members(plan: Plan) -> dict[int, Member]:
    return {member.id: member for member in roster(plan).members}


def _duration(told: Activation | None) -> float:
    return len(told.batches) * told.period if told else 0.0


def _cause(group: ExceptionGroup[Exception]) -> Exception:
    """Return the error for people that ended all tasks, or else everything that did."""
    expected, others = group.split(UnoError)
    while expected is not None and others is None:
        first = expected.exceptions[0]
        if isinstance(first, UnoError):
            return first
        expected = first
    return group
