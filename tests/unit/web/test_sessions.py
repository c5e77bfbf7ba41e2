"""Sessions end, are bounded, and are known by a secret that is not kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from uno.web.server.sessions import (
    IDLE,
    LIFETIME,
    SessionTable,
    device_token,
    known_device,
)

OWNER = "owner@example.org"


@pytest.mark.feature("F116")
@given(some.lists(some.floats(0, 2 * IDLE), max_size=60))
def test_a_session_ends_when_it_is_idle_or_old_and_never_before(pauses: list[float]) -> None:
    table = SessionTable()
    table.open("token", OWNER, now=0.0)
    now = used = 0.0
    is_open = True
    for each in pauses:
        now += each
        is_open = is_open and now - used < IDLE and now < LIFETIME
        found = table.find("token", now=now)
        assert (found is not None) == is_open
        used = now


@pytest.mark.feature("F116")
def test_tokens_are_not_kept_and_no_other_opens_a_session() -> None:
    table = SessionTable()
    table.open("token", OWNER, now=0.0)

    assert "token" not in repr(vars(table))
    assert table.find("toke", now=0.0) is None
    assert table.find("", now=0.0) is None
    table.close("token")
    assert table.find("token", now=0.0) is None


@pytest.mark.feature("F116")
def test_one_user_does_not_use_up_the_sessions_of_others() -> None:
    table = SessionTable()
    table.open("other", "other@example.org", now=0.0)
    for number in range(2000):
        table.open(f"{number}", OWNER, now=float(number) / 100)

    assert len(table) <= 21
    assert table.find("other", now=20.0) is not None
    assert table.find("1999", now=20.0) is not None
    assert table.find("0", now=20.0) is None


@pytest.mark.feature("F116")
def test_who_may_not_log_in_any_more_is_out_at_once() -> None:
    table = SessionTable()
    table.open("a", OWNER, now=0.0)
    table.open("b", "banned@example.org", now=0.0)

    table.keep_only(frozenset([OWNER]))

    assert table.find("a", now=0.0) is not None
    assert table.find("b", now=0.0) is None


@pytest.mark.feature("F116")
def test_a_table_is_empty_once_the_last_session_has_ended() -> None:
    table = SessionTable()
    assert table.is_empty(now=0.0)
    table.open("a", OWNER, now=0.0)
    table.open("b", OWNER, now=100.0)

    assert not table.is_empty(now=IDLE + 1)
    assert table.is_empty(now=IDLE + 100)
    table.close("b")
    assert table.is_empty(now=IDLE + 1)


@pytest.mark.feature("F116")
def test_a_device_is_known_to_its_user_alone() -> None:
    token = device_token(OWNER, "nonce", key=b"k")

    assert known_device(OWNER, token, key=b"k") == "nonce"
    assert known_device(OWNER, token, key=b"another") is None
    assert known_device("other@example.org", token, key=b"k") is None
    for other in ("", ".", "nonce", "nonce.", token[:-1], f"x{token}"):
        assert known_device(OWNER, other, key=b"k") is None
