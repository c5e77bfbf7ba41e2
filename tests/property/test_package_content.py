"""Whatever happens to a package on its way, reading it is safe."""

from __future__ import annotations

import zlib
from base64 import b64encode
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from uno.model.package import Package
from uno.model.plan import CellPlan, Member, ParticleIdentity, ParticlePeer, Pools, Roster, Timing
from uno.render import package_file
from uno.render.package_file import PackageRejected

mutations = st.one_of(
    st.tuples(st.just("flip"), st.integers(0, 1 << 16), st.integers(1, 255)),
    st.tuples(st.just("cut"), st.integers(0, 1 << 16), st.just(0)),
    st.tuples(st.just("insert"), st.integers(0, 1 << 16), st.integers(0, 255)),
    st.tuples(st.just("repeat"), st.integers(0, 1 << 16), st.integers(1, 600)),
    st.tuples(st.just("drop"), st.integers(0, 1 << 16), st.integers(1, 600)),
)


@pytest.mark.feature("G20")
@settings(max_examples=2000, deadline=None)
@given(changes=st.lists(mutations, min_size=1, max_size=3))
def test_a_package_that_was_changed_is_refused_or_means_the_same(
    changes: list[tuple[str, int, int]],
) -> None:
    content = PACKAGE
    for change in changes:
        content = mutate(content, *change)

    assert_refused_or_equal(content)


@pytest.mark.feature("G20")
@settings(max_examples=2000, deadline=None)
@given(part=st.integers(0, 3), changes=st.lists(mutations, min_size=1, max_size=3))
def test_so_is_one_that_was_changed_inside_and_packed_again(
    part: int, changes: list[tuple[str, int, int]]
) -> None:
    parts = list(UNPACKED)
    for change in changes:
        parts[part] = mutate(parts[part], *change)

    assert_refused_or_equal(b"".join(map(gzip, parts)))


@settings(max_examples=1000, deadline=None)
@given(content=st.binary(max_size=2000))
def test_any_bytes_are_refused(content: bytes) -> None:
    assert_refused_or_equal(content)
    assert_refused_or_equal(gzip(content))
    assert_refused_or_equal(gzip(UNPACKED[0]) + content)


@settings(max_examples=1000, deadline=None)
@given(roster=st.binary(max_size=300), particles=st.binary(max_size=300))
def test_any_content_that_a_registry_signs_is_refused_or_read(
    roster: bytes, particles: bytes
) -> None:
    content = package(
        package_file.segment(package_file.ROSTER, roster),
        package_file.segment(package_file.PARTICLES, particles),
    )

    assert outcome(content)


# Helpers


def assert_refused_or_equal(content: bytes) -> None:
    result = outcome(content)
    if isinstance(result, Package):
        assert result == outcome(PACKAGE)
    else:
        assert result
        assert "\n" not in result


def outcome(content: bytes) -> Package | str:
    try:
        return package_file.read(content)
    except PackageRejected as error:
        return str(error)


def mutate(content: bytes, kind: str, place: int, value: int) -> bytes:
    at = place % max(len(content), 1)
    match kind:
        case "flip" if content:
            return content[:at] + bytes([content[at] ^ value]) + content[at + 1 :]
        case "cut":
            return content[:at]
        case "insert":
            return content[:at] + bytes([value]) + content[at:]
        case "repeat":
            return content[: at + value] + content[at:]
        case _:
            return content[:at] + content[at + value :]


def gzip(content: bytes) -> bytes:
    stream = zlib.compressobj(1, zlib.DEFLATED, 31)
    return stream.compress(content) + stream.flush()


def unpack(content: bytes) -> list[bytes]:
    parts = []
    while content:
        stream = zlib.decompressobj(31)
        parts.append(stream.decompress(content))
        content = stream.unused_data
    return parts


def package(roster: package_file.Segment, particles: package_file.Segment) -> bytes:
    return package_file.write(
        generation=1,
        package_format=1,
        registry_key=b64encode(SIGNER.public_key().public_bytes_raw()).decode(),
        roster=roster,
        particles=particles,
        plan=CellPlan(uvn="u", identity="0" * 32, cell=1, name="lan-a", backbone_mtu=1320),
        secrets={},
        sign=SIGNER.sign,
    )


SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PHONE = ParticleIdentity(1, "phone", IPv4Address("10.254.0.2"), IPv6Address(2))
PACKAGE = package(
    package_file.roster_segment(
        Roster(
            uvn="u",
            identity="0" * 32,
            pools=Pools(
                root=IPv4Network("10.255.128.0/22"),
                particles=IPv4Network("10.254.0.0/16"),
                backbone=IPv4Network("10.255.192.0/20"),
                ula=IPv6Network("fd00::/48"),
                particles6=IPv6Network("fd00:0:0:2::/64"),
            ),
            timing=Timing(
                hold=9, keepalive=3, connect=5, bfd_interval=300, bfd_multiplier=3, restart=120
            ),
            members=(
                Member(id=1, name="lan-a", node4=IPv4Address("10.255.128.2"), node6=IPv6Address(1)),
            ),
        )
    ),
    package_file.particles_segment([ParticlePeer(PHONE, "key", "psk")]),
)
UNPACKED = unpack(PACKAGE)
