"""Wrong passwords cost time, and nobody is locked out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from uno.web.server.login_throttle import FREE, LONGEST, LoginThrottle, keys_of, pause

OWNER = "owner@example.org"


@pytest.mark.feature("F116")
@given(some.lists(some.floats(0, 1000), max_size=60))
def test_whoever_guesses_gets_no_more_attempts_than_the_pauses_allow(pauses: list[float]) -> None:
    throttle, now, attempts = LoginThrottle(), 0.0, 0
    keys = keys_of(OWNER, "192.0.2.1", None)
    for each in pauses:
        now += each
        if throttle.wait(keys, now=now) == 0:
            throttle.failed(keys, now=now)
            attempts += 1

    # One more than FREE at once; each later one at least as long after as the pause before it.
    least = sum(pause(count) for count in range(1, attempts))
    assert now >= least


@pytest.mark.feature("F116")
def test_ten_thousand_attempts_take_weeks() -> None:
    throttle, now = LoginThrottle(), 0.0
    keys = keys_of(OWNER, "192.0.2.1", None)
    for _ in range(10_000):
        now += throttle.wait(keys, now=now)
        throttle.failed(keys, now=now)

    assert now > 30 * 86_400
    assert throttle.wait(keys, now=now) <= LONGEST


@pytest.mark.feature("F116")
def test_the_first_wrong_passwords_cost_nothing_and_a_right_one_forgives_them() -> None:
    throttle = LoginThrottle()
    keys = keys_of(OWNER, "192.0.2.1", None)
    for _ in range(FREE):
        throttle.failed(keys, now=0.0)
        assert throttle.wait(keys, now=0.0) == 0

    throttle.failed(keys, now=0.0)
    assert throttle.wait(keys, now=0.0) == 2
    throttle.passed(keys)
    assert throttle.wait(keys, now=0.0) == 0


@pytest.mark.feature("F116")
def test_a_known_device_is_not_delayed_by_strangers_and_strangers_not_helped_by_it() -> None:
    throttle = LoginThrottle()
    strangers = keys_of(OWNER, "192.0.2.1", None)
    for _ in range(20):
        throttle.failed(strangers, now=0.0)

    assert throttle.wait(keys_of(OWNER, "192.0.2.1", "device"), now=0.0) == 0
    # From elsewhere without the device, the address is under attack.
    assert throttle.wait(keys_of(OWNER, "198.51.100.7", None), now=0.0) > 0
    assert throttle.wait(keys_of("other@example.org", "198.51.100.7", None), now=0.0) == 0
    throttle.passed(keys_of(OWNER, "192.0.2.1", "device"))
    assert throttle.wait(strangers, now=0.0) > 0


@pytest.mark.feature("F116")
def test_one_source_cannot_try_one_password_with_many_addresses() -> None:
    throttle = LoginThrottle()
    for number in range(20):
        throttle.failed(keys_of(f"{number}@example.org", "2001:db8::1", None), now=0.0)

    # The whole /64 is one source.
    assert throttle.wait(keys_of("new@example.org", "2001:db8::ffff", None), now=0.0) > 0
    assert throttle.wait(keys_of("new@example.org", "2001:db8:0:1::1", None), now=0.0) == 0
    mapped = keys_of("new@example.org", "::ffff:192.0.2.1", None)
    assert mapped == keys_of("new@example.org", "192.0.2.1", None)


@pytest.mark.feature("F116")
def test_many_new_keys_do_not_drive_out_the_one_under_attack() -> None:
    throttle = LoginThrottle()
    victim = (("email", OWNER),)
    for _ in range(9):
        throttle.failed(victim, now=0.0)
    for number in range(25_000):
        throttle.failed((("email", f"{number}@example.org"),), now=0.0)

    assert throttle.wait(victim, now=0.0) > 0
    assert len(throttle._failed) <= 10_000


@pytest.mark.feature("F116")
@pytest.mark.parametrize("attempts", range(1, 25))
def test_whoever_waits_until_all_is_forgotten_gains_no_attempts(attempts: int) -> None:
    throttle, now = LoginThrottle(), 0.0
    keys = keys_of(OWNER, "192.0.2.1", None)
    assert throttle.is_empty(now=now)
    for _ in range(attempts):
        throttle.failed(keys, now=now)
        now += throttle.wait(keys, now=now)
        assert not throttle.is_empty(now=now)

    while not throttle.is_empty(now=now):
        now += 1

    assert attempts <= now / LONGEST
