"""Messages go into bytes and come back, also those whose cells are numbers."""

from __future__ import annotations

import pytest

from uno.model.codec import decode, encode
from uno.model.messages import Ack, Activation, Phase, UvnAnnouncement


@pytest.mark.parametrize(
    "message",
    [
        UvnAnnouncement(generation=3, cells={10: 3, 2: 1}, unreachable_from_registry=(2,)),
        UvnAnnouncement(generation=3),
        Activation(generation=3, cells={10: 3, 2: 1}, batches=(("1-2", "2-3"), ("3-4",))),
        Ack(generation=3, phase=Phase.REVERTED, running=2, reason="lost cell-1"),
    ],
)
def test_a_message_comes_back_as_it_was(message: UvnAnnouncement | Activation | Ack) -> None:
    assert decode(encode(message), type(message)) == message


def test_equal_messages_are_equal_bytes() -> None:
    one = UvnAnnouncement(generation=3, cells={10: 3, 2: 1})
    other = UvnAnnouncement(generation=3, cells={2: 1, 10: 3})

    assert encode(one) == encode(other)
