"""Versions that differ: upgrades one by one cut nobody off, and further fields change nothing."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from packages import key, package_of
from uno.agent.commit.ledger import Ledger
from uno.model import codec
from uno.model.messages import Ack, Activation, Kind, Phase, UvnAnnouncement
from uno.model.network_directory import (
    Directory,
    DirectoryCell,
    DirectoryLink,
    DirectoryParticle,
    DirectoryUser,
    Risk,
)
from uno.model.package import Package, RegistryKey, SignedManifest
from uno.model.package_formats import agreed, readable
from uno.model.status import (
    CellStatus,
    LanState,
    LinkState,
    ParticleState,
    PathState,
    UndonePackage,
)
from uno.model.trust import Revocation, TrustUpdate
from uno.render import package_file
from uno.statesync import bodies

REGISTRY = "registry"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 1 << 31) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)


@pytest.mark.feature("G59")
@given(cells=st.integers(1, 6), first=st.integers(1, 5), data=st.data())
def test_hosts_that_are_upgraded_one_by_one_in_any_order_read_every_package(
    cells: int, first: int, data: st.DataObject
) -> None:
    hosts = [REGISTRY, *range(1, cells + 1)]
    newest: dict[Any, int] = dict.fromkeys(hosts, first)
    written = 0

    for host in data.draw(st.permutations(hosts)):
        newest[host] += 1
        agents = {cell: newest[cell] for cell in hosts[1:]}
        found = agreed(agents, newest=newest[REGISTRY])

        assert found.cut_off == ()
        assert all(found.format in readable(each) for each in newest.values())
        assert found.format >= written
        assert set(found.held_back_by) == {c for c, n in agents.items() if n < newest[REGISTRY]}
        written = found.format

    assert agreed({cell: newest[cell] for cell in hosts[1:]}, newest=first + 1).format == first + 1


@pytest.mark.feature("G59")
@given(newest_of=st.dictionaries(st.integers(1, 9), st.integers(0, 12)), newest=st.integers(1, 12))
def test_whatever_agents_advertise_a_registry_writes_what_it_can(
    newest_of: dict[int, int], newest: int
) -> None:
    found = agreed(newest_of, newest=newest)

    assert found.format in readable(newest)
    assert set(found.cut_off) == {
        cell for cell, it in newest_of.items() if found.format not in readable(it)
    }


@pytest.mark.feature("G59")
@settings(deadline=None)
@given(later=json_values)
def test_a_package_with_fields_of_a_later_version_is_read_and_kept_byte_for_byte(
    later: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    plain, richer = as_file(PACKAGE), as_file(PACKAGE, later=later)
    assert plain != richer

    one, other = package_file.read(plain), package_file.read(richer)

    assert other.manifest.content != one.manifest.content
    same = msgspec.structs.replace(
        one.manifest, content=other.manifest.content, digests=other.manifest.digests
    )
    assert other == msgspec.structs.replace(one, manifest=same)
    ledger = Ledger(tmp_path_factory.mktemp("cell"))
    ledger.accept(richer)
    assert (ledger.directory / "package.uvn-agent").read_bytes() == richer
    assert ledger.accept(richer).outcome == "same"


@pytest.mark.feature("G59")
@settings(deadline=None)
@given(later=json_values)
def test_a_message_with_fields_of_a_later_version_means_the_same(later: object) -> None:
    for kind, body in BODIES.items():
        plain = bodies.parse(kind, codec.encode(body))
        assert plain == body
        assert bodies.parse(kind, msgspec.json.encode(enriched(body, later))) == body


# Helpers


def enriched(value: Any, later: object) -> Any:
    """Return a value as JSON, with a further field in every record of it."""
    if isinstance(value, Struct):
        fields = {name: getattr(value, name) for name in value.__struct_fields__}
        if value.__struct_config__.array_like:
            return [*(enriched(each, later) for each in fields.values()), later]
        return {name: enriched(each, later) for name, each in fields.items()} | {"x_later": later}
    if isinstance(value, tuple | list):
        return [enriched(each, later) for each in value]
    if isinstance(value, dict):
        return {str(name): enriched(each, later) for name, each in value.items()}
    return codec.to_builtins(value)


NOTHING = object()


def as_file(package: Package, *, later: object = NOTHING) -> bytes:
    """Return a package's bytes, signed; with `later`, as a later version would write it."""

    def encoded(value: Any) -> bytes:
        if later is NOTHING:
            return codec.encode(value)
        return msgspec.json.encode(enriched(value, later))

    contents = {
        package_file.ROSTER: encoded(package.roster),
        package_file.PARTICLES: encoded(package.particles),
        package_file.PLAN: encoded(package.plan),
        package_file.SECRETS: codec.encode(package.secrets),
    }
    manifest = encoded(
        msgspec.structs.replace(
            package.manifest,
            registry_key=b64encode(SIGNER.public_key().public_bytes_raw()).decode(),
            digests={name: hashlib.sha256(text).hexdigest() for name, text in contents.items()},
        )
    )
    entry, gzip = package_file._entry, package_file._gzip
    head = entry("manifest.json", manifest) + entry("signature", SIGNER.sign(manifest))
    tail = [entry(name, contents[name]) for name in (package_file.PLAN, package_file.SECRETS)]
    return b"".join(
        (
            gzip(head),
            *(gzip(entry(n, contents[n])) for n in (package_file.ROSTER, package_file.PARTICLES)),
            gzip(b"".join(tail) + bytes(1024)),
        )
    )


SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PACKAGE = package_of(1)
LAN = IPv4Network("192.168.1.0/24")
BODIES: dict[Kind, bodies.Body] = {
    Kind.UVN: UvnAnnouncement(generation=3, cells={1: 2, 2: 3}, reason="why"),
    Kind.ACTIVATION: Activation(generation=3, cells={1: 3}, batches=(("1-2",), ("1-3",))),
    Kind.ACK: Ack(generation=3, phase=Phase.STAGED, running=2, offer=7),
    Kind.TRUST: TrustUpdate(
        registry_keys=(RegistryKey(key=key("b"), follows=key("a"), signature="c"),),
        cells=(Revocation(id=1, before=2), Revocation(id=2)),
    ),
    Kind.DIRECTORY: Directory(
        generation=3,
        uvn="corp",
        owner="o@example.org",
        settings={"dds_domain": "46"},
        users=(DirectoryUser(email="o@example.org", name="Olga"),),
        cells=(DirectoryCell(id=1, name="lan-a", owner="o@example.org", lans=(LAN,)),),
        links=(DirectoryLink(number=0, a=1, b=2, slot_a=0, slot_b=1, port_b=63551),),
        particles=(DirectoryParticle(id=1, name="phone", owner="o@example.org"),),
        risks=(Risk(kind="link", failed=(1, 2), cut_off=((2,),), lan_pairs=1),),
    ),
    Kind.STATUS: CellStatus(
        generation=3,
        lans=(LanState(network=LAN, interface="eth1", address=IPv4Address("192.168.1.1")),),
        links=(LinkState(interface="uwg-b0", cell=2, bgp="Established", rtt=1.5),),
        paths=(PathState(cell=2, rtt=1.5, loss=0.0),),
        particles=(ParticleState(id=1, handshake=7),),
        unreachable=(IPv4Network("192.168.2.0/24"),),
        undone=UndonePackage(generation=2, reason="why", age=4),
        proof=SignedManifest(manifest=b"m", signature=b"s"),
    ),
}
