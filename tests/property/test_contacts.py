"""Every cell derives who is in contact, and has the newest status of each, whatever fails.

Hypothesis draws what happens among five cells. The explorer tries every two faults among four: what
a model checker would do with the core of the protocol, on the code itself.
"""

from __future__ import annotations

from itertools import combinations, product
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from link_state_net import LinkStateNet, net_of
from uno.model.messages import REGISTRY
from uno.ports.bus import RELAY, Channel, Topic
from uno.statesync.timers import FORGET_AGE, HELLO_INTERVAL, MAX_AGE

pytestmark = pytest.mark.feature("G57")

COUNT = 5
KNOWN_WITHIN = 3.0
"""Seconds within which all cells derive that a cell has failed, and that it is back."""

FOUR = (1, 2, 3, 4)
# With the cells and links that no symmetry of the topology maps to each other.
TOPOLOGIES = {
    "line": (((1, 2), (2, 3), (3, 4)), (1, 2), ((1, 2), (2, 3))),
    "ring": (((1, 2), (2, 3), (3, 4), (4, 1)), (1,), ((1, 2),)),
    "star": (((1, 2), (1, 3), (1, 4)), (1, 2), ((1, 2),)),
    "mesh": (tuple(combinations(FOUR, 2)), (1,), ((1, 2),)),
}

cells = st.integers(1, COUNT)
topologies = st.tuples(
    st.tuples(*(st.integers(1, cell - 1) for cell in range(2, COUNT + 1))),
    st.lists(st.tuples(cells, cells), max_size=3),
)
events = st.one_of(
    st.tuples(st.just("change"), cells, cells),
    st.tuples(st.just("kill"), cells, cells),
    st.tuples(st.just("restart"), cells, st.integers(0, 1)),
    st.tuples(st.just("cut"), cells, cells),
    st.tuples(st.just("mend"), cells, cells),
    st.tuples(st.just("replay"), cells, st.integers(0, 1000)),
    st.tuples(st.just("wait"), st.integers(1, 8), st.just(0)),
    st.tuples(st.just("wait long"), st.integers(1, 6), st.just(0)),
)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    topology=topologies,
    happens=st.lists(events, max_size=25),
    random=st.integers(0, 2**32 - 1).map(Random),
    loss=st.sampled_from([0.0, 0.3, 0.7]),
)
def test_cells_converge_whatever_happens(
    topology: tuple[tuple[int, ...], list[tuple[int, int]]],
    happens: list[tuple[str, int, int]],
    random: Random,
    loss: float,
) -> None:
    net = net_of(COUNT, (*enumerate(topology[0], 2), *topology[1]), random)
    net.loss = loss
    for what, one, other in happens:
        happen(net, what, one, other)

    # A restarted cell without its file is not accepted until its neighbours return its number.
    net.loss = 0.0
    net.run(FORGET_AGE + 2 * MAX_AGE, step=HELLO_INTERVAL / 2)
    net.run(KNOWN_WITHIN)

    for cell in net.alive:
        assert net.derived(cell) == net.component(cell), cell
        found = net.cells.statuses(cell)
        for other in net.component(cell):
            assert found[other].generation == net.generations.get(other, 1), (cell, other)


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    topology=topologies,
    happens=st.lists(events, max_size=10),
    random=st.integers(0, 2**32 - 1).map(Random),
    loss=st.sampled_from([0.0, 0.5]),
    reached=st.lists(st.sets(cells), min_size=1, max_size=3),
)
def test_every_cell_joined_with_one_that_the_registry_reaches_has_its_newest_heartbeat(
    topology: tuple[tuple[int, ...], list[tuple[int, int]]],
    happens: list[tuple[str, int, int]],
    random: Random,
    loss: float,
    reached: list[set[int]],
) -> None:
    net = net_of(COUNT, (*enumerate(topology[0], 2), *topology[1]), random)
    net.loss = loss
    for number, what in enumerate(happens):
        net.registry = reached[number % len(reached)]
        happen(net, *what)

    net.loss = 0.0
    net.registry = reached[-1]
    net.run(FORGET_AGE + 2 * MAX_AGE, step=HELLO_INTERVAL / 2)
    net.run(HELLO_INTERVAL, step=HELLO_INTERVAL / 5)

    for cell in net.alive:
        age = net.cells.floods[cell].database.contact_age(REGISTRY, now=net.cells.now)
        if net.component(cell) & net.registry - net.dead:
            assert age is not None
            assert age <= MAX_AGE, cell


def test_a_cell_that_has_lost_its_number_is_back_though_its_hellos_were_newer() -> None:
    """Hellos are not relayed: only what a neighbour keeps of it shows the cell its own numbers."""
    net = net_of(COUNT, ((1, 2), (1, 3), (1, 4), (3, 5), (1, 4)), Random(0))  # noqa: S311
    for what, one, other in (
        ("wait long", 6, 0),
        ("wait long", 3, 0),
        ("wait long", 3, 0),
        ("restart", 1, 0),
        ("change", 3, 1),
        ("restart", 5, 0),
    ):
        happen(net, what, one, other)

    net.run(FORGET_AGE + 2 * MAX_AGE, step=HELLO_INTERVAL / 2)
    net.run(KNOWN_WITHIN)

    for cell in net.alive:
        assert net.derived(cell) == net.component(cell), cell


def test_heartbeats_are_not_relayed_where_the_registry_reaches_all() -> None:
    net = net_of(4, TOPOLOGIES["mesh"][0], Random(0))  # noqa: S311 - not for security
    net.registry = set(FOUR)
    net.run(2 * HELLO_INTERVAL)
    before = {cell: relayed_heartbeat(net, cell) for cell in FOUR}

    net.run(10 * HELLO_INTERVAL)
    assert {cell: relayed_heartbeat(net, cell) for cell in FOUR} == before

    net.registry = {1}
    net.run(3 * HELLO_INTERVAL)
    assert all(relayed_heartbeat(net, cell) == net.cells.sequence for cell in FOUR)


def relayed_heartbeat(net: LinkStateNet, cell: int) -> int:
    """Return the sequence of the newest heartbeat that a cell has relayed, 0 if there is none."""
    found = net.cells.executed[cell].newest.get((Channel(Topic.HEARTBEAT, RELAY), REGISTRY))
    return found.sequence if found else 0


def happen(net: LinkStateNet, what: str, one: int, other: int) -> None:
    """Have an event of `events` happen."""
    if what == "change":
        net.generations[one] = net.generations.get(one, 1) + 1
        net.run(0.5)
    elif what == "kill":
        net.dead.add(one)
    elif what == "restart":
        net.dead.discard(one)
        net.restart(one, keeps_file=bool(other))
        net.run(0.5)
    elif what == "cut":
        net.down |= {frozenset({one, other})} & net.links
    elif what == "mend":
        net.down.discard(frozenset({one, other}))
    elif what == "replay":
        net.replay(one, other)
    else:
        net.run(one * (0.5 if what == "wait" else MAX_AGE / 2), step=0.5 if what == "wait" else 15)


Fault = tuple[str, int, int]


def faults(nodes: tuple[int, ...], pairs: tuple[tuple[int, int], ...]) -> list[Fault]:
    """Return what can fail, or happen, to these cells and links."""
    return [
        *(("cut", one, other) for one, other in pairs),
        *(("kill", cell, 0) for cell in nodes),
        *(("restart", cell, 0) for cell in nodes),
    ]


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_every_two_faults_among_four_cells_are_known_within_seconds(name: str) -> None:
    """And their end: whatever came first, and whichever of the two ends first."""
    pairs, some_cells, some_pairs = TOPOLOGIES[name]
    for first, second in product(faults(some_cells, some_pairs), faults(FOUR, pairs)):
        net = net_of(4, pairs, Random(0))  # noqa: S311 - not for security
        net.run(KNOWN_WITHIN)
        assert_known(net, (name, "start"))
        for fault in (first, second):
            happen(net, *fault)
            net.run(KNOWN_WITHIN)
            assert_known(net, (name, first, second))
        for fault in (first, second):
            what, one, other = fault
            if what == "cut":
                happen(net, "mend", one, other)
            elif one in net.dead:
                happen(net, "restart", one, 1)
        net.run(KNOWN_WITHIN)
        assert_known(net, (name, first, second, "mended"))


def assert_known(net: LinkStateNet, case: object) -> None:
    """Assert that each cell that is on derives exactly those that it is joined with."""
    for cell in net.alive:
        assert net.derived(cell) == net.component(cell), (case, cell)


def test_little_is_sent_at_rest() -> None:
    """Beside hellos each status crosses each link once in half an hour, or twice."""
    net = net_of(4, TOPOLOGIES["ring"][0], Random(0))  # noqa: S311 - not for security
    net.run(10)
    before = net.messages

    net.run(1800, step=10)

    hellos = 2 * len(net.links) * 1800 / HELLO_INTERVAL
    statuses = 2 * len(net.links) * len(FOUR)
    assert net.messages - before <= hellos + statuses
