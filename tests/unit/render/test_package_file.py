"""Packages: what is written is what is read, and nothing else is read at all."""

from __future__ import annotations

import io
import tarfile
import zlib
from base64 import b64encode
from dataclasses import dataclass, field, replace  # noqa: TID251 - of a dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace as with_fields

from uno.model import package_formats
from uno.model.plan import (
    BackbonePeer,
    CellPlan,
    CellSet,
    Member,
    ParticleIdentity,
    ParticlePeer,
    Pools,
    Roster,
    Timing,
)
from uno.render import package_file
from uno.render.package_file import OtherFormat, PackageRejected


@pytest.mark.feature("F068")
@pytest.mark.feature("F069")
def test_a_cell_reads_back_all_that_was_written_for_it() -> None:
    content = Cell().package(generation=7)

    read = package_file.read(content)

    assert read.plan == PLAN
    assert read.roster == ROSTER
    assert read.particles == PARTICLES
    assert read.secrets == SECRETS
    assert (read.manifest.generation, read.manifest.cell_name) == (7, "lan-a")


def test_the_same_content_makes_the_same_bytes() -> None:
    assert Cell().package() == Cell().package()


def test_any_tar_can_list_a_package_of_private_files_without_an_owner() -> None:
    with tarfile.open(fileobj=io.BytesIO(Cell().package()), mode="r:gz") as tar:
        members = tar.getmembers()

    assert [member.name for member in members] == [
        "manifest.json",
        "signature",
        "roster.json",
        "particles.json",
        "plan.json",
        "secrets.json",
    ]
    assert {(m.mode, m.uid, m.gid, m.mtime, m.uname, m.isreg()) for m in members} == {
        (0o600, 0, 0, 0, "", True)
    }


def test_printing_a_package_or_a_segment_shows_no_secret() -> None:
    shown = repr(package_file.read(Cell().package())) + repr(Cell().particles)

    assert not any(secret in shown for secret in SECRETS.values())
    assert "packed" not in shown


def test_packages_of_one_generation_differ_in_content_if_anything_in_them_differs() -> None:
    cell = Cell()
    others = (
        replace(cell, plan=with_fields(PLAN, httpd_port=8443)),
        replace(cell, secrets=SECRETS | {"link/1-2/psk": key(9)}),
        replace(cell, roster=package_file.roster_segment(with_fields(ROSTER, members=()))),
        replace(cell, particles=package_file.particles_segment(())),
        replace(cell, signer=Ed25519PrivateKey.from_private_bytes(bytes(32))),
    )

    digests = {content_of(other) for other in others}

    assert content_of(cell) == content_of(Cell())
    assert len(digests | {content_of(cell)}) == 6


@pytest.mark.feature("G20")
def test_a_package_signed_by_another_key_is_refused() -> None:
    forger = Ed25519PrivateKey.from_private_bytes(bytes(32))

    forged = package_file.write(
        generation=1,
        package_format=1,
        registry_key=public(SIGNER),
        roster=Cell().roster,
        particles=Cell().particles,
        plan=PLAN,
        secrets=SECRETS,
        sign=forger.sign,
    )

    assert refusal(forged).startswith("the signature of this package of cell lan-a is not")


@pytest.mark.feature("G20")
def test_only_the_expected_registry_is_believed() -> None:
    content = Cell().package()
    mine, other = public(SIGNER), public(Ed25519PrivateKey.from_private_bytes(bytes(32)))

    assert package_file.read(content, registry_key=mine)
    assert package_file.read(content, registry_key=package_file.fingerprint(mine))
    with pytest.raises(PackageRejected, match="was signed by another registry"):
        package_file.read(content, registry_key=other)
    with pytest.raises(PackageRejected, match="was signed by another registry"):
        package_file.read(content, registry_key=package_file.fingerprint(other))


def test_a_fingerprint_is_a_hash_in_the_form_that_openssh_uses() -> None:
    shown = package_file.fingerprint(b64encode(bytes(32)).decode())

    assert shown == "SHA256:Zmh6rfhivXdsj8GLjp+OIAiXFIVu4jOzkCpZHQ1fKSU"


@pytest.mark.feature("G59")
@pytest.mark.parametrize(
    ("own", "found", "readable", "hint"),
    [
        (1, 2, "format 1", "update uno on this host to the version that the registry has"),
        (3, 4, "formats 2 and 3", "update uno on this host to the version that the registry has"),
        (3, 1, "formats 2 and 3", "copy the cell's newest package from the registry, and install"),
    ],
)
def test_a_package_of_another_format_is_not_called_damaged(
    own: int, found: int, readable: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_formats, "FORMAT", own)

    assert refusal(Cell().package(package_format=found), OtherFormat).startswith(
        f"this package has format {found}, and this uno reads {readable}; {hint}"
    )


@pytest.mark.feature("G59")
def test_this_format_and_the_one_before_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_formats, "FORMAT", 3)

    read = [package_file.read(Cell().package(package_format=each)) for each in (2, 3)]

    assert [each.manifest.format for each in read] == [2, 3]
    assert read[0].plan == read[1].plan


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        ({"uvn": "other"}, "its roster is of another UVN"),
        ({"identity": "0" * 32}, "its roster is of another UVN"),
        ({"cell": 3}, "its roster does not have cell lan-a"),
        ({"name": "lan-z"}, "its roster does not have cell lan-z"),
    ],
)
def test_a_package_that_contradicts_itself_is_refused(plan: dict[str, str], reason: str) -> None:
    content = replace(Cell(), plan=with_fields(PLAN, **plan)).package()

    assert refusal(content).startswith(f"this package contradicts itself: {reason};")


@pytest.mark.parametrize("value", [None, "", "short", b64encode(bytes(31)).decode(), "é" * 44])
def test_a_package_without_a_key_that_its_plan_names_is_refused(value: str | None) -> None:
    secrets = {name: text for name, text in SECRETS.items() if name != "link/1-2/psk"}
    secrets |= {"link/1-2/psk": value} if value is not None else {}

    content = replace(Cell(), secrets=secrets).package()

    assert "the key link/1-2/psk is missing or is not a key" in refusal(content)


def test_a_name_that_would_move_the_cursor_is_refused() -> None:
    content = replace(Cell(), plan=with_fields(PLAN, name="lan-a\x1b[2J")).package()

    assert refusal(content).startswith("this is not a whole .uvn-agent package: manifest.json has")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "its end is missing"),
        (b"\x1f\x8b", "its end is missing"),
        (b"#!/bin/sh\n", "it does not unpack"),
        (bytes(1000), "it does not unpack"),
        (bytes((64 << 20) + 1), "it is larger than 64 MiB"),
    ],
)
def test_what_is_not_a_package_is_refused(content: bytes, reason: str) -> None:
    assert refusal(content) == (
        f"this is not a whole .uvn-agent package: {reason};"
        " if it should be one, copy it from the registry again"
    )


def test_a_package_that_was_cut_off_is_refused_wherever_it_was_cut() -> None:
    content = Cell().package()

    reasons = {refusal(content[:length]) for length in range(len(content))}

    assert all("its end is missing" in reason for reason in reasons)


def test_a_package_with_something_behind_it_is_refused() -> None:
    content = Cell().package()

    assert "something follows its end" in refusal(content + b"\0")
    assert "something follows its end" in refusal(content + gzip(b""))
    assert "something follows its end" in refusal(content + content)


def test_a_package_that_unpacks_to_too_much_is_refused_before_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(package_file, "UNPACKED_LIMIT", 1 << 20)
    head, roster, _, _ = split(Cell().package())
    zeros = gzip(bytes(2 << 20))

    assert "more than a package can hold" in refusal(zeros)
    assert "more than a package can hold" in refusal(head + zeros)
    assert "more than a package can hold" in refusal(head + roster + zeros)


def test_members_of_another_package_of_the_same_registry_are_refused() -> None:
    head, roster, particles, tail = split(Cell().package())
    _, _, _, other = split(replace(Cell(), plan=with_fields(PLAN, httpd_port=1)).package())

    assert "plan.json is not what was signed" in refusal(head + roster + particles + other)
    assert "roster.json is missing" in refusal(head + particles + roster + tail)
    assert "something follows its end" in refusal(head + roster + particles + tail + tail)
    assert "particles.json is missing" in refusal(head + roster + roster + tail)


@pytest.mark.parametrize(
    "change",
    [
        {"name": b"../roster.json"},
        {"name": b"/roster.json"},
        {"name": b"./roster.json"},
        {"name": b"roster.json\0x"},
        {"prefix": b"etc"},
        {"type": tarfile.AREGTYPE},
        {"type": tarfile.SYMTYPE},
        {"type": tarfile.LNKTYPE},
        {"type": tarfile.CHRTYPE},
        {"type": tarfile.DIRTYPE},
        {"type": tarfile.FIFOTYPE},
        {"type": tarfile.XHDTYPE},
        {"type": tarfile.GNUTYPE_SPARSE},
        {"mode": b"0004755"},
        {"uid": b"0001750"},
        {"size": b"00000000001"},
        {"size": b"77777777777"},
        {"size": b"-0000000001"},
        {"mtime": b"00000000001"},
        {"linkname": b"plan.json"},
    ],
)
def test_a_member_that_is_anything_but_a_plain_private_file_is_refused(
    change: dict[str, bytes],
) -> None:
    head, roster, particles, tail = split(Cell().package())
    unchanged = with_header(zlib.decompress(roster, 31))
    changed = with_header(zlib.decompress(roster, 31), **change)

    assert package_file.read(head + gzip(unchanged) + particles + tail)
    assert "roster.json is " in refusal(head + gzip(changed) + particles + tail)


@pytest.mark.parametrize(
    "content", [b"", b"null", b"[]", b"[" * 100_000, b'{"a":1e999}', b"\xff", b'"\\ud800"', b"7"]
)
def test_signed_nonsense_is_refused_too(content: bytes) -> None:
    cell = Cell()

    for name in ("roster", "particles"):
        file = package_file.segment(f"{name}.json", content)
        if (name, content) != ("particles", b"[]"):
            assert "values that cannot be" in refusal(replace(cell, **{name: file}).package())


# Helpers


def key(number: int) -> str:
    return b64encode(bytes([number]) * 32).decode()


def public(signer: Ed25519PrivateKey) -> str:
    return b64encode(signer.public_key().public_bytes_raw()).decode()


def refusal(content: bytes, kind: type[PackageRejected] = PackageRejected) -> str:
    with pytest.raises(PackageRejected) as caught:
        package_file.read(content)
    assert type(caught.value) is kind
    assert caught.value.exit_status == 2
    assert "\n" not in str(caught.value)
    return str(caught.value)


def gzip(content: bytes) -> bytes:
    stream = zlib.compressobj(9, zlib.DEFLATED, 31)
    return stream.compress(content) + stream.flush()


def with_header(tar: bytes, **fields: bytes) -> bytes:
    """Return `tar` with these fields of its first header, and the checksum that belongs to them."""
    header = bytearray(tar[:512])
    for name, value in fields.items():
        header[OFFSETS[name] : OFFSETS[name] + len(value)] = value
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + tar[512:]


OFFSETS = {"name": 0, "mode": 100, "uid": 108, "size": 124, "mtime": 136, "type": 156}
OFFSETS |= {"linkname": 157, "prefix": 345}


def split(content: bytes) -> list[bytes]:
    """Return the gzip members of a package."""
    members = []
    while content:
        stream = zlib.decompressobj(31)
        stream.decompress(content)
        members.append(content[: len(content) - len(stream.unused_data)])
        content = stream.unused_data
    return members


SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ROSTER = Roster(
    uvn="my-uvn",
    identity="00112233445566778899aabbccddeeff",
    pools=Pools(
        root=IPv4Network("10.255.128.0/22"),
        particles=IPv4Network("10.254.0.0/16"),
        backbone=IPv4Network("10.255.192.0/20"),
        ula=IPv6Network("fd00:1122:3344::/48"),
        particles6=IPv6Network("fd00:1122:3344:2::/64"),
    ),
    timing=Timing(hold=9, keepalive=3, connect=5, bfd_interval=300, bfd_multiplier=3, restart=120),
    members=(
        Member(
            id=1,
            name="lan-a",
            node4=IPv4Address("10.255.128.2"),
            node6=IPv6Address("fd00:1122:3344:1::1"),
            lans=(IPv4Network("192.168.1.0/24"), IPv6Network("2001:db8:1::/64")),
        ),
    ),
)
PLAN = CellPlan(
    uvn="my-uvn",
    identity="00112233445566778899aabbccddeeff",
    cell=1,
    name="lan-a",
    backbone_mtu=1320,
    links=(
        BackbonePeer(
            interface="uwg-b0",
            cell=2,
            local4=IPv4Address("10.255.192.0"),
            local6=IPv6Address("fd00:1122:3344:3::"),
            remote4=IPv4Address("10.255.192.1"),
            remote6=IPv6Address("fd00:1122:3344:3::1"),
            public_key=key(3),
            key="link/1-2/1",
            psk="link/1-2/psk",
            import_origins=CellSet(complement=True, cells=(1,)),
            endpoint="lan-b.example.com:63550",
        ),
    ),
)
PARTICLES = tuple(
    ParticlePeer(
        ParticleIdentity(
            number,
            f"particle-{number}",
            IPv4Address("10.254.0.1") + number,
            IPv6Address("fd00:1122:3344:2::1") + number,
        ),
        key(10 + number),
        key(20 + number),
    )
    for number in range(1, 4)
)
SECRETS = {"link/1-2/1": key(1), "link/1-2/psk": key(2)}


@dataclass(frozen=True)
class Cell:
    """What a package is made from."""

    roster: package_file.Segment = field(
        default_factory=lambda: package_file.roster_segment(ROSTER)
    )
    particles: package_file.Segment = field(
        default_factory=lambda: package_file.particles_segment(PARTICLES)
    )
    plan: CellPlan = PLAN
    secrets: dict[str, str] | None = None
    signer: Ed25519PrivateKey = SIGNER

    def package(self, *, generation: int = 1, package_format: int = 1) -> bytes:
        return package_file.write(
            generation=generation,
            package_format=package_format,
            registry_key=public(self.signer),
            roster=self.roster,
            particles=self.particles,
            plan=self.plan,
            secrets=SECRETS if self.secrets is None else self.secrets,
            sign=self.signer.sign,
        )


def content_of(cell: Cell) -> str:
    return package_file.read_manifest(cell.package()).content
