"""Packets of forwarding probes, written and read."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

import pytest
from msgspec.structs import replace

from uno.host.probe import icmp_echo, probe_packet
from uno.host.probe.probe_packet import IP_HEADER, SMALLEST, SNAP_LENGTH, ProbePacket

MARK = probe_packet.mark("0123456789abcdef")
FOUR = ProbePacket(
    source=IPv4Address("192.168.1.254"),
    destination=IPv4Address("10.200.0.2"),
    token=b"8 octets",
    number=0xDEADBEEF,
)
SIX = replace(FOUR, source=IPv6Address("2001:db8::1"), destination=IPv6Address("fd00::2"))


@pytest.mark.parametrize("packet", [FOUR, SIX, replace(FOUR, is_answer=True)])
@pytest.mark.parametrize("size", [SMALLEST, 1320])
def test_a_packet_has_its_size_and_is_read_from_its_start(packet: ProbePacket, size: int) -> None:
    written = probe_packet.with_headers(packet, size=size, mark=MARK)

    assert len(written) == size
    assert probe_packet.read(written[:SNAP_LENGTH], mark=MARK) == packet


@pytest.mark.parametrize("packet", [FOUR, SIX])
def test_checksums_are_right(packet: ProbePacket) -> None:
    written = probe_packet.with_headers(packet, size=SMALLEST, mark=MARK)
    head = IP_HEADER[packet.source.version]
    covered = written[head:]
    if packet.source.version == 4:
        assert icmp_echo.checksum(written[:head]) == 0
    else:
        covered = written[8:40] + struct.pack("!I3xB", len(covered), 58) + covered

    assert icmp_echo.checksum(covered) == 0


def test_an_ipv4_packet_is_never_fragmented() -> None:
    written = probe_packet.with_headers(FOUR, size=SMALLEST, mark=MARK)

    assert int.from_bytes(written[6:8], "big") == 0x4000


@pytest.mark.parametrize("packet", [FOUR, SIX])
def test_a_reply_of_a_kernel_is_an_answer(packet: ProbePacket) -> None:
    version = packet.source.version
    written = bytearray(probe_packet.with_headers(packet, size=SMALLEST, mark=MARK))
    written[IP_HEADER[version]] = icmp_echo.REPLY[version]

    assert probe_packet.read(bytes(written), mark=MARK) == replace(packet, is_answer=True)


def test_what_is_of_another_uvn_or_no_probe_is_not_read() -> None:
    written = probe_packet.with_headers(FOUR, size=SMALLEST, mark=MARK)
    other = probe_packet.mark("another identity")

    assert probe_packet.read(written, mark=other) is None
    assert probe_packet.read(written[:40], mark=MARK) is None
    assert probe_packet.read(b"", mark=MARK) is None
    assert probe_packet.read_body(written[28:], mark=MARK) == (FOUR.token, FOUR.number)
    assert probe_packet.read_body(written[28:], mark=other) is None
    assert probe_packet.read_body(b"", mark=MARK) is None
