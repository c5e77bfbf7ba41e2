"""Probes by ICMP echo: one raw socket for all targets. Sources: RFC 792, raw(7), ip(7), icmp(7)."""

from __future__ import annotations

import asyncio
import math
import socket
import struct
from collections.abc import Callable, Iterable
from contextlib import suppress
from ipaddress import IPv4Address
from random import Random

from uno.diagnostics import ActionNeeded
from uno.host.probe.probe_schedule import Probe, Probing
from uno.ports.prober import ProbeResults, ProbeTarget

_REQUEST, _REPLY = 8, 0
_HEADER = struct.Struct("!BBHHH")
_IP_HEADER = 20

# linux/icmp.h: a set bit keeps a type of message from us. linux/in.h: packets are never fragmented,
# and what the kernel has learned of the path does not count.
_ICMP_FILTER = 1
_SOL_RAW = 255
_IP_MTU_DISCOVER, _IP_PMTUDISC_PROBE = 10, 3
_IP_PKTINFO = 8

# What tells our packets from another program's: this many bytes that nobody else can know.
_TOKEN = 8
_LARGEST = 2048


class IcmpProber:
    """A prober in the network namespace that it runs in. It is made once, and run once."""

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        random: Random,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """Take the time, in seconds from any start, from `clock`.

        `changed` is called when a target starts or ceases to answer, or its largest packet changes,
        and when all that were called have answered.
        """
        self._clock = clock
        self._probing = Probing(random=random, changed=changed)
        self._token = random.randbytes(_TOKEN)
        self._identifier = random.randrange(1 << 16)
        self._sooner = asyncio.Event()

    def set_targets(self, targets: Iterable[ProbeTarget]) -> None:
        """Probe these from now on, and no others."""
        self._probing.set_targets(targets, now=self._clock())
        self._sooner.set()

    def reset_backoff(self) -> None:
        """Probe soon whoever does not answer."""
        self._probing.reset_backoff(now=self._clock())
        self._sooner.set()

    def probe_now(self, addresses: Iterable[IPv4Address]) -> None:
        """Probe these targets now, and tell when all have answered."""
        self._probing.probe_now(addresses, now=self._clock())
        self._sooner.set()

    def results(self) -> ProbeResults:
        """Return what is known of each target."""
        return self._probing.results()

    async def run(self) -> None:
        """Probe until cancelled. Raises `UnoError` where the host does not let us."""
        loop = asyncio.get_running_loop()
        with _raw_socket() as one:
            loop.add_reader(one, self._receive, one)
            try:
                await self._send_all(one)
            finally:
                loop.remove_reader(one)

    def _receive(self, one: socket.socket) -> None:
        while True:
            try:
                packet = one.recv(_LARGEST)
            except BlockingIOError:
                return
            except OSError:
                # An error that an earlier packet has met, which its missing answer tells as well.
                continue
            number, sender = self._read(packet)
            if number is not None and sender is not None:
                self._probing.answered(number, sender, now=self._clock())

    async def _send_all(self, one: socket.socket) -> None:
        while True:
            self._sooner.clear()
            now = self._clock()
            for probe in self._probing.due(now=now):
                if not self._send(one, probe):
                    self._probing.lost(probe.number, now=now)
            pause = self._probing.pause(now=self._clock())
            with suppress(TimeoutError):
                async with asyncio.timeout(None if pause == math.inf else pause):
                    await self._sooner.wait()

    def _send(self, one: socket.socket, probe: Probe) -> bool:
        body = self._token + probe.number.to_bytes(8, "big")
        body = body.ljust(probe.size - _IP_HEADER - _HEADER.size, b"\0")
        number = probe.number & 0xFFFF
        unsummed = _HEADER.pack(_REQUEST, 0, 0, self._identifier, number) + body
        packet = _HEADER.pack(_REQUEST, 0, _checksum(unsummed), self._identifier, number) + body
        # struct in_pktinfo: the second field is the source address.
        source = struct.pack("=i4s4s", 0, probe.target.source.packed, bytes(4))
        try:
            one.sendmsg(
                [packet],
                [(socket.IPPROTO_IP, _IP_PKTINFO, source)],
                0,
                (str(probe.target.address), 0),
            )
        except OSError:
            return False
        return True

    def _read(self, packet: bytes) -> tuple[int | None, IPv4Address | None]:
        """Return the number and the sender of an answer to us, or nothing."""
        start = (packet[0] & 0x0F) * 4 if packet else 0
        body = packet[start + _HEADER.size :]
        is_ours = packet[start : start + 1] == bytes([_REPLY]) and body.startswith(self._token)
        if not is_ours or len(body) < _TOKEN + 8:
            return None, None
        return int.from_bytes(body[_TOKEN : _TOKEN + 8], "big"), IPv4Address(packet[12:16])


def _raw_socket() -> socket.socket:
    try:
        one = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    except OSError as error:
        raise ActionNeeded(
            f"cannot probe other cells: this host gives no raw socket ({error.strerror})",
            "uno needs to be root; in a container, give it CAP_NET_RAW",
        ) from error
    one.settimeout(0)
    one.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", 0xFFFFFFFF & ~(1 << _REPLY)))
    one.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_PROBE)
    return one


def _checksum(packet: bytes) -> int:
    """Return the Internet checksum (RFC 1071) of a packet."""
    padded = packet + bytes(len(packet) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
