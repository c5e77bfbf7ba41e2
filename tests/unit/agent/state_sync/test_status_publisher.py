"""When a cell advertises its status."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from flooding import Cells, advertisement
from uno.agent.state_sync.flood_runner import FloodRunner
from uno.agent.state_sync.status_publisher import StatusPublisher
from uno.bus.memory import MemoryBus, MemoryNetwork
from uno.model.codec import encode
from uno.model.messages import Kind
from uno.model.status import CellStatus, LinkState
from uno.ports.bus import Channel, Received, Topic
from uno.statesync.flap_damping import AT_ONCE, INTERVAL
from uno.statesync.timers import HELLO_INTERVAL, REFRESH_INTERVAL, WATCHED_INTERVAL


class Publishing:
    """A publisher with a clock that the test sets."""

    def __init__(self, directory: Path) -> None:
        self.now = 0.0
        self.published = 0
        self.is_pending = False
        self.flood = FloodRunner(
            MemoryBus(MemoryNetwork()),
            Cells(3).package(1),
            directory=directory,
            clock=lambda: self.now,
        )
        self.publisher = StatusPublisher(
            self.flood,
            clock=lambda: self.now,
            on_published=self.note,
            awaiting_confirm=lambda: self.is_pending,
        )

    def note(self) -> None:
        self.published += 1

    @property
    def sequence(self) -> int:
        newest = self.flood.state.database.newest(Kind.STATUS, 1)
        return newest.sequence if newest else 0


@pytest.fixture
def publishing(tmp_path: Path) -> Publishing:
    return Publishing(tmp_path)


def run_briefly(work: Callable[[], Awaitable[None]], then: Callable[[], None]) -> None:
    """Run a loop that does not end, call `then` once it waits, and stop the loop."""

    async def scene() -> None:
        task = asyncio.ensure_future(work())
        await asyncio.sleep(0.01)
        then()
        await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(scene())


def test_a_significant_change_is_advertised_at_once(publishing: Publishing) -> None:
    publisher = publishing.publisher

    assert publisher.update(CellStatus(generation=1))
    assert not publisher.update(CellStatus(generation=1))
    assert publisher.update(CellStatus(generation=2))

    assert publishing.published == 2
    assert publishing.sequence == 2


def flapping(number: int) -> CellStatus:
    bfd = "up" if number % 2 else "down"
    link = LinkState(interface="uwg-0", cell=2, bgp="Established", bfd=bfd)
    return CellStatus(generation=1, links=(link,))


@pytest.mark.feature("G57")
def test_what_flaps_is_held_and_its_newest_state_advertised_in_the_end(
    publishing: Publishing,
) -> None:
    publisher, database = publishing.publisher, publishing.flood.state.database
    for number in range(AT_ONCE):
        assert publisher.update(flapping(number))

    assert not publisher.update(flapping(AT_ONCE))
    assert not publisher.update(flapping(AT_ONCE + 1))
    # As it was advertised last: there is nothing to hold.
    publishing.now = INTERVAL
    run_briefly(publisher.run_refresh, lambda: None)
    assert publishing.sequence == AT_ONCE

    publishing.now = 0.5
    assert not publisher.update(flapping(AT_ONCE))
    publishing.now = INTERVAL
    run_briefly(publisher.run_refresh, lambda: None)
    assert database.status(1) == flapping(AT_ONCE)
    assert publishing.sequence == AT_ONCE + 1


@pytest.mark.feature("G57")
def test_what_the_registry_or_a_person_causes_is_never_held(publishing: Publishing) -> None:
    for number in range(AT_ONCE):
        publishing.publisher.update(flapping(number))

    assert publishing.publisher.update(replace(flapping(AT_ONCE), generation=2))
    assert publishing.publisher.update(replace(flapping(1), generation=2, watched=True))
    assert not publishing.publisher.update(replace(flapping(2), generation=2, watched=True))
    publishing.is_pending = True
    assert publishing.publisher.update(replace(flapping(2), generation=2, watched=True))


def test_the_status_is_refreshed(publishing: Publishing) -> None:
    publishing.publisher.update(CellStatus(generation=1))
    publishing.now = REFRESH_INTERVAL

    run_briefly(publishing.publisher.run_refresh, lambda: None)

    assert publishing.published == 2


def test_it_is_not_refreshed_early(publishing: Publishing) -> None:
    publishing.publisher.update(CellStatus(generation=1))
    publishing.now = REFRESH_INTERVAL - 5

    run_briefly(publishing.publisher.run_refresh, lambda: None)

    assert publishing.published == 1


@pytest.mark.feature("G57")
def test_between_refreshes_neighbours_receive_hellos(publishing: Publishing) -> None:
    publishing.publisher.update(CellStatus(generation=1))
    publishing.now = HELLO_INTERVAL

    run_briefly(publishing.publisher.run_refresh, lambda: None)

    assert publishing.published == 1
    hello = publishing.flood.state.database.newest(Kind.HELLO, 1)
    assert hello is not None
    assert hello.sequence == 2


@pytest.mark.feature("G57")
def test_what_is_measured_is_advertised_while_someone_watches(publishing: Publishing) -> None:
    publisher, database = publishing.publisher, publishing.flood.state.database
    publisher.update(CellStatus(generation=1, uptime=1))
    publisher.update(CellStatus(generation=1, uptime=9))
    publishing.now = WATCHED_INTERVAL

    def watch() -> None:
        body = encode(CellStatus(generation=1, watched=True))
        made = advertisement(2, Kind.STATUS, body, sequence=1)
        publishing.flood.receive(Received(Channel(Topic.STATUS), made))
        publisher.wake_refresh()

    run_briefly(publisher.run_refresh, watch)
    assert database.status(1) == CellStatus(generation=1, uptime=9)
    assert publishing.published == 2

    publishing.now = 2 * WATCHED_INTERVAL
    run_briefly(publisher.run_refresh, lambda: None)
    assert publishing.published == 3


@pytest.mark.feature("G57")
def test_a_neighbour_that_lacks_this_cell_receives_its_status_again(
    publishing: Publishing,
) -> None:
    publishing.publisher.update(CellStatus(generation=1))
    publishing.now = HELLO_INTERVAL
    lacking = CellStatus(generation=1, links=(LinkState(interface="uwg-0", cell=1),))
    made = advertisement(2, Kind.STATUS, encode(lacking), sequence=1)
    publishing.flood.receive(Received(Channel(Topic.STATUS), made))

    run_briefly(publishing.publisher.run_refresh, lambda: None)

    assert publishing.published == 2


def test_a_queued_status_is_flooded_once_the_loop_is_woken(publishing: Publishing) -> None:
    body = encode(CellStatus(generation=1))

    def receive() -> None:
        made = advertisement(2, Kind.STATUS, body, sequence=1)
        publishing.flood.receive(Received(Channel(Topic.STATUS), made))
        assert publishing.flood.state.queue
        publishing.publisher.wake_flooding()

    run_briefly(publishing.publisher.run_flooding, receive)

    assert not publishing.flood.state.queue
