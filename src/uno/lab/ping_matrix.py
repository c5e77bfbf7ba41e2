"""Pings from many namespaces at once, in one process, without starting any program.

Echo requests go through ICMP sockets (icmp(7)): the kernel gives each its own identifier, and
delivers to it the replies to its own requests alone. Times are seconds of `time.monotonic`.
"""

from __future__ import annotations

import contextlib
import itertools
import selectors
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from threading import Event, Thread
from types import TracebackType
from typing import NamedTuple, Self

from uno.host.probe import icmp_echo
from uno.lab import netns
from uno.model.net import Address


class PingPath(NamedTuple):
    """From a node's namespace to an address."""

    namespace: str
    target: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """Result of `PingMatrix.reach`: when each path was first answered, and which never were."""

    at: Mapping[PingPath, float]
    missing: tuple[PingPath, ...]

    @property
    def last(self) -> float:
        """When the last of them was answered; not a number if none was."""
        return max(self.at.values(), default=float("nan"))


@dataclass(frozen=True, slots=True, kw_only=True)
class PingFlow:
    """Result of a stream of pings on one path.

    `longest_gap` is in seconds, from the sending of one answered ping to that of the next.
    """

    sent: int
    lost: int
    longest_gap: float


class PingMatrix:
    """Sockets for a set of paths; close it, or use it in a `with`."""

    def __init__(self, paths: Iterable[PingPath]) -> None:
        """Make one socket for each namespace and IP version. Raises OSError."""
        self.paths = tuple(dict.fromkeys(paths))
        self._selector = selectors.DefaultSelector()
        self._sockets: dict[tuple[str, int], socket.socket] = {}
        for path in self.paths:
            key = path.namespace, path.target.version
            if key not in self._sockets:
                made = self._sockets[key] = _icmp_socket(*key)
                self._selector.register(made, selectors.EVENT_READ, path.target.version)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the sockets."""
        self._selector.close()
        for made in self._sockets.values():
            made.close()

    def reach(
        self, *, within: float, every: float = 0.1, stop: Callable[[], bool] = lambda: False
    ) -> Reached:
        """Ping along all paths every `every` seconds until each is answered once.

        Ends after `within` seconds at the latest, or as soon as `stop` returns True. Where there
        are many paths, each waits for its turn: pings must not keep the processors from the nodes.
        """
        end = time.monotonic() + within
        at: dict[PingPath, float] = {}
        waiting, answered = deque(range(len(self.paths))), set[int]()
        due = time.monotonic()
        while len(at) < len(self.paths) and time.monotonic() < end and not stop():
            if time.monotonic() >= due:
                due = time.monotonic() + every
                for index in take_turns(waiting, answered, most=round(_MOST_PINGS * every)):
                    self._send(index, 0)
            for index, _number in self._answers(min(due, end)):
                answered.add(index)
                at.setdefault(self.paths[index], time.monotonic())
        missing = tuple(path for path in self.paths if path not in at)
        return Reached(at=at, missing=missing)

    def stream(self, *, rate: float = 100) -> PingStream:
        """A stream of `rate` pings a second on each path, that runs for the length of a `with`."""
        return PingStream(matrix=self, rate=rate)

    def _send(self, index: int, number: int) -> None:
        path = self.paths[index]
        body = _BODY.pack(index, number)
        packet = icmp_echo.request(body, version=path.target.version, sequence=number)
        # No route yet, or an ICMP error that an earlier ping met: this one counts as lost.
        with contextlib.suppress(OSError):
            self._sockets[path.namespace, path.target.version].sendto(packet, (str(path.target), 0))

    def _answers(self, until: float) -> Iterator[tuple[int, int]]:
        """Wait for replies until a time; yield path and number of each that came by then."""
        for key, _events in self._selector.select(max(0.0, until - time.monotonic())):
            ready, version = key.fileobj, key.data
            assert isinstance(ready, socket.socket)
            for message in icmp_echo.received(ready, 256):
                body = icmp_echo.reply_body(message, version=version)
                if body is not None and len(body) == _BODY.size:
                    yield _BODY.unpack(body)


@dataclass(kw_only=True)
class PingStream:
    """A stream of pings in the background; `flows` has the results after the `with`."""

    matrix: PingMatrix
    rate: float
    flows: Mapping[PingPath, PingFlow] = field(default_factory=dict)
    _sent: list[float] = field(default_factory=list)
    _answered: dict[int, set[int]] = field(default_factory=dict)
    _ended: Event = field(default_factory=Event)
    _thread: Thread | None = None

    def __enter__(self) -> Self:
        self._thread = Thread(target=self._run, name="ping-stream", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        assert self._thread is not None
        self._thread.join()
        self.flows = {
            path: flow(self._sent, self._answered.get(index, set()))
            for index, path in enumerate(self.matrix.paths)
        }

    def _run(self) -> None:
        due = time.monotonic()
        while not self._ended.is_set():
            for index in range(len(self.matrix.paths)):
                self.matrix._send(index, len(self._sent))  # noqa: SLF001 - one class in two parts
            self._sent.append(time.monotonic())
            due += 1 / self.rate
            # Late or not: what waits too long in the sockets counts as lost.
            self._collect(0)
            while (now := time.monotonic()) < due:
                self._collect(due)
                if now > due:
                    break
        # What was sent last gets the time to be answered that a slow path needs.
        end = time.monotonic() + _LAST_ANSWERS
        while time.monotonic() < end:
            self._collect(end)

    def _collect(self, until: float) -> None:
        for index, number in self.matrix._answers(until):  # noqa: SLF001 - as above
            self._answered.setdefault(index, set()).add(number)


def take_turns(waiting: deque[int], answered: AbstractSet[int], *, most: int) -> list[int]:
    """Take up to `most` from the front of `waiting`, and return those that are not answered.

    They go to its end; the answered ones are dropped.
    """
    taken = [waiting.popleft() for _ in range(min(len(waiting), most))]
    unanswered = [each for each in taken if each not in answered]
    waiting.extend(unanswered)
    return unanswered


def flow(sent: list[float], answered: set[int]) -> PingFlow:
    """Return the result for pings sent at these times, of which those numbered were answered."""
    good = [at for number, at in enumerate(sent) if number in answered]
    edges = [*sent[:1], *good, *sent[-1:]]
    gaps = (later - earlier for earlier, later in itertools.pairwise(edges))
    return PingFlow(sent=len(sent), lost=len(sent) - len(good), longest_gap=max(gaps, default=0.0))


# The path and the number of a ping.
_BODY = struct.Struct("!IQ")
_LAST_ANSWERS = 1.0
# Pings a second while paths are not reached: a tenth of what one processor can send.
_MOST_PINGS = 2000


def _icmp_socket(namespace: str, version: int) -> socket.socket:
    if version == 4:
        made = netns.socket_in(namespace, socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
    else:
        made = netns.socket_in(namespace, socket.AF_INET6, socket.SOCK_DGRAM, socket.IPPROTO_ICMPV6)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    return made
