"""What forked agents and the benchmark that has forked them share: counters, and what fails.

It is memory of all of them, so that nothing is asked of an agent while it is measured.
"""

from __future__ import annotations

import mmap
import struct
import time
from collections.abc import Callable

from uno.bus import stream_frames
from uno.bus.conversation import Conversation
from uno.model.messages import Ack, Envelope, Kind
from uno.model.status import CellStatus, LinkState, UvnView
from uno.statesync.flooding import Command, Flood

OCTETS = ("hello", "state", "registry", "ack", "all")
"""Kinds of octets: signs of life; statuses; what the registry publishes; acknowledgements of
changes; and all that is on a connection, with the frames of the protocol itself."""

_OF_STATUS = (
    *("generation", "registry", "problem", "pending", "obstacles", "proof", "notified"),
    *("muted_until", "undone", "wireguard", "version", "lans", "unreachable", "watched"),
    *("unproved", "staged"),
)
_OF_LINK = ("bgp", "bfd", "adjacent", "mtu")
CAUSES = (*_OF_STATUS, *(f"link {each}" for each in _OF_LINK), "refresh")
"""Why a cell has advertised its status: what is another than in the one before; a refresh if
nothing is but measurements."""

_KIND_OF = {Kind.HELLO: "hello", Kind.HEARTBEAT: "hello", Kind.STATUS: "state", Kind.ACK: "ack"}
_ROW = struct.Struct(f"={len(OCTETS)}Q{len(CAUSES)}Qd")
_DEAD = struct.Struct("=Q")


class AgentBoard:
    """One row for each node, by its cell id; `REGISTRY` is 0."""

    def __init__(self, cells: int) -> None:
        """Have room for so many cells, and the registry."""
        self._memory = mmap.mmap(-1, _DEAD.size + _ROW.size * (cells + 1))

    @property
    def dead(self) -> int:
        """The cell that has died, 0 for none."""
        found: int = _DEAD.unpack_from(self._memory)[0]
        return found

    @dead.setter
    def dead(self, cell: int) -> None:
        _DEAD.pack_into(self._memory, 0, cell)

    def octets(self, node: int) -> dict[str, int]:
        """Return what a node has sent."""
        return dict(zip(OCTETS, self._row(node), strict=False))

    def causes(self, node: int) -> dict[str, int]:
        """Return how often a cell has advertised its status, by what had changed."""
        return dict(zip(CAUSES, self._row(node)[len(OCTETS) :], strict=False))

    def lost_at(self, node: int) -> float:
        """Return when a node has derived that the dead cell is lost, 0 before."""
        return float(self._row(node)[-1])

    def count(self, node: int) -> None:
        """Count what this process sends from now on, as `node`."""
        sample, next_chunk = stream_frames.sample, Conversation.next_chunk

        def counted(number: int, envelope: Envelope) -> tuple[bytes, memoryview]:
            frame, rest = sample(number, envelope)
            self._add(node, _KIND_OF.get(Kind(envelope.kind), "registry"), len(frame) + len(rest))
            return frame, rest

        def counted_chunk(conversation: Conversation) -> bytes:
            chunk = next_chunk(conversation)
            self._add(node, "all", len(chunk))
            return chunk

        originate, before = Flood.originate, dict[Kind, CellStatus | Ack]()

        def noted(
            flood: Flood, body: CellStatus | Ack, kind: Kind, *, now: float
        ) -> tuple[Command, ...]:
            if isinstance(body, CellStatus):
                for cause in changed(before.get(kind), body):
                    self._increase(node, len(OCTETS) + CAUSES.index(cause), 1)
            before[kind] = body
            return originate(flood, body, kind, now=now)

        Flood.originate = noted  # type: ignore[method-assign]
        stream_frames.sample = counted
        Conversation.next_chunk = counted_chunk  # type: ignore[method-assign]

    def note_view(self, node: int, view: Callable[[], UvnView]) -> None:
        """Note when a node's view has the dead cell as lost."""
        dead = self.dead
        if not dead or self.lost_at(node):
            return
        if any(cell.id == dead and not cell.alive for cell in view().cells):
            *counted, _ = self._row(node)
            _ROW.pack_into(self._memory, self._at(node), *counted, time.monotonic())

    def _add(self, node: int, kind: str, octets: int) -> None:
        self._increase(node, OCTETS.index(kind), octets)

    def _increase(self, node: int, column: int, by: int) -> None:
        row = list(self._row(node))
        row[column] += by
        _ROW.pack_into(self._memory, self._at(node), *row)

    def _row(self, node: int) -> tuple[float, ...]:
        return _ROW.unpack_from(self._memory, self._at(node))

    @staticmethod
    def _at(node: int) -> int:
        return _DEAD.size + _ROW.size * node


def changed(before: object, after: CellStatus) -> tuple[str, ...]:
    """Return why a status is advertised after another: its `CAUSES`."""
    if not isinstance(before, CellStatus):
        return ("refresh",)
    found = [name for name in _OF_STATUS if getattr(before, name) != getattr(after, name)]
    found += [
        f"link {name}"
        for name in _OF_LINK
        if _of_links(before.links, name) != _of_links(after.links, name)
    ]
    return tuple(found) or ("refresh",)


def _of_links(links: tuple[LinkState, ...], name: str) -> list[object]:
    return [getattr(each, name) for each in links]
