"""Which sender sends: one of those that see the same, and one in each part of a divided UVN."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from uno.notify.policy import Condition, Notice, NoticeKind
from uno.notify.turns import TURN, Senders, delay, is_settled

DOWN = Notice(
    kind=NoticeKind.LOST, condition=Condition(id="x", subject="lan-c", text="is silent"), since=0.0
)
UP = Notice(kind=NoticeKind.FOUND, condition=DOWN.condition, since=0.0)
REPORTED, NOTHING = frozenset({"x"}), frozenset[str]()


def seen(own: int, **alive: frozenset[str]) -> Senders:
    return Senders(own=own, alive={int(cell[1:]): ids for cell, ids in alive.items()})


def test_the_first_sender_sends_at_once_and_the_next_waits() -> None:
    assert delay(seen(1, c1=NOTHING, c2=NOTHING), DOWN) == 0.0
    assert delay(seen(2, c1=NOTHING, c2=NOTHING), DOWN) == TURN
    assert delay(seen(2, c2=NOTHING), DOWN) == 0.0


def test_what_the_first_has_delivered_is_settled_for_the_next() -> None:
    assert is_settled(seen(2, c1=REPORTED, c2=NOTHING), DOWN)
    assert not is_settled(seen(2, c1=NOTHING, c2=NOTHING), DOWN), "the first could not deliver it"


def test_the_all_clear_comes_from_who_reported_the_loss() -> None:
    assert not is_settled(seen(2, c1=NOTHING, c2=REPORTED), UP)
    assert delay(seen(2, c1=NOTHING, c2=REPORTED), UP) == 0.0
    assert is_settled(seen(1, c1=NOTHING, c2=REPORTED), UP)


def test_the_first_that_is_alive_sends_the_all_clear_of_a_sender_that_is_gone() -> None:
    assert not is_settled(seen(2, c2=NOTHING, c3=NOTHING), UP)
    assert is_settled(seen(3, c2=NOTHING, c3=NOTHING), UP)


@given(st.sets(st.integers(1, 9), min_size=1, max_size=6), st.data())
def test_of_senders_with_the_same_view_one_sends(cells: set[int], data: st.DataObject) -> None:
    """Play their turns in order of their delays; whoever sends a loss has reported it then."""
    reported = dict.fromkeys(cells, NOTHING)
    sent = 0
    turns = sorted(cells, key=lambda own: delay(Senders(own=own, alive=reported), DOWN))
    for own in turns:
        if not is_settled(Senders(own=own, alive=reported), DOWN):
            sent += 1
            reported[own] = REPORTED
    assert sent == 1
    gone = data.draw(st.sampled_from([None, *[each for each in cells if len(cells) > 1]]))
    rest = {cell: ids for cell, ids in reported.items() if cell != gone}
    clear = [own for own in rest if not is_settled(Senders(own=own, alive=rest), UP)]
    assert len(clear) == 1
