"""Frames between an agent and the process of its web page. Pure.

The contents of frames (`unprivileged.frame_stream`) are MessagePack; values of the model are in
them as JSON. The agent reads from the process, which strangers may take over, nothing but
`FromPage`, of bounded size.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta, Struct

from uno.model.messages import BODY_LIMIT
from uno.unprivileged.frame_stream import framed, parsed
from uno.web.series import RecordedLink

TO_PAGE_LIMIT: Final = BODY_LIMIT + 4096
"""The largest content of a frame to the process, in bytes."""

FROM_PAGE_LIMIT: Final = 16 << 10
"""The largest content of a frame of the process, in bytes."""

_Text: TypeAlias = Annotated[str, Meta(max_length=2000)]


class _PageFrame(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A frame; the tag says which."""


class SiteFrame(_PageFrame, frozen=True, tag="site"):
    """What the page is of: the JSON of a `PageSite`."""

    site: bytes


class CertificateFrame(_PageFrame, frozen=True, tag="certificate"):
    """The certificate to serve with from now on, and its key, as PEM."""

    chain: str
    key: str


class OwnCertificateFrame(_PageFrame, frozen=True, tag="own-certificate"):
    """A certificate for readers that name one of `names`, as PEM; none where `chain` is empty."""

    chain: str
    key: str
    names: tuple[str, ...]


class ListenFrame(_PageFrame, frozen=True, tag="listen"):
    """Serve at `address` (`192.168.1.2` or `fd00::1`): the frame comes with a listening socket.

    `is_plain`: without TLS, which a process does at an address of the loopback interface alone.
    """

    address: str
    is_plain: bool


class UnlistenFrame(_PageFrame, frozen=True, tag="unlisten"):
    """Serve at `address` no more."""

    address: str


class ViewFrame(_PageFrame, frozen=True, tag="view"):
    """The UVN: the JSON of a `UvnView` without cells, and the ids of those that it has."""

    view: bytes
    cells: tuple[int, ...]


class CellFrame(_PageFrame, frozen=True, tag="cell"):
    """A cell: the JSON of a `CellView`.

    `received` is when its status was, in seconds of the host's monotonic clock. `is_shortened`:
    `page_site.completed` adds the LANs that it reaches.
    """

    cell: bytes
    received: float
    is_shortened: bool = False


class SeriesFrame(_PageFrame, frozen=True, tag="series"):
    """What was measured of a link so far: a `RecordedLink`."""

    recorded: RecordedLink


class DirectoryFrame(_PageFrame, frozen=True, tag="directory"):
    """The public facts of the registry: the JSON of a `Directory`."""

    directory: bytes


class RecordedFrame(_PageFrame, frozen=True, tag="recorded"):
    """Events that are on disk: the JSON of a tuple of `EventRow`, the oldest first."""

    events: bytes


class ProbeFrame(_PageFrame, frozen=True, tag="probe"):
    """Answer with a `ProbedFrame`."""


class ProbedFrame(_PageFrame, frozen=True, tag="probed"):
    """The answer to a `ProbeFrame`."""


class LineFrame(_PageFrame, frozen=True, tag="line"):
    """A line to be logged as a warning."""

    text: _Text


class RestFrame(_PageFrame, frozen=True, tag="rest"):
    """Accept no more and send a `RestingFrame` once nobody has been connected for `after` seconds.

    Not while somebody is logged in, or wrong passwords count (`LoginDesk.is_at_rest`).
    """

    after: float


class RestingFrame(_PageFrame, frozen=True, tag="resting"):
    """There is no reader, no more connection is accepted, and the process ends."""


class WatchedFrame(_PageFrame, frozen=True, tag="watched"):
    """A reader has the page open."""


class RefusedFrame(_PageFrame, frozen=True, tag="refused"):
    """The process cannot serve: what is wrong, and what to do."""

    what: _Text
    hint: _Text


Shown: TypeAlias = SiteFrame | ViewFrame | CellFrame | SeriesFrame | DirectoryFrame | RecordedFrame
"""Frames with what the page shows."""

ToPage: TypeAlias = (
    Shown
    | CertificateFrame
    | OwnCertificateFrame
    | ListenFrame
    | UnlistenFrame
    | ProbeFrame
    | RestFrame
)
FromPage: TypeAlias = ProbedFrame | LineFrame | WatchedFrame | RestingFrame | RefusedFrame


def encode(frame: ToPage | FromPage) -> bytes:
    """Return a frame with its length."""
    return framed(_ENCODER.encode(frame))


def to_page(content: bytes) -> ToPage:
    """Parse a frame of an agent. Raises `MalformedFrame`."""
    found: ToPage = parsed(content, _TO_PAGE)
    return found


def from_page(content: bytes) -> FromPage:
    """Parse a frame of the process of the page. Raises `MalformedFrame`, and nothing else."""
    found: FromPage = parsed(content, _FROM_PAGE)
    return found


_ENCODER: Final = msgspec.msgpack.Encoder()
_TO_PAGE: Final = msgspec.msgpack.Decoder(ToPage)
_FROM_PAGE: Final = msgspec.msgpack.Decoder(FromPage)
