"""Which of a name's addresses is called next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uno.host.endpoint_choice import (
    EndpointHistory,
    kept_endpoint,
    next_endpoint,
    with_handshake,
)

A, B, C = "192.0.2.1:1", "192.0.2.2:1", "[2001:db8::3]:1"
ENDPOINTS = st.sampled_from([A, B, C, "192.0.2.4:1", "192.0.2.5:1"])
ANSWERS = st.lists(ENDPOINTS, min_size=1, unique=True).map(tuple)
HISTORIES = st.none() | st.builds(
    EndpointHistory,
    last=ENDPOINTS,
    handshake=st.integers(0, 3),
    worked=st.none() | ENDPOINTS,
    tried=st.lists(ENDPOINTS, unique=True).map(tuple),
)


def calls(
    answers: tuple[str, ...], history: EndpointHistory | None, count: int
) -> tuple[list[str], EndpointHistory | None]:
    """Return where a silent peer is called, `count` times."""
    found = []
    for _ in range(count):
        history = next_endpoint(answers, history)
        found.append(history.last)
    return found, history


@pytest.mark.feature("G51")
def test_addresses_are_tried_in_the_order_of_the_resolver_again_and_again() -> None:
    assert calls((C, A, B), None, 7)[0] == [C, A, B, C, A, B, C]


@pytest.mark.feature("G51")
def test_the_address_that_worked_is_tried_first_and_the_others_after_it() -> None:
    history = with_handshake(next_endpoint((C, A, B), None), endpoint=A, handshake=7)

    assert calls((C, A, B), history, 5)[0] == [A, C, B, A, C]


def test_a_handshake_that_was_observed_before_is_no_success() -> None:
    history = with_handshake(EndpointHistory(last=A, tried=(A,)), endpoint=A, handshake=7)
    called = next_endpoint((A, B), next_endpoint((A, B), history))

    assert called.last == B
    assert with_handshake(called, endpoint=B, handshake=7) == called
    assert with_handshake(called, endpoint=B, handshake=0) == called
    assert with_handshake(called, endpoint=B, handshake=8).worked == B


def test_a_new_answer_is_tried_at_once_and_one_that_is_gone_is_forgotten() -> None:
    _, history = calls((A, B), None, 2)

    assert calls((C, A, B), history, 3)[0] == [C, A, B]
    assert calls((C,), history, 2)[0] == [C, C]


def test_a_configuration_keeps_the_last_endpoint_while_the_name_has_it() -> None:
    _, history = calls((A, B), None, 2)
    assert history is not None

    assert kept_endpoint((A, B), history) == history
    assert kept_endpoint((C, A), history).last == C
    assert kept_endpoint((A, B), None).last == A


@given(ANSWERS, HISTORIES)
def test_whatever_was_before_each_answer_is_tried_once_in_a_round(
    answers: tuple[str, ...], history: EndpointHistory | None
) -> None:
    _, history = calls(answers, history, len(answers))

    assert sorted(calls(answers, history, len(answers))[0]) == sorted(answers)


@given(ANSWERS, HISTORIES, st.data())
def test_the_one_answer_that_works_is_found_and_kept(
    answers: tuple[str, ...], history: EndpointHistory | None, data: st.DataObject
) -> None:
    works = data.draw(st.sampled_from(answers))

    found, history = calls(answers, history, 2 * len(answers))
    assert works in found
    while history is None or history.last != works:
        history = next_endpoint(answers, history)
    for handshake in (10, 20, 30):
        history = with_handshake(history, endpoint=works, handshake=handshake)
        history = next_endpoint(answers, history)
        assert history.last == works


@given(ANSWERS, HISTORIES)
def test_only_answers_are_called(answers: tuple[str, ...], history: EndpointHistory | None) -> None:
    for choose in (next_endpoint, kept_endpoint):
        chosen = choose(answers, history)
        assert chosen.last in answers
        assert chosen.addresses == len(answers)
