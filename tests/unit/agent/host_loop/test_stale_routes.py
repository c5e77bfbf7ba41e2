"""When routes through a link are dropped that BGP would keep."""

from __future__ import annotations

import pytest

from uno.agent.host_loop.stale_routes import DEAD_AFTER, StaleRoutes
from uno.model.status import LinkState


def link(bfd: str, bgp: str) -> LinkState:
    return LinkState(interface="uwg-b0", cell=2, bfd=bfd, bgp=bgp)


DEAD = link("down", "Connect")


@pytest.mark.feature("G12")
@pytest.mark.parametrize(
    ("state", "due"),
    [
        (DEAD, {"uwg-b0"}),
        (link("down", "Idle"), {"uwg-b0"}),
        # BGP ends such a session itself, and keeps nothing of it.
        (link("down", "Established"), set()),
        # A session is coming up, and BFD follows it.
        (link("down", "OpenConfirm"), set()),
        # The neighbour's routing daemon starts anew, and packets still go through.
        (link("up", "Connect"), set()),
        # Nobody answers here.
        (link("", ""), set()),
    ],
)
def test_a_link_is_dead_without_bfd_and_without_a_session(state: LinkState, due: set[str]) -> None:
    stale = StaleRoutes()

    assert stale.due([state], now=7) == frozenset()
    assert stale.due([state], now=7 + DEAD_AFTER) == due


@pytest.mark.feature("G12")
def test_the_time_counts_from_when_the_link_has_last_been_there() -> None:
    stale = StaleRoutes()
    stale.due([DEAD], now=0)
    stale.due([link("up", "Connect")], now=2)

    assert not stale.due([DEAD], now=3)
    assert not stale.due([DEAD], now=DEAD_AFTER + 2.9)
    assert stale.due([DEAD], now=DEAD_AFTER + 3)


@pytest.mark.feature("G12")
def test_it_is_done_once_until_the_link_has_been_back() -> None:
    stale = StaleRoutes()
    stale.due([DEAD], now=0)
    assert stale.due([DEAD], now=9)

    stale.dropped("uwg-b0")

    assert not stale.due([DEAD], now=99)
    stale.due([link("up", "Established")], now=100)
    stale.due([DEAD], now=101)
    assert stale.due([DEAD], now=101 + DEAD_AFTER)
