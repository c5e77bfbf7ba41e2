"""What waits to be delivered: bounded in number and in time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from uno.notify.outbox import KEEP, LIMIT, Outbox, Waiting
from uno.notify.policy import Condition, Notice, NoticeKind

NOTICE = Notice(
    kind=NoticeKind.LOST, condition=Condition(id="x", subject="lan-c", text="is silent"), since=0.0
)


def waiting(id_: str, created: float = 0.0) -> Waiting:
    return Waiting(id=id_, target=0, notice=NOTICE, created=created, due=created)


def test_attempts_come_after_longer_and_longer_pauses() -> None:
    box, now, pauses = Outbox().added(waiting("a")), 0.0, []
    for _ in range(14):
        box = box.failed("a", "refused", now)
        pause = box.due_in(now)
        assert pause is not None
        pauses.append(pause)
        now += pause
        assert box.due(now) == box.waiting
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600, 600, 600]


def test_a_message_is_dropped_after_a_day() -> None:
    box = Outbox().added(waiting("a"), waiting("b"))
    box = box.failed("a", "refused", KEEP)
    assert [each.id for each in box.waiting] == ["b"]
    assert box.dropped == 1


def test_the_oldest_go_first_where_too_many_wait() -> None:
    box = Outbox().added(*(waiting(str(i)) for i in range(LIMIT + 3)))
    assert (len(box.waiting), box.waiting[0].id, box.dropped) == (LIMIT, "3", 3)


def test_a_message_is_due_though_the_clock_was_set_back() -> None:
    box = Outbox().added(waiting("a", created=1_000_000.0))
    assert box.due(0.0)
    assert box.due_in(0.0) == 0.0


@given(st.lists(st.sampled_from(["add", "fail", "deliver"])), st.floats(0, 1e5))
def test_what_is_added_is_delivered_dropped_or_waits(steps: list[str], wait: float) -> None:
    box, added, delivered, now = Outbox(), 0, 0, 0.0
    for each in steps:
        now += wait
        if each == "add":
            box, added = box.added(waiting(str(added), now)), added + 1
        elif box.waiting and each == "fail":
            box = box.failed(box.waiting[0].id, "refused", now)
        elif box.waiting:
            box, delivered = box.delivered(box.waiting[0].id), delivered + 1
    assert len(box.waiting) + delivered + box.dropped == added
