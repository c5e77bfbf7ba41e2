"""A prober of forwarding whose answers the test gives."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from uno.diagnostics import ActionNeeded
from uno.ports.prober import ForwardingProbe


class ForwardingAnswers:
    """Answers what `answers` accepts; `missing` is what `prepare` finds missing, call by call.

    `refuses` is why the host permits no probes. `rounds` counts the calls of `probe`, and `sent`
    has what they were called with.
    """

    def __init__(self) -> None:
        self.answers: Callable[[ForwardingProbe], bool] = lambda _: True
        self.missing: list[bool] = []
        self.refuses = ""
        self.rounds = 0
        self.sent: list[frozenset[ForwardingProbe]] = []
        self.interfaces: tuple[str, ...] = ()
        self.closed = False

    def prepare(self, interfaces: tuple[str, ...]) -> bool:
        if self.refuses:
            raise ActionNeeded(self.refuses)
        self.interfaces = interfaces
        return self.missing.pop(0) if self.missing else False

    async def probe(
        self, probes: Collection[ForwardingProbe], *, waits: Iterable[float]
    ) -> frozenset[ForwardingProbe]:
        assert all(each > 0 for each in waits)
        self.rounds += 1
        self.sent.append(frozenset(probes))
        return frozenset(filter(self.answers, probes))

    def close(self) -> None:
        self.closed = True


def of_the_cell(probe: ForwardingProbe) -> bool:
    """Whether the cell itself sends a probe: nothing is forwarded if these alone are answered."""
    return probe.interface is None
