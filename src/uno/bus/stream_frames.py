"""Frames between two neighbours on a TCP connection. Pure.

A frame is one octet of type, three of length, and the content. All numbers are big-endian. Each end
sends `Hello` first. Then it numbers the channels that it subscribes to; the other end sends samples
of these alone, under their numbers. Of some channels it sends a `ChannelSummary` first, and then
what the answer to it, a `Request`, names. A sample that is larger than a frame continues in
`BodyPart`s, with at most one such sample under way in each direction, so that others pass between
its parts. Frames are read before any signature is verified: numbers and bytes are copied, and no
body is parsed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from typing import Final, TypeAlias

from msgspec import Struct

from uno.model.messages import BODY_LIMIT, SIGNATURE_SIZE, Envelope
from uno.ports.bus import MARK_SIZE, Channel, EnvelopeDigest, Topic

VERSION: Final = 2
"""The version of this protocol. Nodes of different versions have no connection."""

FRAME_BODY: Final = 16 << 10
"""Octets of a body in one frame."""

OTHER_LIMIT: Final = 2 << 20
"""The largest body on a topic other than that of packages."""

CHANNEL_LIMIT: Final = 1024
"""Channels that one end may subscribe to."""

_HEADER: Final = 4
_MAGIC: Final = b"uno-bus"
_HELLO: Final = struct.Struct(">7sB16sQI")
_NUMBER: Final = struct.Struct(">H")
_WRITER: Final = struct.Struct(">HB")
# Number of the channel, subject, kind, sequence, relayed by; octets of the body and the signature.
_SAMPLE: Final = struct.Struct(">HIHQIIB")
# Subject, kind, sequence, mark.
_DIGEST: Final = struct.Struct(f">IHQ{MARK_SIZE}s")
_SUBJECT: Final = struct.Struct(">I")
_IN_SUMMARY: Final = FRAME_BODY // _DIGEST.size
_CHANNEL_NAME: Final = 128
_CONTENT_LIMIT: Final = FRAME_BODY + _SAMPLE.size + SIGNATURE_SIZE


class _Type(IntEnum):
    """Types of frames. They are on the wire and are never reused."""

    HELLO = 1
    SUBSCRIPTION = 2
    WRITER = 3
    SAMPLE = 4
    PART = 5
    PING = 6
    PONG = 7
    FAREWELL = 8
    SUMMARY = 9
    REQUEST = 10


class BrokenStream(ValueError):
    """The other end has sent what is not a frame, or not in its place."""


class Hello(Struct, frozen=True, kw_only=True):
    """Who begins a connection: `tag` is a digest of the UVN, `session` a random number.

    `losses` counts the connections with the other end that this session has lost.
    """

    tag: bytes
    session: int
    losses: int


class Subscription(Struct, frozen=True):
    """The sender receives samples of a channel under `number`."""

    number: int
    channel: Channel


class WriterState(Struct, frozen=True):
    """Whether the sender has written to a channel."""

    number: int
    alive: bool


class ChannelSummary(Struct, frozen=True):
    """Digests of what the sender had written to a channel when the other end subscribed to it."""

    number: int
    digests: tuple[EnvelopeDigest, ...]


class Request(Struct, frozen=True):
    """The subjects of a summary about which the sender lacks what the other end has."""

    number: int
    subjects: tuple[int, ...]


class SampleStart(Struct, frozen=True):
    """An envelope on a channel: its body has `size` octets, and begins with that of `envelope`."""

    number: int
    size: int
    envelope: Envelope


class BodyPart(Struct, frozen=True):
    """More of the body of the sample that was begun."""

    body: bytes


class Ping(Struct, frozen=True):
    """Answer with a `Pong`."""


class Pong(Struct, frozen=True):
    """The answer to a `Ping`."""


class Farewell(Struct, frozen=True):
    """The sender leaves the bus."""


StreamFrame: TypeAlias = (
    Hello
    | Subscription
    | WriterState
    | ChannelSummary
    | Request
    | SampleStart
    | BodyPart
    | Ping
    | Pong
    | Farewell
)


def body_limit(topic: Topic) -> int:
    """Return the largest body on a topic, in octets."""
    return BODY_LIMIT if topic is Topic.OFFER else OTHER_LIMIT


def hello(frame: Hello) -> bytes:
    """Encode a `Hello`."""
    content = _HELLO.pack(_MAGIC, VERSION, frame.tag, frame.session, frame.losses)
    return _framed(_Type.HELLO, content)


def subscription(number: int, channel: Channel) -> bytes:
    """Encode a `Subscription`."""
    name = f"{channel.topic.value}\0{channel.partition}".encode()
    return _framed(_Type.SUBSCRIPTION, _NUMBER.pack(number) + name)


def writer_state(number: int, *, alive: bool) -> bytes:
    """Encode a `WriterState`."""
    return _framed(_Type.WRITER, _WRITER.pack(number, alive))


def summaries(number: int, digests: Iterable[EnvelopeDigest]) -> Iterator[bytes]:
    """Encode digests in as many `ChannelSummary` frames as they need; none if there are none."""
    packed = [_DIGEST.pack(it.subject, it.kind, it.sequence, it.mark) for it in digests]
    for start in range(0, len(packed), _IN_SUMMARY):
        content = b"".join(packed[start : start + _IN_SUMMARY])
        yield _framed(_Type.SUMMARY, _NUMBER.pack(number) + content)


def request(number: int, subjects: Sequence[int]) -> bytes:
    """Encode a `Request` of subjects that one summary has."""
    content = b"".join(map(_SUBJECT.pack, subjects))
    return _framed(_Type.REQUEST, _NUMBER.pack(number) + content)


def sample(number: int, envelope: Envelope) -> tuple[bytes, memoryview]:
    """Encode an envelope; return its first frame, and what of the body is left for `part`s."""
    body = memoryview(envelope.body)
    head = _SAMPLE.pack(
        number,
        envelope.subject,
        envelope.kind,
        envelope.sequence,
        envelope.relayed_by,
        len(body),
        len(envelope.signature),
    )
    first = b"".join((head, envelope.signature, body[:FRAME_BODY]))
    return _framed(_Type.SAMPLE, first), body[FRAME_BODY:]


def part(rest: memoryview) -> tuple[bytes, memoryview]:
    """Encode the next part of a body; return it, and what is left."""
    return _framed(_Type.PART, bytes(rest[:FRAME_BODY])), rest[FRAME_BODY:]


def _framed(kind: _Type, content: bytes = b"") -> bytes:
    return (kind << 24 | len(content)).to_bytes(_HEADER, "big") + content


PING: Final = _framed(_Type.PING)
PONG: Final = _framed(_Type.PONG)
FAREWELL: Final = _framed(_Type.FAREWELL)


class StreamReader:
    """Cuts a stream of octets into frames."""

    def __init__(self) -> None:
        """Start at the beginning of a frame."""
        self._data = bytearray()

    def add(self, data: bytes) -> Iterator[StreamFrame]:
        """Yield what `data` completes; all must be taken. Raises `BrokenStream`, and nothing else.

        A frame that is too large is refused by its length, before its content is received.
        """
        self._data += data
        start = 0
        while len(self._data) >= start + _HEADER:
            header = int.from_bytes(self._data[start : start + _HEADER], "big")
            kind, size = header >> 24, header & 0xFFFFFF
            if size > _CONTENT_LIMIT:
                raise BrokenStream(f"a frame of {size:,} bytes")
            end = start + _HEADER + size
            if len(self._data) < end:
                break
            yield _parsed(kind, bytes(self._data[start + _HEADER : end]))
            start = end
        del self._data[:start]


def _parsed(kind: int, content: bytes) -> StreamFrame:  # noqa: C901, PLR0911 - one for each type
    try:
        match kind:
            case _Type.SAMPLE:
                return _sample(content)
            case _Type.PART:
                return BodyPart(content)
            case _Type.PING if not content:
                return Ping()
            case _Type.PONG if not content:
                return Pong()
            case _Type.FAREWELL if not content:
                return Farewell()
            case _Type.WRITER:
                number, alive = _WRITER.unpack(content)
                return WriterState(number, bool(alive))
            case _Type.SUMMARY:
                return _summary(content)
            case _Type.REQUEST:
                (number,) = _NUMBER.unpack(content[: _NUMBER.size])
                subjects = _SUBJECT.iter_unpack(content[_NUMBER.size :])
                return Request(number, tuple(subject for (subject,) in subjects))
            case _Type.SUBSCRIPTION:
                return _subscription(content)
            case _Type.HELLO:
                return _hello(content)
            case _:
                raise BrokenStream(f"a frame of type {kind} with {len(content)} bytes")
    except struct.error as error:
        raise BrokenStream(f"a frame of type {kind}: {error}") from error


def _hello(content: bytes) -> Hello:
    # Later versions begin alike, and may be longer.
    if content[: len(_MAGIC)] != _MAGIC or len(content) <= len(_MAGIC):
        raise BrokenStream("it is not uno")
    if (version := content[len(_MAGIC)]) != VERSION:
        raise BrokenStream(f"it has version {version} of the protocol, not {VERSION}")
    _, _, tag, session, losses = _HELLO.unpack(content)
    return Hello(tag=tag, session=session, losses=losses)


def _subscription(content: bytes) -> Subscription:
    (number,), name = _NUMBER.unpack(content[: _NUMBER.size]), content[_NUMBER.size :]
    if number >= CHANNEL_LIMIT or len(name) > _CHANNEL_NAME:
        raise BrokenStream("a subscription out of bounds")
    try:
        topic, found, partition = name.decode().partition("\0")
        channel = Channel(Topic(topic), partition)
    except ValueError as error:
        raise BrokenStream("a subscription to no channel") from error
    if not found:
        raise BrokenStream("a subscription to no channel")
    return Subscription(number, channel)


def _summary(content: bytes) -> ChannelSummary:
    (number,) = _NUMBER.unpack(content[: _NUMBER.size])
    found = _DIGEST.iter_unpack(content[_NUMBER.size :])
    return ChannelSummary(number, tuple(EnvelopeDigest(*fields) for fields in found))


def _sample(content: bytes) -> SampleStart:
    fields = _SAMPLE.unpack(content[: _SAMPLE.size])
    number, subject, kind, sequence, relayed_by, size, signed = fields
    at = _SAMPLE.size + signed
    body = content[at:]
    if signed > SIGNATURE_SIZE or at > len(content) or len(body) != min(size, FRAME_BODY):
        raise BrokenStream("a sample whose lengths do not agree")
    envelope = Envelope(
        subject=subject,
        kind=kind,
        sequence=sequence,
        relayed_by=relayed_by,
        body=body,
        signature=content[_SAMPLE.size : at],
    )
    return SampleStart(number, size, envelope)
