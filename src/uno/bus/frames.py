"""Frames between an agent and the process of its bus, over a stream socket. Pure.

The contents of frames (`unprivileged.frame_stream`) are MessagePack. Envelopes are
in it as they are on the wire of DDS (`wire`), so that whoever reads a frame checks them again.
The process of the bus is the one that strangers may take over: an agent reads from it nothing but
`FromChild`, of bounded size.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta, Struct

from uno.model.messages import BODY_LIMIT
from uno.ports.bus import Channel
from uno.unprivileged.frame_stream import framed, parsed

FRAME_LIMIT: Final = BODY_LIMIT + 4096
"""The largest content of a frame, in bytes: the largest envelope, and where it belongs."""

_Number: TypeAlias = Annotated[int, Meta(ge=0, lt=1 << 32)]
_Text: TypeAlias = Annotated[str, Meta(max_length=2000)]


class _Frame(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A frame; the tag says which."""


class OpenFrame(_Frame, frozen=True, tag="open"):
    """Open a session, instead of the one before. `config` is the JSON of a `BusConfig`.

    `licence` is the content of the middleware's licence file: the child cannot read it itself.
    """

    session: int
    config: bytes
    licence: bytes


class SubscribeFrame(_Frame, frozen=True, tag="subscribe"):
    """Subscribe to a channel."""

    channel: Channel


class WriteFrame(_Frame, frozen=True, tag="write"):
    """Write an envelope."""

    channel: Channel
    envelope: bytes


class WithdrawFrame(_Frame, frozen=True, tag="withdraw"):
    """Dispose of the envelope about a subject."""

    channel: Channel
    subject: int


class DeleteWriterFrame(_Frame, frozen=True, tag="delete"):
    """Delete the writer of a channel."""

    channel: Channel


class CloseFrame(_Frame, frozen=True, tag="close"):
    """Close the session, within so many seconds, and end."""

    within: float


class PingFrame(_Frame, frozen=True, tag="ping"):
    """Answer with a `PongFrame`."""


class OpenedFrame(_Frame, frozen=True, tag="opened"):
    """The session is open."""

    session: _Number


class FailedFrame(_Frame, frozen=True, tag="failed"):
    """The session could not be opened, or is closed after an error."""

    session: _Number
    what: _Text
    hint: _Text
    transient: bool


class SampleFrame(_Frame, frozen=True, tag="sample"):
    """An envelope was received."""

    session: _Number
    channel: Channel
    envelope: bytes


class AliveFrame(_Frame, frozen=True, tag="alive"):
    """The number of writers of a channel has changed."""

    session: _Number
    channel: Channel
    alive: _Number


class PongFrame(_Frame, frozen=True, tag="pong"):
    """The answer to a `PingFrame`."""


class LogFrame(_Frame, frozen=True, tag="log"):
    """A line to be logged as a warning."""

    text: _Text


OfSession: TypeAlias = SubscribeFrame | WriteFrame | WithdrawFrame | DeleteWriterFrame
ToChild: TypeAlias = OpenFrame | CloseFrame | PingFrame | OfSession
FromChild: TypeAlias = OpenedFrame | FailedFrame | SampleFrame | AliveFrame | PongFrame | LogFrame


def encode(frame: ToChild | FromChild) -> bytes:
    """Return a frame with its length."""
    return framed(_ENCODER.encode(frame))


def to_child(content: bytes) -> ToChild:
    """Parse a frame of an agent. Raises `MalformedFrame`."""
    found: ToChild = parsed(content, _TO_CHILD)
    return found


def from_child(content: bytes) -> FromChild:
    """Parse a frame of the process of the bus. Raises `MalformedFrame`, and nothing else."""
    found: FromChild = parsed(content, _FROM_CHILD)
    return found


_ENCODER: Final = msgspec.msgpack.Encoder()
_TO_CHILD: Final = msgspec.msgpack.Decoder(ToChild)
_FROM_CHILD: Final = msgspec.msgpack.Decoder(FromChild)
