"""When silent links are called again."""

from __future__ import annotations

from itertools import pairwise

import pytest
from msgspec.structs import replace

from uno.agent.host_loop.handshake_retry import (
    LONGEST_PAUSE,
    OTHER_ADDRESS,
    RETRY_AFTER,
    HandshakeRetry,
    has_strayed,
    is_name,
)
from uno.model.status import LinkState


def link(*, bfd: str = "down", handshake: int | None = 5) -> LinkState:
    return LinkState(interface="uwg-b0", cell=2, bfd=bfd, handshake=handshake)


def calls(retry: HandshakeRetry, states: list[tuple[float, LinkState]]) -> list[float]:
    """Return when the link was called, of the times at which it was looked at."""
    return [now for now, state in states if retry.due([state], now=now)]


@pytest.mark.feature("G13")
def test_a_link_that_is_down_is_called_after_a_while_and_then_ever_more_seldom() -> None:
    seconds = [float(each) for each in range(400)]

    called = calls(HandshakeRetry(), [(now, link()) for now in seconds])

    assert called[:4] == [RETRY_AFTER, 30.0, 70.0, 130.0]
    pauses = [after - before for before, after in pairwise(called)]
    assert set(pauses[2:]) == {LONGEST_PAUSE}


def test_a_link_that_works_is_left_alone() -> None:
    assert calls(HandshakeRetry(), [(float(now), link(bfd="up")) for now in range(300)]) == []


def test_a_link_that_never_had_a_session_is_called_soon() -> None:
    called = calls(HandshakeRetry(), [(float(now), link(handshake=None)) for now in range(30)])

    assert called[:4] == [1.0, 3.0, 7.0, 15.0]


@pytest.mark.feature("G13")
def test_a_link_with_its_first_session_is_given_time_for_bfd_to_come_up() -> None:
    states = [link(handshake=None), link(handshake=0), *(link(handshake=n) for n in range(1, 20))]

    assert calls(HandshakeRetry(), [(0.7 * n, state) for n, state in enumerate(states)]) == [
        pytest.approx(11.2)
    ]


@pytest.mark.feature("G13")
def test_a_link_that_sends_to_another_port_is_called_soon_and_left_to_its_new_session() -> None:
    retry = HandshakeRetry()
    states = [link(), link(), link(handshake=None), *(link(handshake=n) for n in range(12))]

    called = [
        now
        for now, state in enumerate(states)
        if retry.due([state], now=now, strayed={"uwg-b0"} if now < 2 else ())
    ]

    assert called == [1, 13]


@pytest.mark.parametrize(
    ("shown", "endpoint", "expected"),
    [
        ("192.0.2.1:51820", "192.0.2.1:51820", False),
        ("192.0.2.1:51820", "192.0.2.1:51821", True),
        ("192.0.2.9:51820", "a.example:51820", False),
        ("[2001:db8::1]:51820", "a.example:51821", True),
        ("192.0.2.1:51820", None, False),
        ("", "192.0.2.1:51820", False),
    ],
)
def test_a_link_has_strayed_if_the_port_differs(
    shown: str,
    endpoint: str | None,
    *,
    expected: bool,
) -> None:
    assert has_strayed(replace(link(), endpoint=shown), endpoint) is expected


def test_a_link_that_comes_back_has_all_its_patience_again() -> None:
    retry = HandshakeRetry()
    calls(retry, [(float(now), link()) for now in range(100)])
    retry.due([link(bfd="up")], now=100)

    assert calls(retry, [(float(now), link()) for now in range(101, 120)]) == [111.0]


@pytest.mark.feature("G13")
def test_a_link_with_an_expired_session_is_silent_even_with_bfd_up() -> None:
    states = [(float(now), link(bfd="up", handshake=181)) for now in range(20)]

    assert calls(HandshakeRetry(), states) == [RETRY_AFTER]


@pytest.mark.feature("G51")
def test_one_of_several_addresses_is_given_less_time() -> None:
    retry, found = HandshakeRetry(), []
    for now in map(float, range(200)):
        if retry.due([link()], now=now):
            found.append(now)
            retry.try_next_soon("uwg-b0", now=now)

    assert found[:2] == [RETRY_AFTER, RETRY_AFTER + OTHER_ADDRESS]
    assert {after - before for before, after in pairwise(found)} == {OTHER_ADDRESS}


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("home.example.org:63550", True),
        ("192.0.2.1:63550", False),
        ("[2001:db8::1]:63550", False),
        (None, False),
    ],
)
def test_only_names_can_lead_elsewhere(endpoint: str | None, expected: bool) -> None:  # noqa: FBT001
    assert is_name(endpoint) is expected
