"""When to probe which target: a simulated network, and a clock that is a number."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from uno.host.probe.probe_schedule import SMALL, WATCHED, Probe, ProbeSchedule
from uno.ports.prober import ProbeResult, ProbeTarget

SELF = IPv4Address("10.255.128.1")
NEAR = ProbeTarget(address=IPv4Address("10.255.192.1"), source=SELF, adjacent=True, mtu=1320)
FAR = ProbeTarget(address=IPv4Address("10.255.128.2"), source=SELF)
ANSWER = 0.020


class Simulation:
    """A network that replies after 20 ms to probes for which `answers` is true."""

    def __init__(self, *targets: ProbeTarget, seed: int = 1) -> None:
        self.now = 1000.0
        self.changes: list[float] = []
        self.sent: list[tuple[float, Probe]] = []
        self.answers: Callable[[Probe], bool] = lambda _: True
        self.probing = ProbeSchedule(
            random=Random(seed),  # noqa: S311 - nothing to guess here
            changed=lambda: self.changes.append(self.now - 1000),
        )
        self._flying: list[tuple[float, Probe]] = []
        self.probing.set_targets(targets, now=self.now)

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        for _ in range(1_000_000):
            for probe in self.probing.due(now=self.now):
                self.sent.append((self.now - 1000, probe))
                if self.answers(probe):
                    self._flying.append((self.now + ANSWER, probe))
            arrival = min((at for at, _ in self._flying), default=end)
            self.now = min(self.now + self.probing.pause(now=self.now), arrival, end)
            for at, probe in [each for each in self._flying if each[0] <= self.now]:
                self._flying.remove((at, probe))
                self.probing.answered(probe.number, probe.target.address, now=self.now)
            if self.now >= end:
                return
        pytest.fail("the clock stands still: something is due and never done")

    def count(self, target: ProbeTarget, *, size: int = SMALL) -> int:
        return sum(each.target == target and each.size == size for _, each in self.sent)

    def of(self, target: ProbeTarget) -> ProbeResult:
        return self.probing.results()[target.address]


def no_answer_from(target: ProbeTarget) -> Callable[[Probe], bool]:
    return lambda probe: probe.target != target


def test_requested_targets_are_probed_at_once_and_the_last_reply_is_reported() -> None:
    network = Simulation(NEAR, FAR)
    network.run(5)
    network.changes.clear()
    before = len(network.sent)

    network.probing.probe_now([NEAR.address, FAR.address], now=network.now)
    called = network.now
    network.run(0.1)

    assert [at for at, _ in network.sent[before:]] == [called - 1000] * 2
    assert network.changes == [pytest.approx(called - 1000 + ANSWER)]
    assert network.of(NEAR).last_answered == network.of(FAR).last_answered == called


def test_a_requested_target_that_does_not_reply_is_not_reported() -> None:
    network = Simulation(NEAR, FAR)
    network.run(5)
    network.changes.clear()
    network.answers = no_answer_from(FAR)

    network.probing.probe_now([NEAR.address, FAR.address], now=network.now)
    called = network.now
    network.run(1)

    assert network.changes == []
    received = network.of(NEAR).last_answered, network.of(FAR).last_answered
    assert received[0] is not None
    assert received[0] >= called
    assert received[1] is not None
    assert received[1] < called


def test_an_answer_to_an_earlier_probe_is_none_to_a_call() -> None:
    network = Simulation(NEAR)
    network.run(5)
    (probe,) = [each for each in network.probing.due(now=network.now + 3) if each.size == SMALL]
    network.now += 3
    network.changes.clear()
    network.answers = no_answer_from(NEAR)

    network.probing.probe_now([NEAR.address], now=network.now + 0.001)
    network.probing.answered(probe.number, NEAR.address, now=network.now + 0.002)

    assert network.changes == []
    assert network.of(NEAR).last_answered == network.now


def test_who_is_called_and_no_target_is_not_waited_for() -> None:
    network = Simulation(NEAR, FAR)
    network.run(5)
    network.changes.clear()

    network.probing.probe_now([NEAR.address, FAR.address], now=network.now)
    network.probing.set_targets([NEAR], now=network.now)
    network.run(0.1)

    assert len(network.changes) == 1


def test_a_target_that_answers_has_its_round_trip_and_no_loss() -> None:
    network = Simulation(NEAR, FAR)

    network.run(30)

    assert network.of(FAR).rtt == pytest.approx(20)
    assert network.of(FAR).loss == 0
    assert network.of(NEAR).rtt == pytest.approx(20)


def test_the_other_end_of_a_link_is_probed_more_often() -> None:
    network = Simulation(NEAR, FAR)

    network.run(600)

    assert network.count(NEAR) == pytest.approx(300, rel=0.1)
    assert network.count(FAR) == pytest.approx(60, rel=0.1)


def test_metered_targets_are_probed_seldom() -> None:
    network = Simulation(replace(NEAR, metered=True), replace(FAR, metered=True))

    network.run(600)
    watched = len([each for _, each in network.sent if each.size == SMALL])
    network.probing.set_watched(watched=False, now=network.now)
    network.sent.clear()
    network.run(7200)

    assert watched == pytest.approx(600 / 30 + 600 / 60, rel=0.15)
    assert network.count(replace(NEAR, metered=True)) == pytest.approx(24, abs=3)
    assert network.count(replace(FAR, metered=True)) == pytest.approx(4, abs=1)
    assert network.count(replace(NEAR, metered=True), size=1320) <= 2


def test_a_first_answer_comes_within_a_second_of_being_named() -> None:
    targets = [
        ProbeTarget(address=IPv4Address(f"10.255.128.{number}"), source=SELF)
        for number in range(2, 12)
    ]
    network = Simulation(*targets)

    network.run(1)

    assert all(network.of(target).rtt for target in targets)


def test_many_targets_cost_no_more_than_their_share() -> None:
    targets = [
        ProbeTarget(address=IPv4Address("10.128.0.0") + number, source=SELF)
        for number in range(500)
    ]
    network = Simulation(*targets)

    network.run(300)

    assert len(network.sent) < 500 + 300 * WATCHED.distant_per_second * 1.2


def test_a_target_that_becomes_unreachable_is_reported_once_within_seconds() -> None:
    network = Simulation(NEAR)
    network.run(60)
    network.changes.clear()
    network.answers = no_answer_from(NEAR)

    network.run(60)

    assert network.of(NEAR).rtt is None
    assert network.of(NEAR).loss == 1
    assert len(network.changes) == 1
    assert network.changes[0] < 60 + 2.2 + 6.1


def test_a_single_loss_is_no_silence() -> None:
    network = Simulation(FAR)
    network.run(60)
    network.changes.clear()
    unlucky = {len(network.sent) + 1}
    network.answers = lambda _: len(network.sent) not in unlucky

    network.run(60)

    assert network.changes == []
    assert network.of(FAR).rtt == pytest.approx(20)
    assert network.of(FAR).loss == pytest.approx(0.1)


def test_who_is_silent_for_long_is_probed_no_more_often_than_who_answers() -> None:
    network = Simulation(FAR)
    network.answers = no_answer_from(FAR)
    network.run(120)
    network.sent.clear()

    network.run(600)

    assert network.count(FAR) == pytest.approx(60, rel=0.1)


def test_who_comes_back_is_noticed_at_once_when_something_changed() -> None:
    network = Simulation(FAR)
    network.answers = no_answer_from(FAR)
    network.run(600)
    network.answers = lambda _: True
    network.probing.reset_backoff(now=network.now)

    network.run(0.2)

    assert network.of(FAR).rtt == pytest.approx(20)
    assert network.of(FAR).loss == 0


def test_probes_that_were_under_way_when_it_came_back_are_no_loss() -> None:
    network = Simulation(NEAR)
    network.answers = no_answer_from(NEAR)
    network.run(60)
    for _ in range(10):
        network.probing.reset_backoff(now=network.now)
        network.run(0.15)
    network.answers = lambda _: True

    network.run(10)

    assert network.of(NEAR).rtt == pytest.approx(20)
    assert network.of(NEAR).loss == 0


def test_what_was_lost_while_a_link_was_down_does_not_count_when_it_works_again() -> None:
    network = Simulation(NEAR)
    network.run(60)
    network.answers = no_answer_from(NEAR)
    network.run(5)
    assert network.of(NEAR).loss

    network.answers = lambda _: True
    network.probing.restart([NEAR.address, FAR.address], now=network.now)
    assert network.of(NEAR).loss is None
    network.run(0.1)

    assert network.of(NEAR).rtt == pytest.approx(20)
    # What was under way meanwhile is no loss either.
    network.run(5)
    assert network.of(NEAR).loss == 0


def test_a_target_that_does_not_answer_yet_is_no_other_for_it() -> None:
    network = Simulation(NEAR)
    network.answers = no_answer_from(NEAR)
    network.run(60)
    network.changes.clear()

    network.probing.restart([NEAR.address], now=network.now)
    network.run(0.1)
    assert network.of(NEAR).rtt is None

    network.answers = lambda _: True
    network.run(2.5)
    # It is noticed as one that comes back.
    assert network.changes
    assert network.of(NEAR).rtt == pytest.approx(20)


def test_who_answers_is_not_hurried() -> None:
    network = Simulation(FAR)
    network.run(600)
    network.sent.clear()

    for _ in range(50):
        network.probing.reset_backoff(now=network.now)
        network.run(0.1)

    assert network.count(FAR) <= 1


def test_while_nobody_watches_probes_are_rare() -> None:
    others = [
        ProbeTarget(address=IPv4Address("10.255.129.0") + number, source=SELF)
        for number in range(63)
    ]
    network = Simulation(NEAR, *others)
    network.probing.set_watched(watched=False, now=network.now)
    network.run(600)
    network.sent.clear()

    network.run(6000)

    assert network.count(NEAR) == pytest.approx(6000 / 30, rel=0.1)
    assert network.count(NEAR, size=1320) == pytest.approx(10, abs=1)
    assert sum(map(network.count, others)) == pytest.approx(6000 * 0.1, rel=0.1)


def test_what_somebody_begins_to_watch_is_measured_at_once() -> None:
    network = Simulation(NEAR, FAR)
    network.probing.set_watched(watched=False, now=network.now)
    network.run(600)
    network.sent.clear()

    network.probing.set_watched(watched=True, now=network.now)
    network.run(12)
    soon = network.count(NEAR), network.count(FAR)
    network.run(588)

    assert soon[0] in {5, 6, 7}
    assert soon[1] in {1, 2}
    assert network.count(NEAR) == pytest.approx(300, rel=0.1)
    assert network.count(FAR) == pytest.approx(60, rel=0.1)
    assert network.count(NEAR, size=1320) == pytest.approx(10, abs=1)


@pytest.mark.parametrize("target", [NEAR, FAR])
def test_a_change_of_the_network_has_targets_probed_soon_also_while_nobody_watches(
    target: ProbeTarget,
) -> None:
    network = Simulation(target)
    network.probing.set_watched(watched=False, now=network.now)
    network.run(600)
    network.changes.clear()
    network.answers = no_answer_from(target)
    at = network.now - 1000

    network.probing.reset_backoff(now=network.now)
    network.run(30)

    (change,) = network.changes
    assert change - at < 11 + 3 * 2.1


def test_who_comes_back_is_noticed_as_soon_while_nobody_watches() -> None:
    network = Simulation(FAR)
    network.probing.set_watched(watched=False, now=network.now)
    network.answers = no_answer_from(FAR)
    network.run(6000)
    network.sent.clear()

    network.run(600)

    assert network.count(FAR) == pytest.approx(60, rel=0.1)


def test_a_reply_from_another_address_is_ignored() -> None:
    network = Simulation(FAR)
    (probe,) = network.probing.due(now=network.now + 1)

    network.probing.answered(probe.number, IPv4Address("192.0.2.1"), now=network.now + 1)
    network.probing.answered(probe.number + 1, FAR.address, now=network.now + 1)

    assert network.of(FAR).rtt is None


def test_a_probe_that_could_not_be_sent_is_lost_at_once() -> None:
    network = Simulation(FAR)
    (probe,) = network.probing.due(now=network.now + 1)

    network.probing.lost(probe.number, now=network.now + 1)

    assert network.of(FAR).loss == 1


def test_a_link_that_carries_full_packets_has_the_full_mtu() -> None:
    network = Simulation(NEAR)

    network.run(30)

    assert network.of(NEAR).mtu == 1320
    assert network.count(NEAR, size=1320) == 1


@pytest.mark.parametrize("largest", [576, 600, 1000, 1279, 1319])
def test_the_largest_packet_is_found_where_full_ones_are_lost(largest: int) -> None:
    network = Simulation(NEAR)
    network.answers = lambda probe: probe.size <= largest

    network.run(120)

    assert largest - 8 <= (network.of(NEAR).mtu or 0) <= largest
    assert network.of(NEAR).loss == 0


def test_where_hardly_anything_gets_through_no_size_is_named() -> None:
    network = Simulation(NEAR)
    network.answers = lambda probe: probe.size < 500

    network.run(120)

    assert network.of(NEAR).mtu is None
    assert network.of(NEAR).rtt == pytest.approx(20)


def test_sizes_are_looked_for_again_every_minute_and_after_a_break() -> None:
    network = Simulation(NEAR)
    network.run(600)
    steady = network.count(NEAR, size=1320)
    network.answers = no_answer_from(NEAR)
    network.run(20)
    network.answers = lambda _: True
    network.run(30)

    assert steady in {10, 11}
    assert network.count(NEAR, size=1320) == steady + 1


def test_what_is_known_of_a_target_stays_when_others_come_and_go() -> None:
    network = Simulation(FAR)
    network.run(30)
    network.probing.set_targets([FAR, NEAR], now=network.now)
    kept = network.of(FAR).rtt
    network.probing.set_targets([NEAR], now=network.now)

    assert kept == pytest.approx(20)
    assert set(network.probing.results()) == {NEAR.address}


def test_without_targets_nothing_is_ever_due() -> None:
    network = Simulation()

    assert network.probing.pause(now=network.now) == float("inf")


@given(
    seed=st.integers(0, 1 << 32),
    loss=st.floats(0, 1),
    outages=st.lists(st.tuples(st.integers(0, 120), st.integers(1, 60)), max_size=4),
)
def test_whatever_is_lost_probes_stay_few_and_time_goes_on(
    seed: int, loss: float, outages: list[tuple[int, int]]
) -> None:
    chance = Random(seed)  # noqa: S311 - nothing to guess here
    network = Simulation(NEAR, FAR, seed=seed)
    network.answers = lambda _: (
        chance.random() >= loss
        and not any(start <= network.now - 1000 < start + length for start, length in outages)
    )

    network.run(180)

    # At worst each probe is lost, and every third is answered after all: one each two seconds.
    assert network.count(FAR) < 180
    assert network.count(NEAR) < 240
    for measured in network.probing.results().values():
        assert measured.loss is not None
        assert 0 <= measured.loss <= 1
