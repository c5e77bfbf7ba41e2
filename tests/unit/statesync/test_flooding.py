"""What a cell passes on of what it hears, and when."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from flooding import Crowd
from uno.model.messages import Ack, Activation, Kind, Phase, UvnAnnouncement
from uno.ports.bus import Received
from uno.statesync.flood_queue import HOLD, LONGEST_HOLD, LONGEST_PAUSE, PAUSE, Outbox
from uno.statesync.unknown_origins import LASTING

CHANGING = UvnAnnouncement(generation=2, rollout="changing over to generation 2")
AT_REST = UvnAnnouncement(generation=2)


def relayed(*cells: int) -> list[tuple[str, str, int]]:
    return [("STATUS", "relay", cell) for cell in cells]


def test_the_first_news_of_another_cell_is_passed_on_at_once_and_what_follows_together() -> None:
    crowd = Crowd(4)
    for number, cell in enumerate((2, 3, 4)):
        crowd.now = number * PAUSE
        crowd.say(cell)
        crowd.hear(1, cell)
        crowd.floods[1].pass_on(on_trial=False)
    assert crowd.boards[1].news() == relayed(2)

    due = crowd.floods[1].pass_on(on_trial=False)

    assert due == 4 * PAUSE
    crowd.now = due
    assert crowd.floods[1].pass_on(on_trial=False) is None
    assert crowd.boards[1].news() == relayed(3, 4)


def test_of_a_cell_that_speaks_many_times_the_last_word_is_passed_on_and_once() -> None:
    crowd = Crowd(2)
    for generation in range(1, 6):
        crowd.say(2, generation)
        crowd.hear(1, 2)

    crowd.floods[1].pass_on(on_trial=False)

    ((_, envelope),) = crowd.boards[1].written
    assert envelope.sequence == crowd.floods[2].statements.own_sequence_seen(2)
    assert envelope.sender == 1


@pytest.mark.parametrize("because", ["it is rolled out", "this cell is on trial"])
def test_while_something_changes_how_others_are_can_wait_but_not_for_ever(because: str) -> None:
    crowd, on_trial = Crowd(3), because == "this cell is on trial"
    crowd.see_registry(1, there=True)
    if not on_trial:
        crowd.order(1, CHANGING)
    crowd.boards[1].news()
    crowd.say(2)
    crowd.hear(1, 2)

    due = crowd.floods[1].pass_on(on_trial=on_trial)

    assert due == 3 * HOLD
    assert crowd.boards[1].news() == []
    crowd.now = due
    assert crowd.floods[1].pass_on(on_trial=on_trial) is None
    assert crowd.boards[1].news() == relayed(2)


def test_once_the_change_is_over_nothing_waits_for_it() -> None:
    crowd = Crowd(3)
    crowd.see_registry(1, there=True)
    crowd.order(1, CHANGING)
    crowd.say(2)
    crowd.hear(1, 2)
    assert crowd.floods[1].pass_on(on_trial=False) is not None
    crowd.order(1, AT_REST)
    crowd.boards[1].news()

    crowd.floods[1].pass_on(on_trial=False)

    assert crowd.boards[1].news() == relayed(2)


def test_nothing_waits_for_a_registry_that_is_gone() -> None:
    crowd = Crowd(3)
    crowd.see_registry(1, there=True)
    crowd.order(1, CHANGING)
    crowd.see_registry(1, there=False)
    crowd.now = 3.0
    crowd.say(2)
    crowd.hear(1, 2)
    crowd.boards[1].news()

    crowd.floods[1].pass_on(on_trial=False)

    assert crowd.boards[1].news() == relayed(2)


def test_what_the_registry_does_not_hear_itself_is_passed_on_at_once() -> None:
    crowd = Crowd(3)
    crowd.order(1, UvnAnnouncement(generation=2, rollout="staging", silent=(2,)))
    crowd.boards[1].news()

    crowd.say(2)
    crowd.hear(1, 2)

    assert crowd.boards[1].news() == [*relayed(2), ("STATUS", "lost", 2)]
    assert not crowd.floods[1].outbox


def test_what_waits_of_a_cell_goes_out_when_the_registry_says_that_it_does_not_hear_it() -> None:
    crowd = Crowd(3)
    crowd.order(1, CHANGING)
    for cell in (2, 3):
        crowd.say(cell)
        crowd.hear(1, cell)
    crowd.boards[1].news()

    crowd.order(1, UvnAnnouncement(generation=2, rollout="staging", silent=(2,)))

    assert crowd.boards[1].news() == [("UVN", "relay", 0), *relayed(2), ("STATUS", "lost", 2)]
    crowd.now = LONGEST_HOLD
    crowd.floods[1].pass_on(on_trial=True)
    assert crowd.boards[1].news() == relayed(3)


def test_the_registrys_words_are_passed_on_at_once_and_acks_of_those_it_hears_never() -> None:
    crowd = Crowd(3)
    crowd.floods[2].say(Ack(generation=1, phase=Phase.STAGED, running=1), Kind.ACK)

    crowd.order(1, CHANGING)
    crowd.order(1, Activation(generation=2))
    crowd.hear(1, 2)

    assert crowd.boards[1].news() == [("UVN", "relay", 0), ("ACTIVATION", "relay", 0)]
    assert not crowd.floods[1].outbox


def test_who_comes_late_gets_the_newest_at_once_from_any_neighbour() -> None:
    crowd = Crowd(3)
    for generation in (1, 2):
        crowd.say(3, generation)
        crowd.hear(2, 3)
        crowd.now += LONGEST_PAUSE
        crowd.floods[2].pass_on(on_trial=False)

    crowd.hear(1, 2)

    assert crowd.known(1)[3].generation == 2


def test_of_who_has_left_nothing_is_passed_on() -> None:
    crowd, smaller = Crowd(3), Crowd(2)
    crowd.say(3)
    crowd.hear(1, 3)

    crowd.floods[1].follow(smaller.package(1))
    crowd.floods[1].pass_on(on_trial=False)

    assert crowd.boards[1].news() == []


def test_a_registry_that_is_back_soon_was_never_missed() -> None:
    crowd = Crowd(2)
    flood = crowd.floods[1]
    assert not flood.registry_heard
    crowd.see_registry(1, there=True)
    crowd.see_registry(1, there=False)
    assert (flood.registry_present, flood.registry_heard) == (False, True)
    assert flood.missed_from == 3.0

    crowd.now = 2.9
    crowd.see_registry(1, there=True)
    crowd.now = 5.0
    assert (flood.registry_heard, flood.missed_from) == (True, None)

    crowd.see_registry(1, there=False)
    crowd.now = 8.0
    assert not flood.registry_heard


@pytest.mark.parametrize(
    ("members", "pause", "hold"), [(2, 0.02, 0.16), (50, 0.5, 4.0), (1000, 1.0, 5.0)]
)
def test_the_more_cells_the_longer_news_wait_up_to_a_limit(
    members: int, pause: float, hold: float
) -> None:
    outbox = Outbox()
    outbox.put(1, now=10.0)
    assert outbox.due(members=members, busy=False) == 10.0
    assert outbox.empty(now=10.0) == (1,)
    assert outbox.due(members=members, busy=False) is None

    outbox.put(1, now=10.0)
    outbox.put(2, now=10.5)

    assert outbox.due(members=members, busy=False) == pytest.approx(10.0 + pause)
    assert outbox.due(members=members, busy=True) == pytest.approx(10.0 + hold)
    assert outbox.drop((2, 3)) == (2,)
    assert outbox.empty(now=20.0) == (1,)


def test_what_a_new_cell_says_before_it_is_known_of_is_believed_once_it_is() -> None:
    crowd = Crowd(3)
    crowd.admit(1, members=2)
    crowd.say(3)
    crowd.hear(1, 3)
    assert 3 not in crowd.known(1)

    crowd.now = 5.0
    crowd.admit(1, members=3)

    assert crowd.known(1)[3].generation == 1
    crowd.floods[1].pass_on(on_trial=False)
    assert crowd.boards[1].news() == relayed(3)


def test_what_it_said_long_before_is_not() -> None:
    crowd = Crowd(3)
    crowd.admit(1, members=2)
    crowd.say(3)
    crowd.hear(1, 3)

    crowd.now = LASTING + 0.1
    crowd.admit(1, members=3)

    assert 3 not in crowd.known(1)


def test_what_is_not_signed_by_the_new_cell_is_not_believed_either() -> None:
    crowd = Crowd(3)
    crowd.admit(1, members=2)
    crowd.say(3)
    ((channel, about), said), *_ = crowd.boards[3].newest.items()
    crowd.floods[1].receive(Received(channel, replace(said, body=b"{}")))

    crowd.admit(1, members=3)

    assert (about, crowd.known(1)) == (3, {})
