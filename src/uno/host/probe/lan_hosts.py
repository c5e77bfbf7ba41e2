"""Whether hosts of a LAN answer this host, and other sites through it.

Each host is sent an echo request (RFC 792, RFC 4443) from this host's own address, and one from an
address of another site's LAN. The second is answered to that site: the answer comes back here only
if the LAN's router, or the host itself, has a route to this host. Sources: packet(7), raw(7).
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from random import Random
from selectors import EVENT_READ, DefaultSelector

from msgspec import Struct

from uno.diagnosis.cell_facts import LanHost
from uno.diagnostics import ActionNeeded
from uno.host.netlink import rtnetlink
from uno.host.probe import probe_packet
from uno.host.probe.probe_packet import SMALLEST, TOKEN_SIZE, ProbePacket
from uno.model.attached_lan import AttachedLan
from uno.model.net import Address, Network, address
from uno.ports.host import Facts

# linux/rtnetlink.h, linux/neighbour.h
_GETNEIGH = 30
_NEIGHBOUR = struct.Struct("=BBHiHBB")
_NDA_DST = 1
# NUD_REACHABLE, NUD_STALE, NUD_DELAY, NUD_PROBE, NUD_PERMANENT: it has a hardware address.
_KNOWN = 0x02 | 0x04 | 0x08 | 0x10 | 0x80
_REACHABLE = 0x02

# linux/if_ether.h, by IP version.
_ETHERTYPE = {4: 0x0800, 6: 0x86DD}
_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}

MOST = 4
"""Hosts of each LAN that are asked."""

# Seconds after the start at which requests are sent again, and at which the last answer counts.
_AGAIN = 0.2
_END = 0.6

# Not the mark of probes that prove forwarding: the agent takes these on their way into a LAN.
_MARK = b"uno:lan?"


class _Subject(Struct, frozen=True, kw_only=True):
    lan: AttachedLan
    address: Address
    own: Address
    foreign: Address
    is_router: bool


def asked(
    lans: Iterable[AttachedLan],
    facts: Facts,
    *,
    remote: Iterable[Network],
    random: Random,
    named: Iterable[Address] = (),
) -> tuple[LanHost, ...]:
    """Ask the routers of these LANs, and hosts that this host knows; return what they answered.

    `remote` are LANs of other sites. Hosts that are `named` are asked first. Raises `UnoError`
    where raw sockets are not permitted.
    """
    subjects = tuple(_subjects(lans, facts, tuple(remote), tuple(named)))
    answered = _answered(subjects, random.randbytes(TOKEN_SIZE)) if subjects else frozenset()
    return tuple(
        LanHost(
            lan=each.lan.network,
            nic=each.lan.nic,
            address=each.address,
            is_router=each.is_router,
            answers_cell=2 * at in answered,
            answers_sites=2 * at + 1 in answered,
        )
        for at, each in enumerate(subjects)
    )


def _subjects(
    lans: Iterable[AttachedLan],
    facts: Facts,
    remote: tuple[Network, ...],
    named: tuple[Address, ...],
) -> Iterator[_Subject]:
    known = tuple(_known_hosts())
    for lan in lans:
        version = lan.network.version
        # The network's own address is no host's, so that no host gets the answer.
        foreign = next((it.network_address for it in remote if it.version == version), None)
        own = {a.ip for nic in facts.nics if nic.name == lan.nic for a in nic.addresses}
        mine = next((it for it in own if it in lan.network), None)
        if foreign is None or mine is None:
            continue
        routers = [
            route.gateway
            for route in facts.routes
            if route.interface == lan.nic
            and not route.destination.prefixlen
            and route.gateway is not None
            and route.gateway in lan.network
        ]
        hosts = [at for nic, at in known if nic == lan.nic and at in lan.network]
        first = [at for at in named if at in lan.network]
        for each in list(dict.fromkeys([*first, *routers, *hosts]))[:MOST]:
            if each not in own:
                yield _Subject(
                    lan=lan, address=each, own=mine, foreign=foreign, is_router=each in routers
                )


def _known_hosts() -> Iterator[tuple[str, Address]]:
    """Yield interface and address of the neighbours with a hardware address, reachable ones first.

    Source: ip-neighbour(8).
    """
    found = []
    for each in rtnetlink.dumped(_GETNEIGH, _NEIGHBOUR.pack(0, 0, 0, 0, 0, 0, 0)):
        _, _, _, index, state, _, _ = _NEIGHBOUR.unpack_from(each.body)
        octets = rtnetlink.attributes(each.body, _NEIGHBOUR.size).get(_NDA_DST, b"")
        if state & _KNOWN and len(octets) in {4, 16}:
            found.append((not state & _REACHABLE, index, octets))
    for _, index, octets in sorted(found):
        try:
            yield socket.if_indextoname(index), address(socket.inet_ntop(_family(octets), octets))
        except OSError:
            # The interface has gone.
            continue


def _family(octets: bytes) -> socket.AddressFamily:
    return socket.AF_INET if len(octets) == 4 else socket.AF_INET6


def _answered(subjects: tuple[_Subject, ...], token: bytes) -> frozenset[int]:
    """Return the numbers of the requests that were answered: two for each subject."""
    with ExitStack() as opened, DefaultSelector() as selector:
        try:
            for nic, version in {(each.lan.nic, each.address.version) for each in subjects}:
                one = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
                opened.enter_context(one)
                one.bind((nic, _ETHERTYPE[version]))
                one.settimeout(0)
                selector.register(one, EVENT_READ)
            senders: dict[tuple[str, int], socket.socket] = {
                (each.lan.nic, each.address.version): opened.enter_context(
                    _sender(each.lan.nic, each.address.version)
                )
                for each in subjects
            }
        except OSError as error:
            raise ActionNeeded(
                f"cannot send probes into the LANs: {error.strerror}",
                "uno needs to be root; in a container, give it CAP_NET_RAW",
            ) from error
        return _exchange(subjects, senders, selector, token)


def _exchange(
    subjects: tuple[_Subject, ...],
    senders: dict[tuple[str, int], socket.socket],
    selector: DefaultSelector,
    token: bytes,
) -> frozenset[int]:
    found: set[int] = set()
    began = time.monotonic()
    sent = 0
    while (after := time.monotonic() - began) < _END and len(found) < 2 * len(subjects):
        if sent == 0 or (sent == 1 and after >= _AGAIN):
            sent += 1
            for at, each in enumerate(subjects):
                for number, source in ((2 * at, each.own), (2 * at + 1, each.foreign)):
                    if number not in found:
                        _send(
                            senders[each.lan.nic, each.address.version], each, source, token, number
                        )
        for key, _ in selector.select((_AGAIN if sent == 1 else _END) - after):
            found |= set(_numbers(key.fileobj, token))
    return frozenset(found)


def _numbers(one: object, token: bytes) -> Iterator[int]:
    assert isinstance(one, socket.socket)
    while True:
        try:
            packet = one.recv(probe_packet.SNAP_LENGTH)
        except OSError:
            return
        read = probe_packet.read(packet, mark=_MARK)
        if read is not None and read.token == token and read.is_answer:
            yield read.number


def _sender(nic: str, version: int) -> socket.socket:
    """Return a socket that sends whole packets, whatever their source, by one interface."""
    one = socket.socket(_FAMILY[version], socket.SOCK_RAW, socket.IPPROTO_RAW)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, nic.encode())
    return one


def _send(one: socket.socket, each: _Subject, source: Address, token: bytes, number: int) -> None:
    packet = ProbePacket(source=source, destination=each.address, token=token, number=number)
    content = probe_packet.with_headers(packet, size=SMALLEST, mark=_MARK)
    try:
        one.sendto(content, (str(each.address), 0))
    except OSError:
        # Without a route or a hardware address it is not answered either.
        return
