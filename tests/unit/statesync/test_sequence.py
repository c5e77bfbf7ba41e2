"""Sequence numbers that are used once."""

from __future__ import annotations

from uno.statesync.sequence import BLOCK, LIMIT, MAX_STEP, Sequence, block


def test_numbers_grow_across_restarts() -> None:
    reserved = [0]

    def reserve(above: int) -> range:
        found = block(above)
        reserved.append(found[-1])
        return found

    first = Sequence(reserve)
    used = [first.next() for _ in range(3)]

    again = Sequence(reserve, last=reserved[-1])

    assert used == [1, 2, 3]
    assert again.next() == BLOCK + 1


def test_a_block_is_reserved_once_for_many_numbers() -> None:
    asked: list[int] = []
    numbers = Sequence(lambda above: asked.append(above) or block(above))

    used = [numbers.next() for _ in range(BLOCK + 1)]

    assert used == list(range(1, BLOCK + 2))
    assert asked == [0, BLOCK]


def test_a_store_that_others_share_may_return_a_block_far_above() -> None:
    blocks = iter([range(500, 503), range(900, 1000)])
    numbers = Sequence(lambda _: next(blocks))

    assert [numbers.next() for _ in range(4)] == [500, 501, 502, 900]
    assert numbers.last == 900


def test_numbers_continue_above_what_other_nodes_have_received() -> None:
    numbers = Sequence(block)
    numbers.above(700)
    assert numbers.next() == 701

    numbers.above(4)
    assert numbers.next() == 702

    numbers.above(10 * BLOCK)
    assert numbers.next() == 10 * BLOCK + 1


def test_other_nodes_cannot_push_the_numbers_to_their_end() -> None:
    numbers = Sequence(block)

    numbers.above((1 << 64) - 1)
    numbers.above(LIMIT - MAX_STEP)
    assert numbers.next() == 1

    numbers.above(LIMIT - MAX_STEP - 1)
    assert numbers.next() == LIMIT - MAX_STEP
