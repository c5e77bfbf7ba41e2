"""`uno sync`: when it is over, what it prints, and how it ends."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from msgspec.structs import replace

from commands import Uno, run
from uno.cli.commands.run_sync import RolloutFollower
from uno.model.messages import Ack, Phase
from uno.model.status import CellStatus, CellView, UvnView

LAN = IPv4Network("192.168.2.0/24")
CLAIM = (
    "claims to run generation 666, without a signature of the registry: it is left out of changes."
    " Was it taken over?"
)


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class ReportLog:
    lines: list[str] = field(default_factory=list)

    def __call__(self, line: str) -> None:
        self.lines.append(line)


def cell(
    number: int, generation: int, phase: Phase | None = None, *, routed: bool = True
) -> CellView:
    ack = Ack(generation=2, phase=phase, running=generation, reason="why") if phase else None
    return CellView(
        id=number,
        name=f"c{number}",
        package=2,
        status=CellStatus(generation=generation, unreachable=() if routed else (LAN,)),
        ack=ack,
        age=1.0,
        alive=True,
    )


def view(*cells: CellView, generation: int = 2, rollout: str = "") -> UvnView:
    return UvnView(uvn="net", viewer=0, generation=generation, cells=cells, rollout=rollout)


@pytest.fixture
def follower() -> RolloutFollower:
    return RolloutFollower(
        target=2, config_only=False, deadline=100.0, report=ReportLog(), clock=Clock()
    )


def reported(follower: RolloutFollower) -> list[str]:
    assert isinstance(follower.report, ReportLog)
    return follower.report.lines


@pytest.mark.feature("F093")
def test_it_waits_for_the_configuration_and_by_default_for_routes(
    follower: RolloutFollower,
) -> None:
    config_only = replace_config_only(follower)
    unrouted = view(cell(1, 2), cell(2, 2, routed=False))

    assert not follower.evaluate(view(cell(1, 2), cell(2, 1), rollout="staging"))
    assert not follower.evaluate(unrouted)
    assert config_only.evaluate(unrouted)
    assert follower.evaluate(view(cell(1, 2), cell(2, 2)))
    assert reported(follower)[-1] == "c2  reaches every LAN"


@pytest.mark.feature("F093")
def test_it_is_over_when_the_time_is_up_and_lists_the_cells_that_lag(
    follower: RolloutFollower,
) -> None:
    clock = follower.clock
    assert isinstance(clock, Clock)
    silent = replace(cell(2, 1), alive=False, age=90.0)

    assert not follower.evaluate(view(cell(1, 2), silent))
    assert reported(follower) == []
    clock.now = 20.0
    assert not follower.evaluate(view(cell(1, 2), silent))
    clock.now = 100.0

    assert follower.evaluate(view(cell(1, 2), silent))
    assert not follower.done
    assert list(follower.missing()) == ["c2  no contact for 90 s"]
    assert "waiting: c2  no contact for 90 s" in reported(follower)


@pytest.mark.feature("G53")
def test_it_ends_without_a_cell_whose_generation_is_not_believed(
    follower: RolloutFollower,
) -> None:
    clock = follower.clock
    assert isinstance(clock, Clock)
    liar = replace(cell(3, 666), unproven=True)
    follower.evaluate(view(cell(1, 1), cell(2, 2), cell(3, 1)))
    assert not follower.evaluate(view(cell(1, 1), cell(2, 2), liar))
    clock.now = 20.0
    assert not follower.evaluate(view(cell(1, 1), cell(2, 2), liar))

    assert follower.evaluate(view(cell(1, 2), cell(2, 2), liar))
    assert not follower.done
    assert [line for line in reported(follower) if "c3" in line] == [
        f"c3  {CLAIM}",
        f"waiting: c3  {CLAIM}",
    ]


def test_it_reports_each_event_once(follower: RolloutFollower) -> None:
    for phase in (None, Phase.STAGED, Phase.STAGED, Phase.APPLIED, Phase.CONFIRMED):
        running = 2 if phase in {Phase.APPLIED, Phase.CONFIRMED} else 1
        follower.evaluate(view(cell(1, running, phase), rollout="at work"))

    assert reported(follower) == [
        "c1  has staged generation 2: why",
        "c1  switched to generation 2; checking its neighbours: why",
        "c1  confirmed generation 2: why",
    ]


def test_a_failed_rollout_is_over_when_all_have_rolled_back(follower: RolloutFollower) -> None:
    going = replace(cell(1, 2), package=1)
    back = replace(cell(1, 1), package=1)
    failed = replace(view(going, generation=1), undone=2, reason="c1 went back")

    assert not follower.evaluate(failed)
    assert follower.failed
    assert follower.evaluate(replace(failed, cells=(back,)))
    assert not follower.done


def test_it_is_over_when_who_is_missing_will_not(follower: RolloutFollower) -> None:
    clock = follower.clock
    assert isinstance(clock, Clock)
    refusing = view(cell(1, 2), cell(2, 1, Phase.REVERTED))

    assert not follower.evaluate(refusing)
    clock.now = 20.0

    assert not follower.evaluate(view(cell(1, 2), cell(2, 2, routed=False)))
    assert follower.evaluate(refusing)
    assert follower.is_refused
    assert not follower.done


def test_it_does_not_wait_for_cells_that_never_go_back(follower: RolloutFollower) -> None:
    clock = follower.clock
    assert isinstance(clock, Clock)
    follower.deadline = 1000.0
    stuck = replace(cell(1, 2), package=1)
    failed = replace(view(stuck, generation=1), undone=2, reason="c1 went back")

    assert not follower.evaluate(failed)
    clock.now = 60.0

    assert follower.evaluate(failed)
    # Cells ahead of this registry got nothing from it.
    ahead = replace(view(cell(1, 9), generation=2), undone=2, reason="older")
    assert follower.evaluate(ahead)


def test_a_generation_before_the_one_that_is_waited_for_is_not_it(
    follower: RolloutFollower,
) -> None:
    assert not follower.evaluate(view(replace(cell(1, 1), package=1), generation=1))
    assert not follower.done


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to get that far")
def test_without_a_root_vpn_it_shows_that_packages_are_copied_by_hand(
    site: Uno,
) -> None:
    site("config", "uvn", "-U", "--disable-root-vpn")

    done = site("sync")

    assert done.status == 2
    assert "has no root VPN" in done.err
    assert "by hand" in done.err


def test_without_root_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    done = run("sync", "-r", str(tmp_path))

    assert done.status == 2
    assert "sudo" in done.err


def replace_config_only(follower: RolloutFollower) -> RolloutFollower:
    return RolloutFollower(
        target=follower.target, config_only=True, deadline=100.0, report=ReportLog(), clock=Clock()
    )
