"""Reading netlink messages, well-formed and malformed."""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uno.host.netlink import rtnetlink
from uno.host.netlink.rtnetlink import NetlinkMessage

MAIN, BGP = 254, 186


def message(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + padded(body)


def attribute(kind: int, content: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(content), kind) + padded(content)


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 4)


def route(family: int, length: int, *attributes: bytes) -> bytes:
    return struct.pack("=8BI", family, length, 0, 0, MAIN, BGP, 0, 1, 0) + b"".join(attributes)


def hop(index: int) -> bytes:
    return struct.pack("=HBBi", 8, 0, 0, index)


def test_messages_that_come_together_are_taken_apart() -> None:
    part = message(16, b"abcde") + message(24, b"xy")

    assert list(rtnetlink.messages(part)) == [
        NetlinkMessage(16, b"abcde"),
        NetlinkMessage(24, b"xy"),
    ]


def test_a_route_has_its_destination_and_the_interface_that_it_leads_to() -> None:
    body = route(
        socket.AF_INET,
        24,
        attribute(1, bytes([192, 168, 2, 0])),
        attribute(4, struct.pack("=I", 7)),
    )

    found = rtnetlink.route(body)

    assert found.destination == IPv4Network("192.168.2.0/24")
    assert (found.table, found.protocol, found.interfaces) == (MAIN, BGP, (7,))


def test_a_route_with_several_hops_leads_to_all_their_interfaces() -> None:
    body = route(socket.AF_INET6, 64, attribute(1, bytes(16)), attribute(9, hop(7) + hop(8)))

    assert rtnetlink.route(body).interfaces == (7, 8)


def test_a_default_route_has_no_destination_of_its_own() -> None:
    assert rtnetlink.route(route(socket.AF_INET, 0)).destination == IPv4Network("0.0.0.0/0")
    assert rtnetlink.route(route(socket.AF_INET6, 0)).destination == IPv6Network("::/0")


def test_a_table_beyond_255_is_in_an_attribute() -> None:
    body = route(socket.AF_INET, 0, attribute(15, struct.pack("=I", 51820)))

    assert rtnetlink.route(body).table == 51820


@given(st.binary(max_size=200))
def test_octets_without_sense_end_the_reading_and_nothing_else(part: bytes) -> None:
    for each in rtnetlink.messages(part):
        rtnetlink.attributes(each.body, 0)


def test_routes_that_stay_are_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def to(third: int, index: int) -> NetlinkMessage:
        octets = attribute(1, bytes([192, 168, third, 0]))
        body = route(socket.AF_INET, 24, octets, attribute(4, struct.pack("=I", index)))
        return NetlinkMessage(rtnetlink.NEWROUTE, body)

    dumps = [(to(1, 7), to(2, 7)), (to(1, 7), to(2, 8)), (to(2, 8),)]
    monkeypatch.setattr(rtnetlink, "dumped", lambda *_: dumps.pop(0))
    parsed: list[bytes] = []
    parse = rtnetlink.route
    monkeypatch.setattr(rtnetlink, "route", lambda body: (parsed.append(body), parse(body))[1])
    reader = rtnetlink.MainRouteReader()

    found = [[(str(each.destination), each.interfaces) for each in reader.read()] for _ in range(3)]

    one, two = "192.168.1.0/24", "192.168.2.0/24"
    assert found == [[(one, (7,)), (two, (7,))], [(one, (7,)), (two, (8,))], [(two, (8,))]]
    assert len(parsed) == 3


def test_the_routes_of_this_host_can_be_had() -> None:
    descriptors = len(list(Path("/proc/self/fd").iterdir()))

    found = rtnetlink.main_routes(without=frozenset())

    assert all(isinstance(each.destination, IPv4Network | IPv6Network) for each in found)
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
