"""A bus without a network, for tests: it loses, delays and reorders as its seed says.

It keeps the promises of `ports.bus` and no others. What is lost is sent again, as a reliable DDS
writer does, unless something newer has taken its place; nodes see each other if one of the two has
the other as peer, and nobody has cut the way between them.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import TypeAlias

from uno.diagnostics import ActionNeeded
from uno.model.messages import Envelope
from uno.ports.bus import BusConfig, BusEvent, BusPeer, Channel, Presence, Received

# Has something called after so many seconds, as asyncio.AbstractEventLoop.call_later does.
Later: TypeAlias = Callable[[float, Callable[[], None]], object]

# A reader that misses something asks for it after a while.
_ASKS_AGAIN = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """What happens to envelopes under way.

    `loss`, `reorder` and `repeat` are shares from 0 to 1: of those that have to be sent again, of
    those that others overtake, and of those that come twice. `delay` is in seconds for each
    sending; `lease` is how long it takes to see that somebody is gone who did not say so.
    """

    loss: float = 0.0
    delay: float = 0.0
    reorder: float = 0.0
    repeat: float = 0.0
    lease: float = 0.0


class MemoryNetwork:
    """What the buses of a test are connected by. For one event loop."""

    def __init__(
        self, *, seed: int = 0, weather: Weather | None = None, later: Later | None = None
    ) -> None:
        """Have all chance come from `seed`; `later` takes the place of the event loop's timer."""
        self.weather = weather or Weather()
        self._later = later
        self._random = random.Random(seed)  # noqa: S311 - repeatable, and protects nothing
        self._nodes: dict[tuple[int, BusPeer], _Node] = {}
        self._cut: set[frozenset[IPv4Address]] = set()

    def bus(self) -> MemoryBus:
        """Return a bus for one more node."""
        return MemoryBus(self)

    def cut(self, one: IPv4Address, other: IPv4Address) -> None:
        """Let nothing pass between two addresses."""
        self._cut.add(frozenset({one, other}))
        self._after(self.weather.lease, self.refresh)

    def mend(self, one: IPv4Address, other: IPv4Address) -> None:
        """Undo `cut`. Each gets what the other has written meanwhile."""
        self._cut.discard(frozenset({one, other}))
        self.refresh()

    def redeliver(self) -> None:
        """Have everybody get again what there is to get, as after an outage."""
        for node in self._nodes.values():
            node.known.clear()
        self.refresh()

    def refresh(self) -> None:
        """Bring everybody what there is, and tell who is there."""
        for node in list(self._nodes.values()):
            for channel in sorted(node.channels, key=_name):
                self.catch_up(node, channel)

    def join(self, node: _Node) -> None:
        """Put a node where its configuration says. Raises `UnoError` if somebody is there."""
        if self._nodes.setdefault(node.place, node) is not node:
            raise ActionNeeded(
                f"the address {node.config.address} is in use on the bus",
                "another agent may be running for the same cell: stop it first",
            )
        self.refresh()

    def leave(self, node: _Node, *, seen_after: float = 0.0) -> None:
        """Take a node away; others see it after so many seconds."""
        self._nodes.pop(node.place, None)
        self._after(seen_after, self.refresh)

    def published(self, writer: _Node, channel: Channel) -> None:
        """Bring what a node has written to a channel to those who read it."""
        for reader in list(self._nodes.values()):
            if channel in reader.channels and self._connected(writer, reader):
                self.catch_up(reader, channel)

    def catch_up(self, reader: _Node, channel: Channel) -> None:
        """Bring what is on a channel to a node that reads it."""
        self._after(0.0, lambda: self._tell(reader, channel))
        for writer in self._visible_to(reader):
            for subject in writer.written.get(channel, {}):
                self._send(_Parcel(writer, reader, channel, subject))

    def _tell(self, reader: _Node, channel: Channel) -> None:
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
            and frozenset({mine.address, theirs.address}) not in self._cut
        )

    def _is_here(self, node: _Node) -> bool:
        return self._nodes.get(node.place) is node

    def _send(self, parcel: _Parcel) -> None:
        envelope = parcel.newest
        if envelope is None or parcel.known == envelope:
            return
        weather, chance = self.weather, self._random
        if chance.random() < weather.loss:
            self._after(weather.delay + _ASKS_AGAIN, lambda: self._send(parcel))
            return
        overtaken = chance.random() < weather.reorder
        late = chance.uniform(1.0, 4.0) * (weather.delay + _ASKS_AGAIN) if overtaken else 0.0
        self._after(weather.delay + late, lambda: self._arrive(parcel, envelope))

    def _arrive(self, parcel: _Parcel, envelope: Envelope) -> None:
        reader, key = parcel.reader, parcel.key
        if not self._connected(parcel.writer, reader):
            return  # `mend` brings it
        if parcel.newest != envelope or parcel.known == envelope:
            return  # a newer one is under way, or it came already
        reader.known[key] = envelope
        reader.deliver(Received(parcel.channel, envelope))
        if self._random.random() < self.weather.repeat:
            reader.deliver(Received(parcel.channel, envelope))

    def _after(self, seconds: float, call: Callable[[], None]) -> None:
        if self._later is not None:
            self._later(seconds, call)
        elif seconds > 0:
            asyncio.get_running_loop().call_later(seconds, call)
        else:
            # Timers of the same moment fire in no certain order; these do.
            asyncio.get_running_loop().call_soon(call)


class MemoryBus:
    """`ports.bus.Bus` on a `MemoryNetwork`."""

    def __init__(self, network: MemoryNetwork) -> None:
        """Be a node of `network`, once configured."""
        self._network = network
        self._node: _Node | None = None
        self._channels: set[Channel] = set()
        self._written: dict[Channel, dict[int, Envelope]] = {}
        self._alive: dict[Channel, int] = {}

    def configure(self, config: BusConfig, deliver: Callable[[BusEvent], None]) -> None:
        """Be on the bus as `config` says; nothing if it does already."""
        if self._node is not None and self._node.config == config:
            self._node.deliver = deliver
            return
        self.close()
        node = _Node(config, deliver, self._channels, self._written, self._alive)
        self._network.join(node)
        self._node = node

    def rejoin(self) -> None:
        """Leave and join again; everything comes again."""
        if self._node is not None:
            config, deliver = self._node.config, self._node.deliver
            self.close()
            self.configure(config, deliver)

    def subscribe(self, channel: Channel) -> None:
        """Have what is on a channel delivered."""
        if channel not in self._channels:
            self._channels.add(channel)
            if self._node is not None:
                self._network.catch_up(self._node, channel)

    def write(self, channel: Channel, envelope: Envelope) -> None:
        """Make `envelope` the newest of its `about` on a channel."""
        self._written.setdefault(channel, {})[envelope.subject] = envelope
        if self._node is not None:
            self._network.published(self._node, channel)

    def withdraw(self, channel: Channel, subject: int) -> None:
        """Take back what was written about `about`."""
        written = self._written.get(channel, {})
        if written.pop(subject, None) is not None and not written:
            del self._written[channel]
            self._network.refresh()

    def close(self) -> None:
        """Leave, and have everybody see it."""
        if self._node is not None:
            self._network.leave(self._node)
            self._node = None

    def crash(self) -> None:
        """Vanish without a word, as after kill -9: nothing that was written is there any more."""
        if self._node is not None:
            self._network.leave(self._node, seen_after=self._network.weather.lease)
            self._node = None
        self._channels, self._written, self._alive = set(), {}, {}


@dataclass(slots=True, eq=False)
class _Node:
    """A bus as it is configured; what it reads and has written outlives that."""

    config: BusConfig
    deliver: Callable[[BusEvent], None]
    channels: set[Channel]
    written: dict[Channel, dict[int, Envelope]]
    alive: dict[Channel, int]
    known: dict[tuple[int, Channel, int], Envelope] = field(default_factory=dict)

    @property
    def place(self) -> tuple[int, BusPeer]:
        return self.config.domain, BusPeer(self.config.address, self.config.index)


@dataclass(frozen=True, slots=True)
class _Parcel:
    """The newest that one node has written about one cell, under way to another."""

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
