"""A cell's part in notifying people, with couriers that deliver or fail as the test has it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from uno.diagnostics import TransientFailure
from uno.model.notification_targets import Notifying
from uno.notify.errands import Errand, Outcome
from uno.notify.notice_formats import Post
from uno.notify.notifier import HEARTBEAT, INTERVAL, Clocks, Notifier, SenderView
from uno.notify.policy import HOLD, Condition
from uno.notify.turns import TURN

SILENT = Condition(id="cell/3", subject="lan-c", text="lan-c is silent")
UNDONE = Condition(id="undone/7", subject="generation 7", text="it was rolled back")
TO = ("https://hooks.example.org/uno", "slack+https://hooks.example.org/x")


class World:
    """One sender: its clock, what it observes, and what was sent."""

    def __init__(self, path: Path, *, own: int = 1) -> None:
        self.now = 1000.0
        self.path, self.own = path, own
        self.settings: Notifying | None = Notifying(to=TO, senders=(1, 2))
        self.conditions: dict[str, Condition] = {}
        self.events: tuple[Condition, ...] = ()
        self.alive: dict[int, frozenset[str]] = {own: frozenset()}
        self.changing = False
        self.muted: frozenset[str] = frozenset()
        self.fault = ""
        self.sent: list[str] = []
        self.notifier = self.started()

    def started(self) -> Notifier:
        return Notifier(
            self.path,
            notifying=lambda: self.settings,
            observe=self._picture,
            send=self._send,
            clocks=Clocks(monotonic=lambda: self.now, wall=lambda: self.now + 1e9),
        )

    def _picture(self) -> SenderView:
        return SenderView(
            uvn="corp",
            cell="relay",
            own=self.own,
            conditions=self.conditions,
            events=self.events,
            muted=self.muted,
            alive=self.alive,
            changing=self.changing,
        )

    async def _send(self, errands: Sequence[Errand]) -> Sequence[Outcome]:
        if self.fault == "raise":
            raise TransientFailure("no courier could be started")
        if not self.fault:
            self.sent += [_words(each) for each in errands]
        return [Outcome(fault=self.fault) for _ in errands]

    def wait(self, seconds: float) -> None:
        asyncio.run(self._wait(seconds))

    async def _wait(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += INTERVAL
            await self.notifier.step()


def _words(errand: Errand) -> str:
    if errand.message is None:
        return errand.url
    assert isinstance(errand.message, Post)
    return f"{errand.url.partition(':')[0]} {errand.message.body.decode()}"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "notifications.json")


@pytest.mark.feature("G50")
def test_an_outage_is_sent_to_every_target_and_so_is_its_end(world: World) -> None:
    world.conditions = {SILENT.id: SILENT}
    world.wait(HOLD - INTERVAL)
    assert not world.sent
    world.wait(3 * INTERVAL)
    assert len(world.sent) == 2
    assert world.notifier.reported == {SILENT.id}
    world.conditions = {}
    world.wait(HOLD + 2 * INTERVAL)
    assert len(world.sent) == 4
    assert "works again" in world.sent[-1]
    assert world.notifier.reported == set()


@pytest.mark.feature("G50")
def test_nobody_is_notified_of_what_is_muted_until_it_is_no_longer(world: World) -> None:
    world.conditions, world.muted = {SILENT.id: SILENT}, frozenset({SILENT.id})
    world.wait(5 * HOLD)
    assert not world.sent

    world.muted = frozenset()
    world.wait(HOLD - INTERVAL)
    assert not world.sent
    world.wait(3 * INTERVAL)
    assert len(world.sent) == 2


@pytest.mark.feature("G50")
def test_what_was_reported_before_it_was_muted_is_withdrawn_only_when_it_works(
    world: World,
) -> None:
    world.conditions = {SILENT.id: SILENT}
    world.wait(HOLD + 2 * INTERVAL)
    world.muted = frozenset({SILENT.id})
    world.wait(5 * HOLD)
    assert len(world.sent) == 2

    world.conditions = {}
    world.wait(HOLD + 2 * INTERVAL)
    assert "works again" in world.sent[-1]


@pytest.mark.feature("G50")
def test_an_event_is_sent_once_also_if_the_agent_starts_again(world: World) -> None:
    world.events = (UNDONE,)
    world.wait(INTERVAL)
    assert len(world.sent) == 2
    world.notifier = world.started()
    world.wait(10 * INTERVAL)
    assert len(world.sent) == 2


def test_a_message_that_was_not_delivered_waits_on_disk_and_is_sent_later(world: World) -> None:
    world.fault = "it answered 500"
    world.conditions = {SILENT.id: SILENT}
    world.wait(HOLD + 2 * INTERVAL)
    assert world.notifier.problem == "it answered 500"
    assert world.notifier.reported == set(), "the sender after this one has its turn"
    world.notifier = world.started()
    world.fault = ""
    world.wait(2 * HOLD)
    assert len(world.sent) == 2
    assert world.notifier.problem == ""


def test_no_courier_is_a_failed_attempt(world: World) -> None:
    world.fault = "raise"
    world.events = (UNDONE,)
    world.wait(INTERVAL)
    assert world.notifier.problem == "no courier could be started"


def test_what_was_reported_before_a_restart_is_withdrawn_when_it_is_gone(world: World) -> None:
    world.conditions = {SILENT.id: SILENT}
    world.wait(HOLD + 2 * INTERVAL)
    world.notifier, world.conditions = world.started(), {}
    world.wait(HOLD + 2 * INTERVAL)
    assert "works again" in world.sent[-1]


def test_nothing_that_a_change_interrupts_is_reported_while_it_is_in_progress(world: World) -> None:
    world.conditions, world.changing = {SILENT.id: SILENT}, True
    world.wait(10 * HOLD)
    assert not world.sent
    world.changing = False
    world.wait(HOLD - INTERVAL)
    assert not world.sent
    world.wait(3 * INTERVAL)
    assert len(world.sent) == 2


@pytest.mark.feature("G50")
def test_the_second_sender_sends_what_the_first_has_not_delivered(tmp_path: Path) -> None:
    world = World(tmp_path / "notifications.json", own=2)
    world.alive = {1: frozenset(), 2: frozenset()}
    world.conditions = {SILENT.id: SILENT}
    world.wait(HOLD + INTERVAL)
    assert not world.sent
    world.wait(TURN + INTERVAL)
    assert len(world.sent) == 2

    other = World(tmp_path / "other.json", own=2)
    other.alive = {1: frozenset({SILENT.id}), 2: frozenset()}
    other.conditions = {SILENT.id: SILENT}
    other.wait(HOLD + 2 * TURN)
    assert not other.sent


@pytest.mark.feature("G50")
def test_a_loss_that_ends_before_a_senders_turn_is_not_sent_when_another_has_withdrawn_it(
    tmp_path: Path,
) -> None:
    world = World(tmp_path / "notifications.json", own=5)
    none = frozenset[str]()
    world.alive = {1: frozenset({SILENT.id}), 2: none, 3: none, 4: none, 5: none}
    world.conditions = {SILENT.id: SILENT}
    world.wait(HOLD + 2 * INTERVAL)
    world.conditions = {}
    world.wait(HOLD)
    world.alive[1] = frozenset()
    world.wait(8 * TURN)
    assert not world.sent


@pytest.mark.feature("G50")
def test_the_first_sender_fetches_the_heartbeat_and_the_second_when_it_is_gone(
    world: World, tmp_path: Path
) -> None:
    beat = "https://hc.example.org/ping"
    world.settings = Notifying(heartbeat=beat, senders=(1, 2))
    world.wait(2 * HEARTBEAT)
    assert world.sent == [beat, beat]

    # Another address, or the same after none, is fetched at once.
    for settings in (Notifying(heartbeat="https://hc.example.org/new", senders=(1, 2)), None):
        world.settings = settings
        world.wait(INTERVAL)
    world.settings = Notifying(heartbeat=beat, senders=(1, 2))
    world.wait(INTERVAL)
    assert world.sent[2:] == ["https://hc.example.org/new", beat]

    second = World(tmp_path / "second.json", own=2)
    second.settings = world.settings
    second.alive = {1: frozenset(), 2: frozenset()}
    second.wait(2 * HEARTBEAT)
    assert not second.sent
    second.alive = {2: frozenset()}
    second.wait(INTERVAL)
    assert second.sent == [beat]


def test_a_cell_that_sends_no_longer_forgets_what_waits(world: World) -> None:
    world.fault, world.events = "it answered 500", (UNDONE,)
    world.wait(INTERVAL)
    world.settings = None
    world.wait(INTERVAL)
    world.settings, world.fault, world.events = Notifying(to=TO, senders=(1,)), "", ()
    world.wait(HOLD)
    assert not world.sent


def test_a_file_that_is_damaged_is_no_obstacle(world: World) -> None:
    world.path.write_text("{")
    world.notifier = world.started()
    world.events = (UNDONE,)
    world.wait(INTERVAL)
    assert len(world.sent) == 2


@pytest.mark.parametrize("directory", ["missing"])
def test_a_file_that_cannot_be_written_is_no_obstacle(tmp_path: Path, directory: str) -> None:
    world = World(tmp_path / directory / "notifications.json")
    world.events = (UNDONE,)
    world.wait(INTERVAL)
    assert len(world.sent) == 2
