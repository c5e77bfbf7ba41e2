"""10,000 altered messages and packages are refused and logged once, and change nothing.

A cell receives them from a compromised neighbour: a member, which can write anything to the bus.
"""

from __future__ import annotations

import logging
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace

from commands import run
from uno.agent.commit.ledger import AcceptOutcome, Ledger
from uno.agent.state_sync.flood_runner import FloodRunner
from uno.diagnostics import UnoError
from uno.model.codec import encode
from uno.model.key_ids import cell_sealing, cell_signing
from uno.model.messages import (
    OF_REGISTRY,
    REGISTRY,
    Ack,
    Activation,
    Envelope,
    Kind,
    Phase,
    UvnAnnouncement,
)
from uno.model.package import Package
from uno.model.status import CellStatus
from uno.ports.bus import OWN, RELAY, Bus, BusConfig, BusEvent, Channel, Lacks, Received, Topic
from uno.registry.publish.keygen import SIGNING
from uno.registry.store.generation_store import Store
from uno.render import package_file
from uno.render.package_file import PackageRejected
from uno.statesync.envelope import Untrusted, seal, signed, signer, unseal

MESSAGES, PACKAGES = 6_000, 4_000
TOPICS = {
    Kind.UVN: Topic.UVN,
    Kind.STATUS: Topic.STATUS,
    Kind.OFFER: Topic.OFFER,
    Kind.ACTIVATION: Topic.ACTIVATION,
    Kind.ACK: Topic.ACK,
}
A, B = 1, 2


@dataclass
class RecordingBus(Bus):
    """A bus that records writes."""

    written: list[tuple[Channel, Envelope]] = field(default_factory=list)

    def configure(self, config: BusConfig, deliver: Callable[[BusEvent], None]) -> None:
        """Do nothing."""

    def subscribe(self, channel: Channel, lacks: Lacks | None = None) -> None:
        """Do nothing."""

    def write(self, channel: Channel, envelope: Envelope) -> None:
        """Record it."""
        self.written.append((channel, envelope))

    def withdraw(self, channel: Channel, subject: int) -> None:
        """Do nothing."""

    def rejoin(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """The package of cell a, its next one, that of cell b, and the signing keys of all."""

    first: bytes
    second: bytes
    of_b: bytes
    sign: dict[int, Callable[[bytes], bytes]]
    sealing: str

    @property
    def running(self) -> Package:
        return package_file.read(self.first)

    @property
    def identity(self) -> str:
        return self.running.manifest.identity

    def signed_message(
        self, kind: Kind, subject: int, body: object, *, by: int, sequence: int
    ) -> Envelope:
        plain = Envelope(
            subject=subject,
            kind=kind,
            sequence=sequence,
            relayed_by=by,
            body=body if isinstance(body, bytes) else encode(body),
            signature=b"",
        )
        return signed(plain, identity=self.identity, sign=self.sign[by])

    def sealed(self, package: bytes, *, cell: int) -> bytes:
        return seal(package, public_key=self.sealing, identity=self.identity, cell=cell)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    root = tmp_path_factory.mktemp("hostile") / "uvn"
    package = root / "cells" / "net__a.uvn-agent"

    def do(arguments: str) -> None:
        done = run(*arguments.split(), "-r", str(root))
        assert done.status == 0, done.err

    do("define uvn net -o john@example.org -p secret -a registry.example.org")
    do("define cell a -a a.example.org -N 192.168.1.0/24")
    do("define cell b -N 192.168.2.0/24")
    first = package.read_bytes()
    do("define cell c -N 192.168.3.0/24")
    store = Store(root / "registry.db")
    try:
        secrets = store.secrets()
    finally:
        store.close()
    keys = {REGISTRY: SIGNING, A: cell_signing(A), B: cell_signing(B)}
    return Site(
        first=first,
        second=package.read_bytes(),
        of_b=(root / "cells" / "net__b.uvn-agent").read_bytes(),
        sign={node: signer(text(secrets[key].private)) for node, key in keys.items()},
        sealing=text(secrets[cell_sealing(A)].public or b""),
    )


@pytest.fixture
def ledger(tmp_path: Path, site: Site) -> Ledger:
    made = Ledger(tmp_path / "cell")
    made.accept(site.first)
    return made


@pytest.mark.feature("G20")
def test_altered_messages_change_nothing_and_are_logged_once(
    site: Site, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    bus, chance = RecordingBus(), Random(1)  # noqa: S311 - the same every time
    flood = FloodRunner(bus, site.running, directory=ledger.directory, clock=lambda: 0.0)
    true = [
        site.signed_message(
            Kind.UVN, REGISTRY, UvnAnnouncement(generation=3), by=REGISTRY, sequence=10
        ),
        site.signed_message(
            Kind.ACTIVATION, REGISTRY, Activation(generation=3), by=REGISTRY, sequence=10
        ),
        site.signed_message(
            Kind.OFFER, A, site.sealed(site.second, cell=A), by=REGISTRY, sequence=10
        ),
        site.signed_message(Kind.STATUS, B, CellStatus(generation=3), by=B, sequence=10),
        site.signed_message(
            Kind.ACK, B, Ack(generation=3, phase=Phase.STAGED, running=2), by=B, sequence=10
        ),
    ]
    for each in true:
        assert flood.receive(Received(Channel(TOPICS[Kind(each.kind)], OWN), each))
    assert flood.flood_due(awaiting_confirm=False) is None
    bus.written.clear()

    with caplog.at_level(logging.WARNING, logger="uno"):
        for _ in range(MESSAGES):
            forged = tampered(chance.choice(true), site, chance)
            topic = TOPICS.get(Kind(forged.kind)) if forged.kind in TOPICS else None
            channel = Channel(topic or Topic.STATUS, chance.choice([OWN, RELAY]))
            assert not flood.receive(Received(channel, forged))

    assert [flood.state.database.newest(Kind(each.kind), each.subject) for each in true] == true
    assert not flood.state.queue
    assert bus.written == []
    assert max(Counter(record.getMessage() for record in caplog.records).values()) == 1


@pytest.mark.feature("G20")
def test_altered_packages_are_refused_and_leave_the_directory_unchanged(
    site: Site, ledger: Ledger
) -> None:
    chance = Random(2)  # noqa: S311 - the same every time
    before = content(ledger.directory)
    staged = 0

    for _ in range(PACKAGES // 2):
        package = mutated(site.second, chance)
        try:
            ledger.stage(package)
        except PackageRejected:
            continue
        # The header of gzip is not signed, and has no effect.
        assert package_file.read(package) == package_file.read(site.second)
        staged += 1
        ledger.discard()

    assert content(ledger.directory) == before
    assert staged < PACKAGES // 100
    # It was not for what they were that they were refused.
    assert ledger.stage(site.second) is AcceptOutcome.NEWER


@pytest.mark.feature("G20")
def test_altered_sealed_packages_are_not_opened(site: Site) -> None:
    chance = Random(3)  # noqa: S311 - the same every time
    sealed = site.sealed(site.second, cell=A)
    key = site.running.secrets[cell_sealing(A)]

    for _ in range(PACKAGES // 2):
        with pytest.raises(Untrusted):
            unseal(mutated(sealed, chance), private_key=key, identity=site.identity, cell=A)

    assert unseal(sealed, private_key=key, identity=site.identity, cell=A) == site.second


@pytest.mark.feature("G21")
def test_only_its_cell_can_open_a_sealed_package(site: Site) -> None:
    sealed = site.sealed(site.second, cell=A)
    key_a = site.running.secrets[cell_sealing(A)]
    key_b = package_file.read(site.of_b).secrets[cell_sealing(B)]

    for key, identity, cell in (
        (key_b, site.identity, A),
        (key_b, site.identity, B),
        (key_a, site.identity, B),
        (key_a, "0" * 32, A),
    ):
        with pytest.raises(Untrusted):
            unseal(sealed, private_key=key, identity=identity, cell=cell)
    assert site.second not in sealed
    assert b"192.168.1.0" not in sealed


@pytest.mark.feature("G20")
def test_a_package_of_another_cell_is_refused_however_it_is_delivered(
    site: Site, ledger: Ledger
) -> None:
    """Cell b has a package of its own that the registry has signed, and offers it to cell a."""
    before = content(ledger.directory)

    with pytest.raises(UnoError, match="this package is for cell b, and this is cell a"):
        ledger.stage(site.of_b)
    offer = site.signed_message(Kind.OFFER, A, site.sealed(site.of_b, cell=A), by=B, sequence=99)
    flood = FloodRunner(RecordingBus(), site.running, directory=ledger.directory, clock=lambda: 0.0)

    assert not flood.receive(Received(Channel(Topic.OFFER, "cell-1"), offer))
    assert not flood.state.unhandled.offer
    assert content(ledger.directory) == before


@pytest.mark.feature("G20")
def test_an_older_package_is_refused(site: Site, ledger: Ledger) -> None:
    ledger.accept(site.second)
    before = content(ledger.directory)

    with pytest.raises(PackageRejected, match="older than the generation"):
        ledger.stage(site.first)

    assert content(ledger.directory) == before


def tampered(true: Envelope, site: Site, chance: Random) -> Envelope:
    """Alter a message, so that its signature does not match."""
    later = replace(true, sequence=true.sequence + chance.randrange(1, 1 << 40))
    # Signed by a member that is not its originator.
    other = B if true.kind in OF_REGISTRY else A
    ways: tuple[Callable[[], Envelope], ...] = (
        lambda: replace(later, body=mutated(true.body, chance)),
        lambda: replace(later, signature=mutated(true.signature, chance)),
        lambda: replace(later, subject=chance.choice([-1, 0, A, B, 3, 77, 1 << 33])),
        lambda: replace(later, kind=chance.choice([-1, 0, 1, 2, 3, 4, 5, 6, 200])),
        lambda: replace(later, relayed_by=chance.choice([0, A, B, 3, 1 << 20])),
        lambda: replace(later, body=chance.randbytes(chance.randrange(200))),
        lambda: signed(later, identity=site.identity, sign=site.sign[other]),
        lambda: replace(true, body=mutated(true.body, chance)),
    )
    return chance.choice(ways)()


def mutated(content: bytes, chance: Random) -> bytes:
    """Change some bytes, so that they are not what they were."""
    changed = bytearray(content)
    while changed == content:
        at = chance.randrange(len(content))
        match chance.randrange(4):
            case 0:
                changed[at] ^= chance.randrange(1, 256)
            case 1:
                del changed[at:]
            case 2:
                changed[at:at] = chance.randbytes(chance.randrange(1, 40))
            case _:
                del changed[at : at + chance.randrange(1, 40)]
    return bytes(changed)


def content(directory: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in directory.iterdir() if path.name[-4:] != "lock"
    }


def text(key: bytes) -> str:
    return b64encode(key).decode()
