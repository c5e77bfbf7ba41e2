"""Probes by ICMP echo: one raw socket for all targets. Sources: raw(7), ip(7)."""

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
from uno.host.probe import icmp_echo
from uno.host.probe.probe_schedule import Probe, ProbeSchedule
from uno.ports.prober import ProbeResults, ProbeTarget

_IP_HEADER = 20

# linux/icmp.h: a set bit filters a type of message out. linux/in.h: packets are never fragmented,
# and the kernel's cached path MTU is ignored.
_ICMP_FILTER = 1
_SOL_RAW = 255
_IP_MTU_DISCOVER, _IP_PMTUDISC_PROBE = 10, 3
_IP_PKTINFO = 8

# Octets of a random token, which identifies replies to this prober's requests.
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
        and when all targets of `probe_now` have answered.
        """
        self._clock = clock
        self._schedule = ProbeSchedule(random=random, changed=changed)
        self._token = random.randbytes(_TOKEN)
        self._identifier = random.randrange(1 << 16)
        self._sooner = asyncio.Event()

    def set_targets(self, targets: Iterable[ProbeTarget]) -> None:
        """Probe these from now on, and no others."""
        self._schedule.set_targets(targets, now=self._clock())
        self._sooner.set()

    def set_watched(self, *, watched: bool) -> None:
        """Probe often, since someone watches the results, or seldom."""
        self._schedule.set_watched(watched=watched, now=self._clock())
        self._sooner.set()

    def reset_backoff(self) -> None:
        """Probe all targets soon, those that do not answer first."""
        self._schedule.reset_backoff(now=self._clock())
        self._sooner.set()

    def probe_now(self, addresses: Iterable[IPv4Address]) -> None:
        """Probe these targets at once; `changed` is called when all have answered."""
        self._schedule.probe_now(addresses, now=self._clock())
        self._sooner.set()

    def restart(self, addresses: Iterable[IPv4Address]) -> None:
        """Forget what was lost on the way to these targets, and probe them at once."""
        self._schedule.restart(addresses, now=self._clock())
        self._sooner.set()

    def results(self) -> ProbeResults:
        """Return the result of each target."""
        return self._schedule.results()

    async def run(self) -> None:
        """Probe until cancelled. Raises `UnoError` where raw sockets are not permitted."""
        loop = asyncio.get_running_loop()
        with _raw_socket() as one:
            loop.add_reader(one, self._receive, one)
            try:
                await self._send_all(one)
            finally:
                loop.remove_reader(one)

    def _receive(self, one: socket.socket) -> None:
        for packet in icmp_echo.received(one, _LARGEST):
            number, sender = self._read(packet)
            if number is not None and sender is not None:
                self._schedule.answered(number, sender, now=self._clock())

    async def _send_all(self, one: socket.socket) -> None:
        while True:
            self._sooner.clear()
            now = self._clock()
            for probe in self._schedule.due(now=now):
                if not self._send(one, probe):
                    self._schedule.lost(probe.number, now=now)
            pause = self._schedule.pause(now=self._clock())
            with suppress(TimeoutError):
                async with asyncio.timeout(None if pause == math.inf else pause):
                    await self._sooner.wait()

    def _send(self, one: socket.socket, probe: Probe) -> bool:
        body = self._token + probe.number.to_bytes(8, "big")
        body = body.ljust(probe.size - _IP_HEADER - icmp_echo.HEADER_SIZE, b"\0")
        packet = icmp_echo.request(body, identifier=self._identifier, sequence=probe.number)
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
        """Return the number and the sender of a reply to one of the probes, or nothing."""
        body = icmp_echo.reply_body(icmp_echo.without_ip_header(packet))
        if body is None or not body.startswith(self._token) or len(body) < _TOKEN + 8:
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
    filtered = 0xFFFFFFFF & ~(1 << icmp_echo.REPLY[4])
    one.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", filtered))
    one.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_PROBE)
    return one
