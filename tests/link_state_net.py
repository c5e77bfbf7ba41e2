"""Cells with links that fail and return: real `Flood`s, and the two timers of a status publisher.

A message crosses a link that works, once it is delivered: it may be late, lost for now, twice, or
come again later. As a bus does, a link delivers the newest of each channel and subject in the end,
but what a cell has of what others relay.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

from flooding import Cells, Executed, advertisement
from uno.bus.conversation import is_summarised
from uno.model.codec import encode
from uno.model.messages import REGISTRY, HelloMessage, Kind
from uno.model.status import CellStatus, LinkState
from uno.ports.bus import Channel, Topic, digest_of
from uno.statesync.flap_damping import FlapDamping
from uno.statesync.flood_queue import MAX_PACING
from uno.statesync.timers import HELLO_INTERVAL, REFRESH_INTERVAL

Link = frozenset[int]

STEP = 0.5
"""Seconds between two observations of a cell."""


@dataclass
class LinkStateNet:
    """Cells, the links between them, and what fails. `loss` is the share of late messages.

    The registry sends its heartbeats to the cells in `registry` alone.
    """

    links: frozenset[Link]
    cells: Cells
    random: Random
    loss: float = 0.0
    down: set[Link] = field(default_factory=set)
    dead: set[int] = field(default_factory=set)
    registry: set[int] = field(default_factory=set)
    beaten_at: float = 0.0
    generations: dict[int, int] = field(default_factory=dict)
    refreshed_at: dict[int, float] = field(default_factory=dict)
    sent_at: dict[int, float] = field(default_factory=dict)
    published: dict[int, object] = field(default_factory=dict)
    damping: dict[int, FlapDamping] = field(default_factory=dict)
    recorded: list[tuple[Channel, object]] = field(default_factory=list)
    messages: int = 0

    @property
    def alive(self) -> list[int]:
        """The cells that are on."""
        return [cell for cell in self.cells.floods if cell not in self.dead]

    def works(self, link: Link) -> bool:
        """Whether packets cross a link."""
        return link not in self.down and not link & self.dead

    def component(self, cell: int) -> frozenset[int]:
        """Return the cells that working links join with this one: what a cell should derive."""
        found, left = {cell}, [cell]
        while left:
            one = left.pop()
            for link in self.links:
                if one in link and self.works(link):
                    new = link - found
                    found |= new
                    left.extend(new)
        return frozenset(found)

    def derived(self, cell: int) -> frozenset[int]:
        """Return the cells that are in contact, as one of them derives it."""
        return self.cells.floods[cell].database.in_contact(now=self.cells.now)

    def restart(self, cell: int, *, keeps_file: bool) -> None:
        """End a cell and start it, with its file of reserved numbers or without."""
        executed = self.cells.executed[cell]
        reserved = executed.reserved if keeps_file else 0
        self.cells.executed[cell] = Executed(reserved=reserved)
        self.cells.start(cell, reserved=reserved)
        for known in (self.refreshed_at, self.sent_at, self.published, self.damping):
            known.pop(cell, None)

    def run(self, seconds: float, *, step: float = STEP) -> None:
        """Let time pass."""
        end = self.cells.now + seconds
        while self.cells.now < end:
            self.cells.now = min(end, self.cells.now + step)
            if self.cells.now - self.beaten_at >= HELLO_INTERVAL:
                self._beat()
            for cell in self.alive:
                self._observe(cell)
            self.deliver()

    def _beat(self) -> None:
        """Have the registry send its heartbeat to the cells that it reaches."""
        self.beaten_at = self.cells.now
        self.cells.sequence += 1
        made = advertisement(
            REGISTRY, Kind.HEARTBEAT, encode(HelloMessage()), sequence=self.cells.sequence
        )
        for cell in self.alive:
            self.cells.set_registry_present(cell, present=cell in self.registry)
            if cell in self.registry:
                self.cells.receive(cell, Channel(Topic.HEARTBEAT), made)

    def deliver(self) -> None:
        """Deliver what is on the channels across the links that work, and flood what is due."""
        for _ in range(2):
            for link in self._shuffled(self.links):
                if self.works(link):
                    one, other = self._shuffled(link)
                    self._pass(one, other)
                    self._pass(other, one)
            for cell in self.alive:
                due = self.cells.next_flood(cell)
                if due is not None and due <= self.cells.now + MAX_PACING:
                    self.cells.flood_due(cell)

    def _shuffled(self, found: Iterable[int]) -> list[int]:
        ordered = sorted(found, key=str)
        self.random.shuffle(ordered)
        return ordered

    def _pass(self, source: int, target: int) -> None:
        """Have the target receive what the source has on its channels, in any order."""
        waiting = list(self.cells.executed[source].newest.items())
        self.random.shuffle(waiting)
        for (channel, _), envelope in waiting:
            if self.random.random() < self.loss:
                continue
            database = self.cells.floods[target].database
            has = not database.lacks(digest_of(envelope), now=self.cells.now)
            if is_summarised(channel) and has:
                continue
            known = database.newest(Kind(envelope.kind), envelope.subject)
            if known is None or known.sequence != envelope.sequence:
                self.messages += 1
            self.recorded.append((channel, envelope))
            self.cells.receive(target, channel, envelope)

    def replay(self, target: int, number: int) -> None:
        """Have a cell receive an old message again."""
        if self.recorded and target not in self.dead:
            channel, envelope = self.recorded[number % len(self.recorded)]
            self.cells.receive(target, channel, envelope)  # type: ignore[arg-type]

    def _observe(self, cell: int) -> None:
        """Have a cell observe its links, and send what is due."""
        flood, now = self.cells.floods[cell], self.cells.now
        links = flood.note_links(self._links(cell), now=now)
        status = CellStatus(
            generation=self.generations.get(cell, 1),
            links=links,
            registry=flood.registry.is_reachable(now=now),
        )
        refreshed, sent = self.refreshed_at.get(cell), self.sent_at.get(cell, now)
        is_hello_due = now - sent >= HELLO_INTERVAL
        damping = self.damping.setdefault(cell, FlapDamping())
        is_changed = self.published.get(cell) != status
        if is_changed and damping.opens_at(now=now) <= now:
            damping.note_advertised(now=now)
            refreshed = None
        if (
            refreshed is None
            or now - refreshed >= REFRESH_INTERVAL
            or (is_hello_due and flood.is_overlooked(now=now))
        ):
            self.published[cell] = status
            self.refreshed_at[cell] = self.sent_at[cell] = now
            self.cells.originate(cell, status, Kind.STATUS)
        elif is_hello_due:
            self.sent_at[cell] = now
            self.cells.run(cell, flood.send_hello(now=now))

    def _links(self, cell: int) -> list[LinkState]:
        return [
            LinkState(
                interface=f"uwg-{other}",
                cell=other,
                bgp="Established" if self.works(link) else "Active",
                bfd="up" if self.works(link) else "down",
            )
            for link in sorted(self.links, key=sorted)
            if cell in link
            for other in link - {cell}
        ]


def net_of(count: int, pairs: Iterable[tuple[int, int]], random: Random) -> LinkStateNet:
    """Return cells with these links, all of which work."""
    links = frozenset(frozenset(pair) for pair in pairs if pair[0] != pair[1])
    return LinkStateNet(links=links, cells=Cells(count), random=random)
