"""The execution of flooding commands on a bus, a disk and a log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from flooding import Cells, advertisement
from uno.agent.state_sync.flood_runner import FloodRunner
from uno.diagnostics import ActionNeeded
from uno.model.codec import encode
from uno.model.messages import REGISTRY, Ack, Kind, Phase, UvnAnnouncement
from uno.model.status import CellStatus
from uno.ports.bus import Bus, BusConfig, BusEvent, Channel, Lacks, Received, Topic, offers_for
from uno.statesync.sequence import BLOCK


@dataclass
class Calls(Bus):
    """A bus that records the calls."""

    made: list[tuple[object, ...]] = field(default_factory=list)

    def configure(self, config: BusConfig, deliver: Callable[[BusEvent], None]) -> None:
        """Not called."""
        raise AssertionError(config, deliver)

    def rejoin(self) -> None:
        """Not called."""
        raise AssertionError

    def subscribe(self, channel: Channel, lacks: Lacks | None = None) -> None:
        """Record it."""
        assert lacks is not None
        self.made.append(("subscribe", channel))

    def write(self, channel: Channel, envelope: object) -> None:
        """Record it."""
        self.made.append(("write", channel, envelope))

    def withdraw(self, channel: Channel, subject: int) -> None:
        """Record it."""
        self.made.append(("withdraw", channel, subject))

    def close(self) -> None:
        """Not called."""
        raise AssertionError


@pytest.fixture
def bus() -> Calls:
    return Calls()


@pytest.fixture
def runner(bus: Calls, tmp_path: Path) -> FloodRunner:
    return FloodRunner(bus, Cells(3).package(1), directory=tmp_path, clock=lambda: 7.0)


def status(*, signed_by: int = 2, sequence: int = 1) -> Received:
    body = encode(CellStatus(generation=1))
    made = advertisement(2, Kind.STATUS, body, sequence=sequence, signed_by=signed_by)
    return Received(Channel(Topic.STATUS), made)


def test_it_subscribes(runner: FloodRunner, bus: Calls) -> None:
    runner.subscribe()

    assert ("subscribe", offers_for(1)) in bus.made


def test_a_reservation_is_on_the_disk_and_survives_a_restart(
    runner: FloodRunner, bus: Calls, tmp_path: Path
) -> None:
    runner.originate(CellStatus(generation=1), Kind.STATUS)

    ((what, channel, envelope),) = bus.made
    assert (what, channel) == ("write", Channel(Topic.STATUS))
    assert envelope == runner.state.database.newest(Kind.STATUS, 1)
    again = FloodRunner(bus, Cells(3).package(1), directory=tmp_path, clock=lambda: 7.0)
    again.originate(CellStatus(generation=1), Kind.STATUS)
    newest = again.state.database.newest(Kind.STATUS, 1)
    assert newest is not None
    assert newest.sequence == BLOCK + 1


def test_a_newer_status_changes_the_state_and_is_flooded(runner: FloodRunner, bus: Calls) -> None:
    assert runner.receive(status())
    assert not runner.receive(status())
    assert bus.made == []

    assert runner.flood_due(awaiting_confirm=False) is None

    assert [each[:2] for each in bus.made] == [("write", Channel(Topic.STATUS, "relay"))]
    assert runner.receive(status(sequence=2))
    assert runner.flood_due(awaiting_confirm=False) == 7.03


def test_a_forged_message_is_logged(runner: FloodRunner, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="uno"):
        assert not runner.receive(status(signed_by=3))

    (record,) = caplog.records
    assert record.getMessage().startswith("dropped a message from cell 2: ")


def test_an_answered_offer_is_withdrawn(runner: FloodRunner, bus: Calls) -> None:
    offer = advertisement(2, Kind.OFFER, b"sealed", sequence=5, signed_by=REGISTRY)
    runner.receive(Received(Channel(Topic.OFFER, "relay-2"), offer))
    ack = encode(Ack(generation=1, phase=Phase.STAGED, running=1, offer=5))

    runner.receive(Received(Channel(Topic.ACK), advertisement(2, Kind.ACK, ack, sequence=1)))

    assert bus.made[-1] == ("withdraw", offers_for(2), 2)


def test_restored_messages_of_the_registry_are_flooded(runner: FloodRunner, bus: Calls) -> None:
    body = encode(UvnAnnouncement(generation=3))
    runner.restore([advertisement(REGISTRY, Kind.UVN, body, sequence=1)])

    assert [each[:2] for each in bus.made] == [("write", Channel(Topic.UVN, "relay"))]
    assert not runner.registry_reachable


@pytest.mark.feature("G51")
def test_a_status_that_cannot_be_sent_is_reported_and_ends_nothing(
    runner: FloodRunner,
    bus: Calls,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(_channel: Channel, _envelope: object) -> None:
        raise ActionNeeded("a message of 99 bytes is too large for the bus")

    with monkeypatch.context() as broken, caplog.at_level(logging.WARNING, logger="uno"):
        broken.setattr(bus, "write", refuse)
        for _ in range(3):
            runner.originate(CellStatus(generation=1), Kind.STATUS)

    assert runner.problems == ("a message of 99 bytes is too large for the bus",)
    assert [each.getMessage() for each in caplog.records] == [*runner.problems]

    runner.originate(CellStatus(generation=1), Kind.STATUS)

    assert runner.problems == ()
    assert [each[0] for each in bus.made] == ["write"]
