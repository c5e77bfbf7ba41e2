"""Flooding converges: whatever happens, all cells end up with the newest status of each cell."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flooding import Cells, Executed, advertisement
from uno.model.codec import encode
from uno.model.messages import Kind
from uno.model.status import CellStatus
from uno.ports.bus import RELAY, Channel, Topic
from uno.statesync.flood_queue import MAX_HOLD
from uno.statesync.sequence import BLOCK

COUNT = 5

cells = st.integers(1, COUNT)
# Each cell's link to one with a lower number, so that the cells are connected, and some more.
topologies = st.tuples(
    st.tuples(*(st.integers(1, cell - 1) for cell in range(2, COUNT + 1))),
    st.lists(st.tuples(cells, cells), max_size=3),
)
# What is not received is lost or late; a link without events is partitioned until the end.
events = st.one_of(
    st.tuples(st.just("advertise"), cells, cells),
    st.tuples(st.just("receive"), cells, cells),
    st.tuples(st.just("receive an old one"), cells, cells),
    st.tuples(st.just("flood"), cells, st.integers(0, 1)),
    st.tuples(st.just("wait"), st.integers(1, 50), st.just(0)),
    st.tuples(st.just("restart"), cells, st.integers(0, 1)),
    st.tuples(st.just("forge"), cells, cells),
)

Topology = tuple[tuple[int, ...], list[tuple[int, int]]]
Event = tuple[str, int, int]


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(topology=topologies, happens=st.lists(events, max_size=80))
def test_all_cells_end_up_with_the_newest_status_of_each(
    topology: Topology, happens: list[Event]
) -> None:
    net = Cells(COUNT)
    pairs = (*enumerate(topology[0], 2), *topology[1])
    links = {frozenset(each) for each in pairs if each[0] != each[1]}
    newest = live(net, links, happens)

    # A cell that lost its numbers can use one again that others have with another content: all
    # take the same of the two. Two rounds across the network: what a restarted cell has sent comes
    # back to it, and its higher number goes out.
    for _ in range(2 * COUNT):
        for one, other in map(sorted, links):
            net.sync(one, other)
            net.sync(other, one)
        net.now += MAX_HOLD
        for cell in net.floods:
            net.flood_due(cell, awaiting_confirm=True)
            assert net.next_flood(cell, awaiting_confirm=True) is None

    for cell in net.floods:
        found = {subject: status.generation for subject, status in net.statuses(cell).items()}
        assert found == newest


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(topology=topologies, happens=st.lists(events, max_size=60))
def test_each_cell_relays_in_order_and_nothing_twice(
    topology: Topology, happens: list[Event]
) -> None:
    net = Cells(COUNT)
    pairs = (*enumerate(topology[0], 2), *topology[1])
    links = {frozenset(each) for each in pairs if each[0] != each[1]}

    live(net, links, [each for each in happens if each[0] != "restart"])

    assert all(is_in_order(executed) for executed in net.executed.values())


def live(net: Cells, links: set[frozenset[int]], happens: list[Event]) -> dict[int, int]:
    """Run the events; return the generation that each cell has advertised last."""
    newest = dict.fromkeys(net.floods, 0)
    for cell in newest:
        net.advertise(cell, 0)
    for what, one, other in happens:
        if what == "advertise":
            newest[one] += 1
            net.advertise(one, newest[one])
        elif what == "receive" and frozenset({one, other}) in links:
            net.sync(one, other)
        elif what == "receive an old one" and net.executed[other].written:
            old = net.executed[other].written[0]
            net.receive(one, old.channel, old.envelope)
        elif what == "flood":
            net.flood_due(one, awaiting_confirm=bool(other))
        elif what == "wait":
            net.now += one / 50
        elif what == "restart":
            restart(net, one, keeps_file=bool(other))
            net.advertise(one, newest[one])
        elif what == "forge":
            forge(net, one, subject=other)
    return newest


def restart(net: Cells, cell: int, *, keeps_file: bool) -> None:
    """End a cell and start it, with its file of reserved numbers or without."""
    executed = net.executed[cell]
    executed.newest.clear()
    executed.written.clear()
    executed.reserved = executed.reserved if keeps_file else 0
    net.start(cell, reserved=executed.reserved)


def forge(net: Cells, cell: int, *, subject: int) -> None:
    """Have a cell receive a newer status of another cell that a third one has signed."""
    thief = subject % COUNT + 1
    body = encode(CellStatus(generation=99))
    forged = advertisement(subject, Kind.STATUS, body, sequence=10 * BLOCK, signed_by=thief)
    net.receive(cell, Channel(Topic.STATUS, RELAY), forged)


def is_in_order(executed: Executed) -> bool:
    """Whether nothing was relayed after what is newer, and nothing twice."""
    numbers = defaultdict(list)
    for write in executed.written:
        if write.channel.partition == RELAY:
            numbers[write.envelope.subject].append(write.envelope.sequence)
    return all(each == sorted(set(each)) for each in numbers.values())
