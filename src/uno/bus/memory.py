"""A bus in memory, for tests, with loss, delay, reordering and duplicates from a seed.

It guarantees what `ports.bus` promises and no more. A lost envelope is sent again, as by a reliable
DDS writer, unless a newer one has replaced it. Two nodes are connected if one has the other as a
peer and the test has not disconnected them.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from typing import TypeAlias

from msgspec import Struct, field

from uno.diagnostics import ActionNeeded
from uno.model.messages import Envelope
from uno.ports.bus import BusConfig, BusEvent, BusPeer, Channel, Lacks, Presence, Received

# Calls a function after a delay in seconds, as asyncio.AbstractEventLoop.call_later does.
CallLater: TypeAlias = Callable[[float, Callable[[], None]], object]

# Seconds until a reader requests a sample that it misses.
_RESEND_DELAY = 0.01


class Impairment(Struct, frozen=True, kw_only=True):
    """Impairments of the network, as of netem (tc-netem(8)).

    `loss`, `reorder` and `duplicate` are shares of the envelopes, from 0 to 1. `delay` is in
    seconds per transmission; `lease` is the seconds until a node that crashed counts as gone.
    """

    loss: float = 0.0
    delay: float = 0.0
    reorder: float = 0.0
    duplicate: float = 0.0
    lease: float = 0.0


class MemoryNetwork:
    """Connects the buses of a test. For one event loop."""

    def __init__(
        self, *, seed: int = 0, impairment: Impairment | None = None, later: CallLater | None = None
    ) -> None:
        """Draw all random values from `seed`; `later` replaces the timer of the event loop."""
        self.impairment = impairment or Impairment()
        self._later = later
        self._random = random.Random(seed)  # noqa: S311 - repeatable, and protects nothing
        self._nodes: dict[tuple[int, BusPeer], _Node] = {}
        self._disconnected: set[frozenset[IPv4Address]] = set()

    @property
    def places(self) -> frozenset[tuple[int, BusPeer]]:
        """The domains of the nodes that have joined, with their addresses."""
        return frozenset(self._nodes)

    def bus(self) -> MemoryBus:
        """Return the bus of another node."""
        return MemoryBus(self)

    def disconnect(self, one: IPv4Address, other: IPv4Address) -> None:
        """Drop everything between two addresses."""
        self._disconnected.add(frozenset({one, other}))
        self._after(self.impairment.lease, self.refresh)

    def reconnect(self, one: IPv4Address, other: IPv4Address) -> None:
        """Undo `disconnect`. Each receives what the other has written meanwhile."""
        self._disconnected.discard(frozenset({one, other}))
        self.refresh()

    def redeliver(self) -> None:
        """Deliver everything to all nodes again, as after an outage."""
        for node in self._nodes.values():
            node.known.clear()
        self.refresh()

    def refresh(self) -> None:
        """Deliver all that is missing, and report presence, to all nodes."""
        for node in list(self._nodes.values()):
            for channel in sorted(node.channels, key=_name):
                self.catch_up(node, channel)

    def join(self, node: _Node) -> None:
        """Add a node. Raises `UnoError` if another one has its address and index."""
        if self._nodes.setdefault(node.place, node) is not node:
            raise ActionNeeded(
                f"the address {node.config.address} is in use on the bus",
                "another agent may be running for the same cell: stop it first",
            )
        self.refresh()

    def leave(self, node: _Node, *, seen_after: float = 0.0) -> None:
        """Remove a node; others notice after so many seconds."""
        self._nodes.pop(node.place, None)
        self._after(seen_after, self.refresh)

    def published(self, writer: _Node, channel: Channel) -> None:
        """Deliver what a node has written to a channel to the readers."""
        for reader in list(self._nodes.values()):
            if channel in reader.channels and self._connected(writer, reader):
                self.catch_up(reader, channel)

    def catch_up(self, reader: _Node, channel: Channel) -> None:
        """Deliver what is on a channel to a reader."""
        self._after(0.0, lambda: self._report_presence(reader, channel))
        for writer in self._visible_to(reader):
            for subject in writer.written.get(channel, {}):
                self._send(_Delivery(writer, reader, channel, subject))

    def _report_presence(self, reader: _Node, channel: Channel) -> None:
        alive = sum(channel in it.written for it in self._visible_to(reader))
        if self._is_here(reader) and alive != reader.alive.get(channel, 0):
            reader.alive[channel] = alive
            reader.deliver(Presence(channel, alive))

    def _visible_to(self, reader: _Node) -> Iterator[_Node]:
        return (it for it in list(self._nodes.values()) if self._connected(it, reader))

    def _connected(self, one: _Node, other: _Node) -> bool:
        mine, theirs = one.config, other.config
        return (
            one is not other
            and self._is_here(one)
            and self._is_here(other)
            and (mine.domain, mine.tag) == (theirs.domain, theirs.tag)
            and (one.place[1] in theirs.peers or other.place[1] in mine.peers)
            and frozenset({mine.address, theirs.address}) not in self._disconnected
        )

    def _is_here(self, node: _Node) -> bool:
        return self._nodes.get(node.place) is node

    def _send(self, delivery: _Delivery) -> None:
        envelope = delivery.newest
        if envelope is None or delivery.known == envelope:
            return
        impairment, chance = self.impairment, self._random
        if chance.random() < impairment.loss:
            self._after(impairment.delay + _RESEND_DELAY, lambda: self._send(delivery))
            return
        is_reordered = chance.random() < impairment.reorder
        late = (
            chance.uniform(1.0, 4.0) * (impairment.delay + _RESEND_DELAY) if is_reordered else 0.0
        )
        self._after(impairment.delay + late, lambda: self._arrive(delivery, envelope))

    def _arrive(self, delivery: _Delivery, envelope: Envelope) -> None:
        reader, key = delivery.reader, delivery.key
        if not self._connected(delivery.writer, reader):
            return  # `reconnect` delivers it
        if delivery.newest != envelope or delivery.known == envelope:
            return  # a newer one is in transit, or this one was delivered
        reader.known[key] = envelope
        reader.deliver(Received(delivery.channel, envelope))
        if self._random.random() < self.impairment.duplicate:
            reader.deliver(Received(delivery.channel, envelope))

    def _after(self, seconds: float, call: Callable[[], None]) -> None:
        if self._later is not None:
            self._later(seconds, call)
        elif seconds > 0:
            asyncio.get_running_loop().call_later(seconds, call)
        else:
            # Timers that are due together fire in no defined order; these callbacks do.
            asyncio.get_running_loop().call_soon(call)


class MemoryBus:
    """`ports.bus.Bus` on a `MemoryNetwork`."""

    def __init__(self, network: MemoryNetwork) -> None:
        """Become a node of `network` once configured."""
        self._network = network
        self._node: _Node | None = None
        self._channels: set[Channel] = set()
        self._written: dict[Channel, dict[int, Envelope]] = {}
        self._alive: dict[Channel, int] = {}

    @property
    def problem(self) -> str:
        """Return nothing: memory does not fail."""
        return ""

    def configure(self, config: BusConfig, deliver: Callable[[BusEvent], None]) -> None:
        """Join the bus with `config`; no effect if joined with an equal one."""
        if self._node is not None and self._node.config == config:
            self._node.deliver = deliver
            return
        self.close()
        node = _Node(config, deliver, self._channels, self._written, self._alive)
        self._network.join(node)
        self._node = node

    def rejoin(self) -> None:
        """Leave and join again; everything is delivered again."""
        if self._node is not None:
            config, deliver = self._node.config, self._node.deliver
            self.close()
            self.configure(config, deliver)

    def subscribe(self, channel: Channel, lacks: Lacks | None = None) -> None:  # noqa: ARG002
        """Deliver what is on a channel from now on; no effect if subscribed."""
        if channel not in self._channels:
            self._channels.add(channel)
            if self._node is not None:
                self._network.catch_up(self._node, channel)

    def write(self, channel: Channel, envelope: Envelope) -> None:
        """Make `envelope` the newest of its subject on a channel."""
        self._written.setdefault(channel, {})[envelope.subject] = envelope
        if self._node is not None:
            self._network.published(self._node, channel)

    def withdraw(self, channel: Channel, subject: int) -> None:
        """Withdraw what was written about a subject."""
        written = self._written.get(channel, {})
        if written.pop(subject, None) is not None and not written:
            del self._written[channel]
            self._network.refresh()

    def close(self) -> None:
        """Leave the bus; other nodes are notified."""
        if self._node is not None:
            self._network.leave(self._node)
            self._node = None

    def crash(self) -> None:
        """Leave without a notification, as after kill -9, and lose all that was written."""
        if self._node is not None:
            self._network.leave(self._node, seen_after=self._network.impairment.lease)
            self._node = None
        self._channels, self._written, self._alive = set(), {}, {}


class _Node(Struct, eq=False):
    """A configured bus; its subscriptions and writes outlive the configuration."""

    config: BusConfig
    deliver: Callable[[BusEvent], None]
    channels: set[Channel]
    written: dict[Channel, dict[int, Envelope]]
    alive: dict[Channel, int]
    known: dict[tuple[int, Channel, int], Envelope] = field(default_factory=dict)

    @property
    def place(self) -> tuple[int, BusPeer]:
        return self.config.domain, BusPeer(self.config.address, self.config.index)


class _Delivery(Struct, frozen=True):
    """The newest envelope about a subject, in transit from one node to another."""

    writer: _Node
    reader: _Node
    channel: Channel
    subject: int

    @property
    def key(self) -> tuple[int, Channel, int]:
        return id(self.writer), self.channel, self.subject

    @property
    def newest(self) -> Envelope | None:
        return self.writer.written.get(self.channel, {}).get(self.subject)

    @property
    def known(self) -> Envelope | None:
        return self.reader.known.get(self.key)


def _name(channel: Channel) -> tuple[str, str]:
    return channel.topic.value, channel.partition
