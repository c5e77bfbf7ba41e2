"""What the registry makes of advertisements: direct, relayed, and of unknown cells."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import pytest

from flooding import Cells
from uno.controller.receiver import Receiver
from uno.model.messages import Envelope
from uno.ports.bus import FOR_REGISTRY, OWN, Channel, Received, Topic


@pytest.fixture
def cells() -> Cells:
    return Cells(2)


def receiver(cells: Cells, *known: int) -> Receiver:
    package = cells.package(1)
    return Receiver(
        identity=package.plan.identity,
        registry_key=package.manifest.registry_key,
        members={each.id: each for each in package.roster.members if each.id in known},
        since=0.0,
    )


def advertised(cells: Cells, cell: int) -> Iterable[tuple[Channel, Envelope]]:
    cells.advertise(cell)
    newest = cells.executed[cell].newest.items()
    return [(channel, it) for (channel, _), it in newest if channel.topic is Topic.STATUS]


def test_advertisements_of_a_new_cell_count_once_it_is_released(cells: Cells) -> None:
    registry = receiver(cells, 1)
    for channel, envelope in advertised(cells, 2):
        registry.receive(Received(channel, envelope), now=1.0)
    assert registry.observations(now=1.0).keys() == {1}

    members = {each.id: each for each in cells.package(1).roster.members}
    registry.trust(members, now=2.0)

    found = registry.observations(now=2.0)[2]
    assert found.alive
    assert found.verified
    assert found.status is not None
    assert found.status.generation == 1


def test_a_cell_is_verified_by_a_direct_advertisement_or_a_second_relayed_one(
    cells: Cells,
) -> None:
    registry = receiver(cells, 1, 2)

    def relay(*, now: float) -> bool:
        for channel, envelope in advertised(cells, 2):
            relayed = Channel(channel.topic, FOR_REGISTRY)
            registry.receive(Received(relayed, envelope), now=now)
        return registry.observations(now=now)[2].verified

    assert not relay(now=1.0)
    # Soon after the first it may be as old.
    assert not relay(now=6.0)
    assert relay(now=6.1)
    for channel, envelope in advertised(cells, 1):
        registry.receive(Received(Channel(channel.topic, OWN), envelope), now=1.0)
    assert registry.observations(now=1.0)[1].verified


def test_cells_without_direct_advertisements_are_reached_through_others(cells: Cells) -> None:
    registry = receiver(cells, 1, 2)
    for channel, envelope in advertised(cells, 1):
        registry.receive(Received(Channel(channel.topic, OWN), envelope), now=1.0)
    for channel, envelope in advertised(cells, 2):
        registry.receive(Received(Channel(channel.topic, FOR_REGISTRY), envelope), now=1.0)

    assert registry.unreachable_from_registry(now=4.9) == ()
    assert registry.unreachable_from_registry(now=5.0) == (2,)
    assert registry.unreachable_from_registry(now=46.1) == (1, 2)
    assert registry.unreachable(now=46.0) == frozenset()
    assert registry.unreachable(now=46.1) == {1, 2}
    assert registry.received_since(1.0, now=3.0) == {1, 2}
    assert registry.received_since(1.1, now=3.0) == frozenset()


def test_a_message_that_is_not_authentic_is_logged_once(
    cells: Cells, caplog: pytest.LogCaptureFixture
) -> None:
    registry = receiver(cells, 1)
    forged = [
        (channel, Envelope(**{**fields(envelope), "signature": bytes(64)}))
        for channel, envelope in advertised(cells, 1)
    ]

    with caplog.at_level(logging.WARNING):
        for channel, envelope in forged * 2:
            registry.receive(Received(channel, envelope), now=1.0)

    assert len(caplog.messages) == 1
    assert registry.observations(now=1.0)[1].status is None


def fields(envelope: Envelope) -> dict[str, object]:
    return {name: getattr(envelope, name) for name in envelope.__struct_fields__}
