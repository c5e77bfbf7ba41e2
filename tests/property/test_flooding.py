"""Passing on together loses nothing: whatever happens, all end up with the newest of everybody."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flooding import Board, Crowd
from uno.ports.bus import RELAY
from uno.statesync.flood_queue import LONGEST_HOLD

CELLS = 5

cells = st.integers(1, CELLS)
# Each cell's way to one with a lower number, so that there is a way between any two, and others.
ways = st.tuples(
    st.tuples(*(st.integers(1, cell - 1) for cell in range(2, CELLS + 1))),
    st.lists(st.tuples(cells, cells), max_size=3),
)
events = st.one_of(
    st.tuples(st.just("say"), cells, cells),
    st.tuples(st.just("hear"), cells, cells),
    st.tuples(st.just("pass on"), cells, st.integers(0, 1)),
    st.tuples(st.just("wait"), st.integers(1, 50), st.just(0)),
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(ways=ways, happens=st.lists(events, max_size=60))
def test_all_end_up_with_the_newest_of_everybody(
    ways: tuple[tuple[int, ...], list[tuple[int, int]]], happens: list[tuple[str, int, int]]
) -> None:
    crowd = Crowd(CELLS)
    links = {frozenset(each) for each in (*enumerate(ways[0], 2), *ways[1]) if each[0] != each[1]}
    last = live(crowd, links, happens)

    for _ in range(CELLS):
        for one, other in map(sorted, links):
            crowd.hear(one, other)
            crowd.hear(other, one)
        crowd.now += LONGEST_HOLD
        for flood in crowd.floods.values():
            assert flood.pass_on(on_trial=True) is None

    for cell in crowd.floods:
        known = {about: said.generation for about, said in crowd.known(cell).items()}
        assert known == last
    assert all(is_ever_newer(board) for board in crowd.boards.values())


def live(
    crowd: Crowd, links: set[frozenset[int]], happens: list[tuple[str, int, int]]
) -> dict[int, int]:
    """Have it happen; return what each cell has said last."""
    last = dict.fromkeys(crowd.floods, 0)
    for cell in last:
        crowd.say(cell, 0)
    for what, one, other in happens:
        if what == "say":
            last[one] += 1
            crowd.say(one, last[one])
        elif what == "hear" and frozenset({one, other}) in links:
            crowd.hear(one, other)
        elif what == "pass on":
            crowd.floods[one].pass_on(on_trial=bool(other))
        elif what == "wait":
            crowd.now += one / 50
    return last


def is_ever_newer(board: Board) -> bool:
    """Whether nothing was passed on after what is newer, and nothing twice."""
    numbers = defaultdict(list)
    for channel, envelope in board.written:
        if channel.partition == RELAY:
            numbers[envelope.about].append(envelope.sequence)
    return all(each == sorted(set(each)) for each in numbers.values())
