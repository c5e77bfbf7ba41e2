"""The bus on DDS: what a node has subscribed to and written, and the sessions that carry it.

Sessions come and go, on purpose and by accident: another configuration is another session, and a
session that is lost is replaced. Each begins with all subscriptions, and with the newest envelope
of each subject; other nodes do the same for it. So nothing depends on what a session knew.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from uno.bus.session import WRITER_LEASE, Session
from uno.diagnostics import ActionNeeded, UnoError
from uno.model.messages import BODY_LIMIT, Envelope
from uno.model.uvn import Middleware
from uno.ports.bus import (
    BusConfig,
    BusEvent,
    Channel,
    EnvelopeDigest,
    Lacks,
    Presence,
    Received,
)

_log = logging.getLogger(__name__)

# The most seconds to wait for acknowledgements of the last writes when leaving.
LINGER = 1.0

# Seconds until a lost session is replaced: at once after a session that has lasted, then twice as
# long each time.
_FIRST_DELAY, _MAX_DELAY, _LASTING = 0.1, 30.0, 60.0

# Subjects that a session receives. DDS keeps an instance of some hundred bytes for each, as long as
# the participant that has written about it is there. Limits of DDS on instances are of no use:
# Cyclone then stops the delivery from all writers until there is room.
MAX_SUBJECTS = 5000


class Sessions(Protocol):
    """Where sessions are: in a process of their own, or in this one."""

    def open(self, config: BusConfig, inbox: Inbox) -> Session:
        """Open a session, instead of the one before, which is closed.

        Its methods do not block. What goes wrong later is reported to `inbox`. Raises `UnoError`.
        """
        ...

    def follow(self, config: BusConfig, /) -> bool:
        """Use another configuration in the open session; False if that needs another session."""
        ...

    def close(self) -> None:
        """End what sessions need; `open` starts it again."""
        ...


class DdsBus:
    """`ports.bus.Bus` on `sessions`."""

    def __init__(self, sessions: Sessions) -> None:
        """Start without a session."""
        self._sessions = sessions
        self._config: BusConfig | None = None
        self._session: Session | None = None
        self._inbox: Inbox | None = None
        self._deliver: Callable[[BusEvent], None] | None = None
        self._channels: dict[Channel, Lacks | None] = {}
        self._written: dict[Channel, dict[int, Envelope]] = {}
        self._reported: dict[Channel, int] = {}
        self._alive: dict[Channel, int] = {}
        self._subjects: set[tuple[Channel, int]] = set()
        self._unsettled: set[Channel] = set()
        self._settling: asyncio.TimerHandle | None = None
        self._replacing: asyncio.TimerHandle | None = None
        self._opened_at, self._delay = 0.0, _FIRST_DELAY
        self._problem = ""

    @property
    def problem(self) -> str:
        """Why the node is not on the bus, though it is configured; empty while it is."""
        return self._problem

    def configure(self, config: BusConfig, deliver: Callable[[BusEvent], None]) -> None:
        """Join the bus with `config`; no effect if joined with an equal one."""
        self._deliver = deliver
        if config == self._config:
            return
        is_open = self._config is not None and self._session is not None
        if is_open and self._sessions.follow(config):
            self._config = config
            return
        # The new session writes everything again, so there is nothing to wait for.
        self._leave(within=0.0)
        self._open(config)

    def rejoin(self) -> None:
        """Leave and join again with a new participant, which has no state of others."""
        if self._config is not None and self._deliver is not None:
            config, self._config = self._config, None
            self.configure(config, self._deliver)

    def subscribe(self, channel: Channel, lacks: Lacks | None = None) -> None:
        """Deliver what is on a channel from now on; no effect if subscribed."""
        if channel not in self._channels:
            self._channels[channel] = lacks
            if self._session is not None:
                self._session.subscribe(channel)

    def write(self, channel: Channel, envelope: Envelope) -> None:
        """Make `envelope` the newest of its subject on a channel, without blocking."""
        if len(envelope.body) > BODY_LIMIT:
            raise ActionNeeded(
                f"a message of {len(envelope.body):,} bytes is too large for the bus",
                f"the limit is {BODY_LIMIT:,} bytes: split the UVN, or declare fewer cells or LANs",
            )
        self._written.setdefault(channel, {})[envelope.subject] = envelope
        if self._session is not None:
            self._session.write(channel, envelope)

    def withdraw(self, channel: Channel, subject: int) -> None:
        """Withdraw what was written about a subject, so that later readers do not receive it."""
        written = self._written.get(channel, {})
        if written.pop(subject, None) is None:
            return
        if not written:
            del self._written[channel]
        if self._session is None:
            return
        if written:
            self._session.withdraw(channel, subject)
        else:
            self._session.delete_writer(channel)

    def close(self) -> None:
        """Leave the bus; other nodes are notified."""
        self._leave(within=LINGER)
        self._sessions.close()

    def _open(self, config: BusConfig) -> None:
        loop = asyncio.get_running_loop()
        inbox = Inbox(loop, self._receive, self._note_opened, self._lose, lacks=self._lacks)
        self._session = self._sessions.open(config, inbox)
        self._inbox, self._config = inbox, config
        self._opened_at = loop.time()
        try:
            self._resume(self._session)
        except UnoError:
            self._leave(within=0.0)
            raise
        self._await_writers(loop)

    def _await_writers(self, loop: asyncio.AbstractEventLoop) -> None:
        """Report absence after a lease: writers that were present reappear one by one."""
        self._unsettled |= {channel for channel, alive in self._reported.items() if alive}
        if self._settling is not None:
            self._settling.cancel()
        self._settling = loop.call_later(WRITER_LEASE, self._settle)

    def _note_opened(self) -> None:
        self._problem = ""

    def _lose(self, error: UnoError) -> None:
        """Replace a session that has ended by itself."""
        config, loop = self._config, asyncio.get_running_loop()
        if config is None:
            return
        if loop.time() - self._opened_at >= _LASTING:
            self._delay = _FIRST_DELAY
        self._drop_session(within=0.0)
        if self._problem != error.what:
            _log.warning("%s", error)
        self._problem = error.what
        if self._settling is None:
            self._await_writers(loop)
        self._replacing = loop.call_later(self._delay, self._replace, config)
        self._delay = min(2 * self._delay, _MAX_DELAY)

    def _replace(self, config: BusConfig) -> None:
        try:
            self._open(config)
        except UnoError as error:
            self._config = config
            self._lose(error)

    def _leave(self, *, within: float) -> None:
        for timer in (self._settling, self._replacing):
            if timer is not None:
                timer.cancel()
        self._drop_session(within=within)
        self._config = self._settling = self._replacing = None
        self._problem = ""

    def _drop_session(self, *, within: float) -> None:
        if self._inbox is not None:
            self._inbox.close()
        if self._session is not None:
            self._session.close(within=within)
        self._session = self._inbox = None
        self._alive.clear()
        self._subjects.clear()

    def _resume(self, session: Session) -> None:
        for channel in self._channels:
            session.subscribe(channel)
        for channel, envelopes in self._written.items():
            for envelope in envelopes.values():
                session.write(channel, envelope)

    def _receive(self, event: BusEvent) -> None:
        if not isinstance(event, Presence):
            self._forward(event)
            if self._config is not None and self._config.middleware is not Middleware.TCP:
                self._note_subject(event)
            return
        self._alive[event.channel] = event.alive
        if event.alive >= self._reported.get(event.channel, 0):
            self._unsettled.discard(event.channel)
        if event.channel not in self._unsettled:
            self._report(event.channel)

    def _lacks(self, channel: Channel, digest: EnvelopeDigest) -> bool:
        lacks = self._channels.get(channel)
        return lacks is None or lacks(channel, digest)

    def _note_subject(self, event: Received) -> None:
        """Count the subjects of this session, and begin another when they are too many."""
        self._subjects.add((event.channel, event.envelope.subject))
        if len(self._subjects) <= MAX_SUBJECTS:
            return
        _log.warning("joining the bus again: a node writes about %d subjects", MAX_SUBJECTS)
        try:
            self.rejoin()
        except UnoError as error:
            # The agent joins again at its next pass.
            _log.warning("%s", error)

    def _settle(self) -> None:
        unsettled, self._unsettled, self._settling = self._unsettled, set(), None
        for channel in unsettled:
            self._report(channel)

    def _report(self, channel: Channel) -> None:
        alive = self._alive.get(channel, 0)
        if alive != self._reported.get(channel, 0):
            self._reported[channel] = alive
            self._forward(Presence(channel, alive))

    def _forward(self, event: BusEvent) -> None:
        if self._deliver is not None:
            self._deliver(event)


class Inbox:
    """Hands the events of a session to an event loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        receive: Callable[[BusEvent], None],
        note_opened: Callable[[], None],
        lose: Callable[[UnoError], None],
        *,
        lacks: Lacks,
    ) -> None:
        """Have `receive` take events, and `lose` the error with which a session ends.

        What the reader `lacks` not need not be put here.
        """
        self.lacks = lacks
        self._loop = loop
        self._receive = receive
        self._note_opened = note_opened
        self._lose = lose
        self._taken = threading.Event()
        self._closed = False

    def put(self, events: Sequence[BusEvent]) -> None:
        """Deliver `events`. For the event loop."""
        for event in events:
            # An event may lead to the bus being closed or reconfigured.
            if not self._closed:
                self._receive(event)

    def opened(self) -> None:
        """Report that the session is open. For the event loop."""
        if not self._closed:
            self._note_opened()

    def lost(self, error: UnoError) -> None:
        """Report that the session has ended by itself. For the event loop."""
        if not self._closed:
            self._lose(error)

    def post(self, events: Sequence[BusEvent]) -> bool:
        """Wait until the event loop has taken `events`; return whether it has. For any thread.

        Meanwhile DDS keeps only the newest samples of each subject, so that memory is bounded.
        """
        self._taken.clear()
        if self._closed:
            return False
        try:
            self._loop.call_soon_threadsafe(self._empty, events)
        except RuntimeError:  # the loop was closed before the bus
            return False
        self._taken.wait()
        return not self._closed

    def close(self) -> None:
        """Drop further events, and release a thread that waits."""
        self._closed = True
        self._taken.set()

    def _empty(self, events: Sequence[BusEvent]) -> None:
        try:
            self.put(events)
        finally:
            self._taken.set()
