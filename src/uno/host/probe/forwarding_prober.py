"""Sends probes through this host as hosts of its LANs do, and answers those of other cells.

`lan_injector` has a packet enter as from the LAN, `probe_capture` takes its answer where the kernel
is about to send it into the LAN. Between the two is everything that decides whether this host
forwards: hooks of all firewalls, routes and rules, kernel parameters, the tunnel.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from random import Random

from msgspec.structs import replace

from uno.host.probe import icmp_echo, probe_packet
from uno.host.probe.lan_injector import LanInjector
from uno.host.probe.probe_capture import ProbeCapture
from uno.host.probe.probe_packet import SNAP_LENGTH, TOKEN_SIZE, ProbePacket
from uno.model.net import Address
from uno.ports.prober import ForwardingProbe

# linux/in.h, linux/in6.h: packets are never fragmented, a cached path MTU is ignored.
_NO_FRAGMENTS = {4: (socket.IPPROTO_IP, 10, 3), 6: (socket.IPPROTO_IPV6, 23, 3)}
_PROTOCOL = {4: socket.IPPROTO_ICMP, 6: socket.IPPROTO_ICMPV6}
_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
_LARGEST = 2048


class LinuxForwardingProber:
    """Proves forwarding in the network namespace that it runs in. Must be closed."""

    def __init__(self, identity: str, cell: int, *, random: Random) -> None:
        """Probe for the cell with this id of the UVN with this identity."""
        self._alias = f"uno {identity} {cell}"
        self._mark = probe_packet.mark(identity)
        self._token = random.randbytes(TOKEN_SIZE)
        self._number = 0
        self._injectors: dict[str, LanInjector] = {}
        self._capture: ProbeCapture | None = None
        self._own: dict[Address, socket.socket] = {}
        self._waiting: dict[int, ForwardingProbe] = {}
        self._all_answered = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def prepare(self, interfaces: tuple[str, ...]) -> bool:
        """Make ready to probe from the LANs on these interfaces; return whether anything was not.

        Raises `UnoError` where the host does not permit it, or lacks what it takes.
        """
        wanted = tuple(dict.fromkeys(interfaces))
        for name, injector in [*self._injectors.items()]:
            if name not in wanted or not injector.is_current:
                self._injectors.pop(name).close()
        if not wanted:
            self.close()
            return False
        if self._capture is None:
            self._capture = ProbeCapture(self._mark)
        is_changed = self._capture.follow(wanted)
        for name in wanted:
            if name not in self._injectors:
                self._injectors[name] = LanInjector(name, alias=self._alias)
                is_changed = True
        return is_changed

    async def probe(
        self, probes: Collection[ForwardingProbe], *, waits: Iterable[float]
    ) -> frozenset[ForwardingProbe]:
        """Send these, again after each of `waits`; return those that were answered."""
        self._read_in_this_loop()
        self._waiting = {self._next_number(): each for each in probes}
        asked = frozenset(self._waiting.values())
        for pause in waits:
            self._all_answered.clear()
            for number, each in [*self._waiting.items()]:
                self._send(number, each)
            if not self._waiting:
                break
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._all_answered.wait()
        unanswered = frozenset(self._waiting.values())
        self._waiting = {}
        return asked - unanswered

    def close(self) -> None:
        """Remove the TAP interfaces and the table, and close all sockets. Raises `UnoError`."""
        if self._loop is not None:
            for one in self._sockets():
                self._loop.remove_reader(one)
            self._loop = None
        for injector in self._injectors.values():
            injector.close()
        for one in self._own.values():
            one.close()
        self._injectors, self._own = {}, {}
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.close()

    def _read_in_this_loop(self) -> None:
        if self._loop is None and self._capture is not None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._capture.socket, self._receive_captured)

    def _sockets(self) -> Iterator[socket.socket]:
        if self._capture is not None:
            yield self._capture.socket
        yield from self._own.values()

    def _next_number(self) -> int:
        self._number = (self._number + 1) & 0xFFFFFFFF
        return self._number

    def _send(self, number: int, each: ForwardingProbe) -> None:
        """Send a probe. One that cannot be sent is not answered."""
        packet = ProbePacket(
            source=each.source, destination=each.destination, token=self._token, number=number
        )
        if each.interface is None:
            self._send_own(packet, each.size)
        else:
            self._inject(packet, each.interface, each.size)

    def _inject(self, packet: ProbePacket, interface: str, size: int) -> None:
        injector = self._injectors.get(interface)
        content = probe_packet.with_headers(packet, size=size, mark=self._mark)
        if injector is not None and not injector.inject(content):
            # Another program may have removed the interface: it is made again for the next round.
            self._injectors.pop(interface).close()

    def _send_own(self, packet: ProbePacket, size: int) -> None:
        version = packet.source.version
        content = probe_packet.body(packet, size=size, mark=self._mark)
        message = icmp_echo.request(
            content,
            version=version,
            identifier=int.from_bytes(self._token[:2], "big"),
            sequence=packet.number,
        )
        with suppress(OSError):
            self._socket_of(packet.source).sendto(message, (str(packet.destination), 0))

    def _socket_of(self, source: Address) -> socket.socket:
        """Return the raw socket with a source address of this host. Raises OSError."""
        if source not in self._own:
            version = source.version
            one = socket.socket(_FAMILY[version], socket.SOCK_RAW, _PROTOCOL[version])
            try:
                one.settimeout(0)
                one.setsockopt(*_NO_FRAGMENTS[version])
                one.bind((str(source), 0))
            except OSError:
                one.close()
                raise
            self._own[source] = one
            if self._loop is not None:
                self._loop.add_reader(one, self._receive_own, one, version)
        return self._own[source]

    def _receive_own(self, one: socket.socket, version: int) -> None:
        for received in icmp_echo.received(one, _LARGEST):
            message = icmp_echo.without_ip_header(received) if version == 4 else received
            content = icmp_echo.reply_body(message, version=version)
            found = probe_packet.read_body(content or b"", mark=self._mark)
            if found is not None and found[0] == self._token:
                self._take_answer(found[1])

    def _receive_captured(self) -> None:
        if self._capture is None:
            return
        for received, output in self._capture.packets():
            packet = probe_packet.read(received[:SNAP_LENGTH], mark=self._mark)
            if packet is None:
                continue
            if not packet.is_answer:
                self._answer(packet, output)
            elif packet.token == self._token:
                self._take_answer(packet.number)

    def _answer(self, packet: ProbePacket, output: int) -> None:
        """Answer another cell's probe, as the host would that it is sent to.

        It has come as far as this host forwards. `output` is the index of the interface to the LAN.
        """
        answer = replace(
            packet, source=packet.destination, destination=packet.source, is_answer=True
        )
        content = probe_packet.with_headers(answer, size=probe_packet.SMALLEST, mark=self._mark)
        for injector in self._injectors.values():
            if injector.index == output:
                injector.inject(content)

    def _take_answer(self, number: int) -> None:
        self._waiting.pop(number, None)
        if not self._waiting:
            self._all_answered.set()
