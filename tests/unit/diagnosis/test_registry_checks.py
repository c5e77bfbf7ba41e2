"""Each check at the registry: of its directory, and of all cells by their statuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from msgspec.structs import replace

from packages import HOME, HUB, ROAM, UVN
from uno.diagnosis.cell_facts import AgentProcess, ClockReading, DiskSpace
from uno.diagnosis.check_result import CheckResult, CheckState
from uno.diagnosis.registry_checks import CHECKS, RegistryFacts, diagnose_registry
from uno.model.plan import Plan
from uno.model.status import CellStatus, CellView, LanState, LinkState, UvnView
from uno.planning.planner import plan

PLAN = plan(UVN, None)
NOW = 1_800_000_000
FAULT, WARNING = CheckState.FAULT, CheckState.WARNING


def links_of(cell: int) -> tuple[LinkState, ...]:
    return tuple(
        LinkState(
            interface=f"uwg-b{end.slot}",
            cell=other.cell,
            handshake=20,
            bgp="Established",
            bfd="up",
            received=1000,
        )
        for link in PLAN.links
        for end, other in ((link.a, link.b), (link.b, link.a))
        if end.cell == cell
    )


def cells() -> dict[int, CellView]:
    return {
        each.member.id: CellView(
            id=each.member.id,
            name=each.member.name,
            package=1,
            status=CellStatus(
                generation=1,
                lans=tuple(LanState(network=lan, interface="eth1") for lan in each.member.lans),
                links=links_of(each.member.id),
                clock=NOW - 10,
            ),
            age=10,
            alive=True,
        )
        for each in PLAN.cells
    }


@dataclass
class Site:
    """A registry whose agent runs, with three cells."""

    cells: dict[int, CellView] = field(default_factory=cells)
    plan: Plan = PLAN
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def results(self) -> tuple[CheckResult, ...]:
        known: dict[str, Any] = {
            "plan": self.plan,
            "view": UvnView(uvn="net", viewer=0, generation=1, cells=tuple(self.cells.values())),
            "agent": AgentProcess(runs=True),
            "clock": ClockReading(now=NOW, newest=NOW, path="registry.db"),
            "disks": (DiskSpace(path="/srv", free=10 << 30, total=20 << 30),),
            "unreleased": (),
            "revokes": False,
            "not_backed_up": 3600,
            "packages_complete": True,
            "resolved": {"cell hub": ("198.51.100.1:1",)},
        }
        return diagnose_registry(RegistryFacts(**known | self.facts)).results

    @property
    def wrong(self) -> tuple[CheckResult, ...]:
        return tuple(each for each in self.results if each.state is not CheckState.GOOD)

    def status(self, cell: int, **changes: Any) -> None:
        before = self.cells[cell].status
        assert before is not None
        self.cells[cell] = replace(self.cells[cell], status=replace(before, **changes))

    def cut(self, one: int, other: int) -> None:
        for here, there in ((one, other), (other, one)):
            self.status(
                here,
                links=tuple(
                    replace(link, bgp="Active", bfd="down", handshake=400)
                    if link.cell == there
                    else link
                    for link in links_of(here)
                ),
            )


def clock_behind(site: Site) -> None:
    site.facts["clock"] = ClockReading(now=NOW, newest=NOW + 600, path="registry.db")
    site.cells = {}


def disk_full(site: Site) -> None:
    site.facts["disks"] = (DiskSpace(path="/srv", free=0, total=20 << 30),)


def agent_dead(site: Site) -> None:
    site.facts["agent"] = AgentProcess(runs=False, crashed=True)


def ban_not_released(site: Site) -> None:
    lines = ("1 change not released: uno sync", "  ban of particle phone: cells refuse it already")
    site.facts |= {"unreleased": lines, "revokes": True}


def change_not_released(site: Site) -> None:
    site.facts["unreleased"] = ("1 change not released: uno sync",)


def packages_missing(site: Site) -> None:
    site.facts["packages_complete"] = False


def no_backup(site: Site) -> None:
    site.facts["not_backed_up"] = 30 * 86400


def name_gone(site: Site) -> None:
    site.facts["resolved"] = {"cell hub": (), "cell roam": ("192.0.2.1:1",)}


def no_name_service(site: Site) -> None:
    site.facts["resolved"] = {"cell hub": (), "cell roam": ()}


def plan_apart(site: Site) -> None:
    site.plan = replace(PLAN, links=())


def cell_silent(site: Site) -> None:
    site.cut(HOME, HUB)
    site.cells[HOME] = replace(site.cells[HOME], alive=False, age=900)
    site.status(HUB, unreachable=PLAN.cells[1].member.lans)


def cell_never_seen(site: Site) -> None:
    site.cells[ROAM] = replace(site.cells[ROAM], alive=False, age=None, status=None)


def cell_behind(site: Site) -> None:
    site.cells[HOME] = replace(site.cells[HOME], package=2)


def lan_lost(site: Site) -> None:
    lan = PLAN.cells[1].member.lans[0]
    site.status(HOME, lans=(LanState(network=lan),))
    site.status(HUB, unreachable=(lan,))


def obstacle(site: Site) -> None:
    site.cut(HUB, ROAM)
    site.status(HUB, obstacles=("chain input of nftables table inet mine drops",))


def clock_of_a_cell(site: Site) -> None:
    site.status(HOME, clock=NOW - 10 - 7200)


def link_cut(site: Site) -> None:
    site.cut(HUB, ROAM)


def not_reached(site: Site) -> None:
    site.status(HUB, unreachable=PLAN.cells[1].member.lans)


CASES: tuple[tuple[Callable[[Site], None], str, CheckState, str], ...] = (
    (clock_behind, "clock", FAULT, "10 min or more behind"),
    (disk_full, "disk", FAULT, "/srv is full"),
    (agent_dead, "agent", FAULT, "has ended"),
    (ban_not_released, "released", FAULT, "ban of particle phone"),
    (change_not_released, "released", WARNING, "1 change not released"),
    (packages_missing, "packages", WARNING, "missing in cells/"),
    (no_backup, "backup", WARNING, "30 d"),
    (name_gone, "names", WARNING, "cell hub"),
    (no_name_service, "names", WARNING, "none of the public names"),
    (plan_apart, "plan", FAULT, "home: no path of the plan"),
    (cell_silent, "cells", FAULT, "home: no contact for 15 min"),
    (cell_never_seen, "cells", FAULT, "roam: no contact yet"),
    (cell_behind, "cells", WARNING, "home: runs generation 1, not 2"),
    (lan_lost, "cells", FAULT, "home: LAN 192.168.2.0/24 is missing"),
    (obstacle, "cells", FAULT, "hub: chain input"),
    (clock_of_a_cell, "clocks", WARNING, "home: its clock is 2 h behind"),
    (link_cut, "links", FAULT, "roam has not answered for 400 s"),
    (not_reached, "reach", FAULT, "hub: does not reach 192.168.2.0/24"),
)


@pytest.mark.feature("G42")
def test_a_network_that_is_well_has_no_fault() -> None:
    assert Site().wrong == ()
    assert [each.check for each in Site().results] == [name for name, _, _ in CHECKS]


@pytest.mark.feature("G42")
@pytest.mark.parametrize(
    ("harm", "check", "state", "named"), CASES, ids=lambda v: getattr(v, "__name__", "")
)
def test_each_fault_is_named_and_nothing_that_follows_from_it(
    harm: Callable[[Site], None], check: str, state: CheckState, named: str
) -> None:
    site = Site()
    harm(site)

    (found,) = site.wrong
    assert (found.check, found.state) == (check, state)
    assert named in found.what
    assert found.remedy


@pytest.mark.feature("G42")
@pytest.mark.parametrize("is_one", [True, False])
def test_a_silent_link_within_a_site_needs_nat_loopback(*, is_one: bool) -> None:
    site = Site()
    link_cut(site)
    if is_one:
        endpoint = "hub.example.org"
        cells = (
            replace(each, member=replace(each.member, endpoint=endpoint)) for each in PLAN.cells
        )
        site.plan = replace(PLAN, cells=tuple(cells))

    (found,) = site.wrong

    assert ("both have one public address" in found.what) == is_one
    assert ("NAT loopback" in found.remedy) == is_one


def test_without_an_agent_the_cells_are_not_checked() -> None:
    site = Site(facts={"view": None, "agent": AgentProcess(runs=False)})

    assert [each.check for each in site.wrong] == ["cells", "clocks", "links", "reach"]
    assert {each.state for each in site.wrong} == {CheckState.NOT_CHECKED}


def test_every_check_has_a_case() -> None:
    assert {check for _, check, _, _ in CASES} == {name for name, _, _ in CHECKS}
