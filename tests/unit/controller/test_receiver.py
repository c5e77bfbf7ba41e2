"""What the registry makes of advertisements: direct, relayed, and of unknown cells."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

import pytest
from msgspec.structs import replace

from commands import run
from flooding import Cells
from uno.controller.receiver import Receiver
from uno.model.codec import encode
from uno.model.key_ids import cell_signing
from uno.model.messages import Envelope, Kind
from uno.model.package import SignedManifest
from uno.model.status import CellStatus
from uno.ports.bus import FOR_REGISTRY, OWN, Channel, Presence, Received, Topic
from uno.render import package_file
from uno.statesync.envelope import signed, signer


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
    key = cells.package(1).manifest.registry_key
    registry.trust(members, registry_key=key, now=2.0)

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


def test_what_is_repeated_of_a_cell_is_no_contact_with_it(cells: Cells) -> None:
    registry = receiver(cells, 1, 2)
    (channel, first), *_ = advertised(cells, 2)
    (_, second), *_ = advertised(cells, 2)
    registry.receive(Received(Channel(Topic.STATUS, FOR_REGISTRY), second), now=1.0)

    registry.receive(Received(channel, first), now=50.0)
    assert registry.unreachable_from_registry(now=50.0) == (1, 2)

    registry.receive(Received(channel, second), now=50.0)
    assert registry.unreachable_from_registry(now=50.0) == (1,)


@pytest.mark.feature("G53")
def test_what_is_not_authentic_or_known_is_no_news(cells: Cells) -> None:
    registry = receiver(cells, 1)
    own, for_registry = Channel(Topic.STATUS), Channel(Topic.STATUS, FOR_REGISTRY)
    (_, first), *_ = advertised(cells, 1)
    (_, second), *_ = advertised(cells, 1)
    forged = replace(second, sequence=second.sequence + 1)
    stranger = replace(second, subject=2)

    def is_news(channel: Channel, envelope: Envelope, *, now: float) -> bool:
        return registry.receive(Received(channel, envelope), now=now)

    assert is_news(for_registry, first, now=1.0)
    assert not is_news(for_registry, first, now=1.1)
    assert is_news(own, first, now=1.2), "the cell is received directly"
    assert not is_news(own, first, now=1.3)
    assert not is_news(own, forged, now=1.4)
    assert not is_news(own, stranger, now=1.5)
    assert not registry.receive(Presence(own, 1), now=1.6)
    assert is_news(own, second, now=1.7)
    assert not is_news(own, first, now=1.8)
    assert is_news(own, second, now=50.0), "the cell is received directly again"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[int, bytes]:
    """The packages of the two cells of a UVN, of generation 3."""
    root = tmp_path_factory.mktemp("proof") / "uvn"
    for words in (
        "define uvn net -o j@example.org -p x",
        "define cell a -a a.example.org",
        "define cell b -a b.example.org",
    ):
        assert run(*words.split(), "-r", str(root)).status == 0
    names = {1: "a", 2: "b"}
    return {
        cell: (root / "cells" / f"net__{name}.uvn-agent").read_bytes()
        for cell, name in names.items()
    }


def proven(package: bytes, proof: SignedManifest) -> int | None:
    """Return the generation that the cell of `package` is taken to run when it sends `proof`."""
    own = package_file.read(package)
    cell = own.plan.cell
    sign = signer(own.secrets[cell_signing(cell)])
    plain = Envelope(
        subject=cell,
        kind=Kind.STATUS,
        sequence=1,
        relayed_by=cell,
        body=encode(CellStatus(generation=9, proof=proof)),
        signature=b"",
    )
    registry = Receiver(
        identity=own.plan.identity,
        registry_key=own.manifest.registry_key,
        members={each.id: each for each in own.roster.members},
        since=0.0,
    )
    status = signed(plain, identity=own.plan.identity, sign=sign)
    registry.receive(Received(Channel(Topic.STATUS), status), now=1.0)
    found = registry.observations(now=1.0)[cell]
    assert found.status is not None
    return found.proven


@pytest.mark.feature("G53")
@pytest.mark.parametrize(
    ("alter", "generation"),
    [
        (lambda it: it, 3),
        (
            lambda it: replace(
                it, manifest=it.manifest.replace(b'"generation":3', b'"generation":4')
            ),
            None,
        ),
        (lambda it: replace(it, signature=bytes(64)), None),
        (lambda it: replace(it, manifest=b"\x1b[2J"), None),
        (lambda it: replace(it, signature=b""), None),
    ],
)
def test_only_a_manifest_that_the_registry_has_signed_proves_a_generation(
    packages: dict[int, bytes],
    alter: Callable[[SignedManifest], SignedManifest],
    generation: int | None,
) -> None:
    proof = alter(package_file.read_proof(packages[1]))

    assert proven(packages[1], proof) == generation


@pytest.mark.feature("G53")
def test_the_proof_of_another_cell_proves_nothing(packages: dict[int, bytes]) -> None:
    assert proven(packages[2], package_file.read_proof(packages[2])) == 3
    assert proven(packages[2], package_file.read_proof(packages[1])) is None


@pytest.mark.feature("G53")
def test_the_proof_of_another_registry_proves_nothing(
    packages: dict[int, bytes], cells: Cells
) -> None:
    proof = package_file.read_proof(packages[1])
    registry = receiver(cells, 1)
    cells.originate(1, CellStatus(generation=9, proof=proof), Kind.STATUS)
    (envelope,) = (each for (_, subject), each in cells.executed[1].newest.items() if subject == 1)

    registry.receive(Received(Channel(Topic.STATUS), envelope), now=1.0)

    found = registry.observations(now=1.0)[1]
    assert found.status is not None
    assert found.proven is None
