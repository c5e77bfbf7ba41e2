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
from uno.model.messages import Envelope, Kind
from uno.model.status import UvnView

OCTETS = ("hello", "state", "registry", "ack", "all")
"""Kinds of octets: signs of life; statuses; what the registry publishes; acknowledgements of
changes; and all that is on a connection, with the frames of the protocol itself."""

_KIND_OF = {Kind.HELLO: "hello", Kind.HEARTBEAT: "hello", Kind.STATUS: "state", Kind.ACK: "ack"}
_ROW = struct.Struct(f"={len(OCTETS)}Qd")
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

        stream_frames.sample = counted
        Conversation.next_chunk = counted_chunk  # type: ignore[method-assign]

    def note_view(self, node: int, view: Callable[[], UvnView]) -> None:
        """Note when a node's view has the dead cell as lost."""
        dead = self.dead
        if not dead or self.lost_at(node):
            return
        if any(cell.id == dead and not cell.alive for cell in view().cells):
            *octets, _ = self._row(node)
            _ROW.pack_into(self._memory, self._at(node), *octets, time.monotonic())

    def _add(self, node: int, kind: str, octets: int) -> None:
        row = list(self._row(node))
        row[OCTETS.index(kind)] += octets
        _ROW.pack_into(self._memory, self._at(node), *row)

    def _row(self, node: int) -> tuple[float, ...]:
        return _ROW.unpack_from(self._memory, self._at(node))

    @staticmethod
    def _at(node: int) -> int:
        return _DEAD.size + _ROW.size * node
