"""Whatever a thief has sent with the key of a cell, the cell is accepted again once it is cleaned.

Without a new key for it: the thief has stopped, and the numbers that were used are forgotten.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flooding import Cells, advertisement
from uno.model.codec import encode
from uno.model.messages import Kind
from uno.model.status import CellStatus
from uno.ports.bus import OWN, RELAY, Channel, Topic
from uno.statesync.flood_queue import MAX_HOLD
from uno.statesync.sequence import LIMIT, MAX_STEP
from uno.statesync.timers import FORGET_AGE, HELLO_INTERVAL

pytestmark = pytest.mark.feature("G53")

COUNT, STOLEN = 4, 1
# A line of cells: 1, 2, 3, 4.
LINKS = ((1, 2), (2, 3), (3, 4))

others = st.integers(2, COUNT)
numbers = st.one_of(
    st.integers(1, 50),
    st.integers(1, LIMIT - 1),
    st.sampled_from([0, LIMIT - 1, LIMIT - MAX_STEP, LIMIT, (1 << 64) - 1, MAX_STEP + 3]),
)
events = st.one_of(
    st.tuples(st.just("steal"), others, numbers),
    st.tuples(st.just("steal for relay"), others, numbers),
    st.tuples(st.just("sync"), others, st.just(0)),
    st.tuples(st.just("wait"), st.integers(1, 200), st.just(0)),
    st.tuples(st.just("restart"), others, st.just(0)),
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(happens=st.lists(events, max_size=30))
def test_a_cell_that_is_cleaned_is_accepted_again(happens: list[tuple[str, int, int]]) -> None:
    net = Cells(COUNT)
    for what, one, number in happens:
        if what.startswith("steal"):
            partition = RELAY if what.endswith("relay") else OWN
            body = encode(CellStatus(generation=99))
            stolen = advertisement(STOLEN, Kind.STATUS, body, sequence=number)
            net.receive(one, Channel(Topic.STATUS, partition), stolen)
        elif what == "sync":
            round_of(net)
        elif what == "wait":
            live(net, float(one))
        elif what == "restart":
            net.executed[one].newest.clear()
            net.start(one, reserved=net.executed[one].reserved)

    # It is installed anew, with nothing but its key. Copies of what the thief has sent may be on
    # their way to nodes that restart, so that it takes as long twice.
    net.executed[STOLEN].newest.clear()
    net.start(STOLEN)
    live(net, 2 * FORGET_AGE + 4 * HELLO_INTERVAL, advertising=range(1, COUNT + 1))

    for cell in net.floods:
        assert net.statuses(cell)[STOLEN].generation == 7, cell


def live(net: Cells, seconds: float, *, advertising: range = range(2, COUNT + 1)) -> None:
    """Let time pass, in which these cells refresh their statuses, and all flood."""
    end = net.now + seconds
    while net.now < end:
        net.now = min(end, net.now + HELLO_INTERVAL)
        for cell in advertising:
            net.advertise(cell, 7)
        round_of(net)


def round_of(net: Cells) -> None:
    """Have what is on the channels cross the whole line."""
    for _ in range(COUNT):
        for one, other in LINKS:
            net.sync(one, other)
            net.sync(other, one)
        net.now += MAX_HOLD
        for cell in net.floods:
            net.flood_due(cell, awaiting_confirm=True)
