"""The common part of the DDS adapters, on a session that does nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from ipaddress import IPv4Address

import pytest

from uno.bus.dds import MAX_SUBJECTS, DdsBus
from uno.bus.in_process import InProcess
from uno.bus.session import Post
from uno.model.messages import Envelope, Kind
from uno.ports.bus import BusConfig, BusEvent, Channel, Received, Topic

STATUS = Channel(Topic.STATUS)
CONFIG = BusConfig(domain=1, address=IPv4Address("127.0.0.1"), tag="test")


@dataclass
class IdleSession:
    """A session that records what it subscribes to, and whether it is closed."""

    post: Post
    subscribed: list[Channel] = field(default_factory=list)
    closed: bool = False

    def subscribe(self, channel: Channel) -> None:
        self.subscribed.append(channel)

    def write(self, channel: Channel, envelope: Envelope) -> None:
        """Do nothing."""

    def withdraw(self, channel: Channel, subject: int) -> None:
        """Do nothing."""

    def delete_writer(self, channel: Channel) -> None:
        """Do nothing."""

    def close(self, *, within: float) -> None:
        assert within >= 0
        self.closed = True


def about(subject: int) -> BusEvent:
    return Received(
        STATUS,
        Envelope(
            subject=subject,
            kind=Kind.STATUS,
            sequence=1,
            relayed_by=1,
            body=b"",
            signature=b"",
        ),
    )


def test_a_writer_about_any_number_of_subjects_does_not_fill_the_memory(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sessions: list[IdleSession] = []

    def open_session(_: BusConfig, post: Post) -> IdleSession:
        sessions.append(IdleSession(post))
        return sessions[-1]

    async def scene() -> int:
        received: list[BusEvent] = []
        bus = DdsBus(InProcess(open_session))
        bus.subscribe(STATUS)
        bus.configure(CONFIG, received.append)
        events = [about(subject) for subject in range(MAX_SUBJECTS)]
        assert await asyncio.to_thread(sessions[0].post, events)
        assert await asyncio.to_thread(sessions[0].post, events)
        assert len(sessions) == 1

        # The rest of the batch is of a session that is closed.
        assert not await asyncio.to_thread(sessions[0].post, [about(MAX_SUBJECTS), about(1)])
        assert sessions[0].closed
        assert await asyncio.to_thread(sessions[1].post, events)
        assert len(sessions) == 2
        bus.close()
        return len(received)

    count = asyncio.run(scene())

    assert count == 3 * MAX_SUBJECTS + 1
    assert sessions[1].subscribed == [STATUS]
    assert "a node writes about 5000 subjects" in caplog.text
