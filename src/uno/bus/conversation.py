"""One end of a connection between two neighbours: what it sends next, and what it receives. Pure.

It sends the newest envelope of each subject of the channels that the other end subscribes to. Of
what was on a channel before, and cells relay, it sends digests, as routers describe their databases
(RFC 2328, section 10.6): the other end requests what it lacks, which is little after an outage.

What the other end has sent itself is not returned to it (RFC 2328, section 13.3), so that an
advertisement that both ends flood crosses the connection about once.

What is not sent yet is a set of keys: an envelope is taken when its turn comes, so that a newer one
replaces an older one and a slow neighbour costs no memory. Small envelopes go between the parts of
a large one. Times are of a monotonic clock, in seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeAlias, assert_never

from msgspec import Struct, field
from msgspec.structs import replace

from uno.bus import stream_frames
from uno.bus.stream_frames import (
    FRAME_BODY,
    BodyPart,
    BrokenStream,
    ChannelSummary,
    Farewell,
    Hello,
    Ping,
    Pong,
    Request,
    SampleStart,
    StreamFrame,
    StreamReader,
    Subscription,
    WriterState,
)
from uno.model.messages import Envelope
from uno.ports.bus import OWN, RELAY, Channel, Lacks, Received, Topic, digest_of

CHUNK: Final = 16 << 10
"""Octets of envelopes that are made at once; the part of a large one comes on top."""

RETURNED_LIMIT: Final = 4096
"""Envelopes of the other end that are remembered, the newest of each topic and subject."""

Written: TypeAlias = Mapping[Channel, Mapping[int, Envelope]]


def is_summarised(channel: Channel) -> bool:
    """Whether digests are sent first: of much that the other end may have from elsewhere.

    What a node originates is sent as it is: that it arrives is a sign of life.
    """
    return channel.partition == RELAY or channel.topic is Topic.DIRECTORY


class WriterChange(Struct, frozen=True):
    """The other end has begun, or ceased, to write to a channel."""

    channel: Channel


ConversationEvent: TypeAlias = Hello | Received | WriterChange | Farewell


class _Unfinished(Struct):
    """A large sample of which parts are missing."""

    channel: Channel
    envelope: Envelope
    size: int
    body: bytearray = field(default_factory=bytearray)


class Conversation:
    """One end of a connection."""

    def __init__(
        self, own: Hello, channels: Iterable[Channel], written: Written, lacks: Lacks
    ) -> None:
        """Begin as `own`, which subscribes to `channels`; `written` has the newest envelopes.

        `written` is read when something is sent: it may change at any time. What this end `lacks`
        of the digests that it receives is requested.
        """
        self.peer: Hello | None = None
        self.has_left = False
        # By the numbers of this end's subscriptions; a channel without an answer is not in it.
        self.writers: dict[Channel, bool] = {}
        self._written = written
        self._lacks = lacks
        # By channel, the subjects of digests that were sent: each may be requested once.
        self._described: dict[Channel, set[int]] = {}
        # The signatures of what the other end has sent, by topic and subject.
        self._returned: dict[tuple[Topic, int], bytes] = {}
        self._reader = StreamReader()
        self._channels = list(channels)
        self._their_numbers: dict[Channel, int] = {}
        self._their_count = 0
        self._control = deque([stream_frames.hello(own)])
        self._small: dict[tuple[Channel, int], None] = {}
        self._large: dict[tuple[Channel, int], None] = {}
        self._rest = memoryview(b"")
        self._unfinished: _Unfinished | None = None
        self._ping = self._pong = self._is_leaving = False
        for number, channel in enumerate(self._channels):
            self._control.append(stream_frames.subscription(number, channel))

    @property
    def has_output(self) -> bool:
        """Whether there is something to send."""
        waiting = self._control, self._small, self._large, self._rest
        return any(waiting) or self._ping or self._pong or self._is_leaving

    @property
    def waiting(self) -> int:
        """How many envelopes are to be sent; of each only its key is kept."""
        return len(self._small) + len(self._large)

    def subscribe(self, channel: Channel) -> None:
        """Subscribe to another channel."""
        self._control.append(stream_frames.subscription(len(self._channels), channel))
        self._channels.append(channel)

    def note_written(self, channel: Channel, subject: int, *, first: bool) -> None:
        """Send what was written about a subject; `first`: nothing was on the channel before."""
        if (number := self._their_numbers.get(channel)) is None:
            return
        if first:
            self._control.append(stream_frames.writer_state(number, alive=True))
        self._described.get(channel, set()).discard(subject)
        envelope = self._written[channel][subject]
        if channel.partition == RELAY and self._has_sent(channel, envelope):
            self.note_withdrawn(channel, subject)
        else:
            self._queue(channel, subject, envelope)

    def _has_sent(self, channel: Channel, envelope: Envelope) -> bool:
        return self._returned.get((channel.topic, envelope.subject)) == envelope.signature

    def _received(self, channel: Channel, envelope: Envelope) -> Received:
        """Take an envelope; it is not returned to the other end."""
        if channel.partition in {OWN, RELAY}:
            key, relayed = (channel.topic, envelope.subject), Channel(channel.topic, RELAY)
            if key not in self._returned and len(self._returned) >= RETURNED_LIMIT:
                del self._returned[next(iter(self._returned))]
            self._returned[key] = envelope.signature
            waiting = self._written.get(relayed, {}).get(envelope.subject)
            if waiting is not None and waiting.signature == envelope.signature:
                self.note_withdrawn(relayed, envelope.subject)
        return Received(channel, envelope)

    def note_withdrawn(self, channel: Channel, subject: int) -> None:
        """Send no more what was written about a subject."""
        self._small.pop((channel, subject), None)
        self._large.pop((channel, subject), None)

    def note_no_writer(self, channel: Channel) -> None:
        """Send no more of what was written to a channel."""
        for queue in (self._small, self._large):
            for key in [key for key in queue if key[0] == channel]:
                del queue[key]
        if (number := self._their_numbers.get(channel)) is not None:
            self._control.append(stream_frames.writer_state(number, alive=False))

    def ping(self) -> None:
        """Have the other end answer."""
        self._ping = True

    def leave(self) -> None:
        """Send last that this end leaves the bus; large samples are left out."""
        self._large.clear()
        self._rest = memoryview(b"")
        self._is_leaving = True

    def next_chunk(self) -> bytes:
        """Return what to send next: empty if there is nothing. What is small comes first."""
        out = bytearray()
        while self._control and len(out) < CHUNK:
            out += self._control.popleft()
        out += stream_frames.PONG if self._pong else b""
        out += stream_frames.PING if self._ping else b""
        self._ping = self._pong = False
        while self._small and len(out) < CHUNK:
            out += self._begin_sample(self._small)
        if self._rest:
            frame, self._rest = stream_frames.part(self._rest)
            out += frame
        elif self._large:
            out += self._begin_sample(self._large)
        if self._is_leaving and not (self._control or self._small):
            self._is_leaving = False
            out += stream_frames.FAREWELL
        return bytes(out)

    def receive(self, data: bytes) -> Iterator[ConversationEvent]:
        """Yield what has arrived; all must be taken. Raises `BrokenStream`, and nothing else.

        The first is a `Hello`. Nothing follows a `Farewell`.
        """
        for frame in self._reader.add(data):
            if self.has_left:
                raise BrokenStream("a frame after the last")
            if (self.peer is None) != isinstance(frame, Hello):
                raise BrokenStream("a connection begins with one hello")
            if (event := self._handle(frame)) is not None:
                yield event

    def _handle(self, frame: StreamFrame) -> ConversationEvent | None:  # noqa: C901, PLR0911 - one for each frame
        match frame:
            case Hello():
                self.peer = frame
                return frame
            case Ping():
                self._pong = True
                return None
            case Pong():
                return None
            case Subscription():
                self._note_subscription(frame)
                return None
            case WriterState(number, alive):
                channel = self._channel(number)
                self.writers[channel] = alive
                return WriterChange(channel)
            case ChannelSummary():
                self._compare(frame)
                return None
            case Request():
                self._note_request(frame)
                return None
            case SampleStart():
                return self._begin(frame)
            case BodyPart(body):
                return self._continue(body)
            case Farewell():
                self.has_left = True
                return frame
            case _:
                assert_never(frame)

    def _note_subscription(self, frame: Subscription) -> None:
        # A second one would send everything again, and is not needed.
        if frame.number != self._their_count or frame.channel in self._their_numbers:
            raise BrokenStream("a subscription that is not the next")
        self._their_count += 1
        self._their_numbers[frame.channel] = frame.number
        found = self._written.get(frame.channel, {})
        self._control.append(stream_frames.writer_state(frame.number, alive=bool(found)))
        if is_summarised(frame.channel):
            self._described[frame.channel] = set(found)
            digests = map(digest_of, found.values())
            self._control.extend(stream_frames.summaries(frame.number, digests))
            return
        for subject, envelope in found.items():
            self._queue(frame.channel, subject, envelope)

    def _compare(self, frame: ChannelSummary) -> None:
        """Request what this end lacks."""
        channel = self._channel(frame.number)
        subjects = [each.subject for each in frame.digests if self._lacks(channel, each)]
        if subjects:
            self._control.append(stream_frames.request(frame.number, subjects))

    def _note_request(self, frame: Request) -> None:
        channel = self._their_channel(frame.number)
        described, written = self._described.get(channel, set()), self._written.get(channel, {})
        for subject in frame.subjects:
            # What was written, withdrawn or requested since then is not sent for it.
            if subject in described and subject in written:
                self._queue(channel, subject, written[subject])
            described.discard(subject)

    def _their_channel(self, number: int) -> Channel:
        for channel, known in self._their_numbers.items():
            if known == number:
                return channel
        raise BrokenStream("a request of a channel that was not subscribed to")

    def _channel(self, number: int) -> Channel:
        if number >= len(self._channels):
            raise BrokenStream("a channel that was not subscribed to")
        return self._channels[number]

    def _begin(self, frame: SampleStart) -> Received | None:
        channel = self._channel(frame.number)
        if frame.size > stream_frames.body_limit(channel.topic):
            raise BrokenStream(f"{frame.size:,} bytes on {channel.topic}")
        if frame.size <= FRAME_BODY:
            return self._received(channel, frame.envelope)
        if self._unfinished is not None:
            raise BrokenStream("two large samples at once")
        self._unfinished = _Unfinished(
            channel, frame.envelope, frame.size, bytearray(frame.envelope.body)
        )
        return None

    def _continue(self, body: bytes) -> Received | None:
        found = self._unfinished
        if found is None or len(body) != min(found.size - len(found.body), FRAME_BODY):
            raise BrokenStream("a part of no sample")
        found.body += body
        if len(found.body) < found.size:
            return None
        self._unfinished = None
        return self._received(found.channel, replace(found.envelope, body=bytes(found.body)))

    def _queue(self, channel: Channel, subject: int, envelope: Envelope) -> None:
        key = channel, subject
        is_large = len(envelope.body) > FRAME_BODY
        queue, other = (self._large, self._small) if is_large else (self._small, self._large)
        other.pop(key, None)
        queue[key] = None

    def _begin_sample(self, queue: dict[tuple[Channel, int], None]) -> bytes:
        channel, subject = key = next(iter(queue))
        del queue[key]
        number, envelope = self._their_numbers[channel], self._written[channel][subject]
        frame, rest = stream_frames.sample(number, envelope)
        if rest:
            self._rest = rest
        return frame
