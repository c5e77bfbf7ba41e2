from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network

import pytest
from msgspec.structs import replace

from uno.model.uvn import BACKBONE_VPN, Uvn
from uno.planning.diff.plan_diff import PlanDiff, diff, lines
from uno.planning.planner import plan, required_keys, with_keys


@pytest.mark.feature("G01")
def test_a_first_plan_is_all_new(define: Callable[..., Uvn]) -> None:
    found = diff(None, plan(define(public=2, private=1, particles=1), None))

    assert lines(found) == (
        "+ cell c1  c1.example.org  10.255.128.2  192.168.1.0/24",
        "+ cell c2  c2.example.org  10.255.128.3  192.168.2.0/24",
        "+ cell c3  private  10.255.128.4  192.168.3.0/24",
        "+ particle p1  10.254.0.2",
        "+ link c1 ↔ c2  10.255.192.2/31  ports 63550, 63550",
        "+ link c1 ↔ c3  10.255.192.4/31  ports 63551, -",
        "  keys: 16 new",
    )
    assert found.cell_plans == (1, 2, 3)
    assert found.roster


@pytest.mark.feature("G01")
@pytest.mark.feature("G02")
def test_a_new_cell_shows_with_its_links_and_concerns_its_neighbours(
    define: Callable[..., Uvn],
) -> None:
    before = plan(define(public=5), None)

    found = diff(before, plan(define(public=6), before))

    assert lines(found) == (
        "+ cell c6  c6.example.org  10.255.128.7  192.168.6.0/24",
        "+ link c2 ↔ c6  10.255.192.16/31  ports 63553, 63550",
        "+ link c3 ↔ c6  10.255.192.18/31  ports 63553, 63551",
        "+ link c5 ↔ c6  10.255.192.20/31  ports 63552, 63552",
        "- link c2 ↔ c3  10.255.192.8/31  ports 63551, 63551",
        "  keys: 10 new, 2 removed",
    )
    assert found.cell_plans == (2, 3, 5, 6)


@pytest.mark.feature("G01")
def test_a_cell_that_leaves_shows_with_its_links(define: Callable[..., Uvn]) -> None:
    before = plan(define(public=1, private=2), None)

    found = diff(before, plan(define(public=1, private=1), before))

    assert lines(found) == (
        "- cell c3  private  10.255.128.4  192.168.3.0/24",
        "- link c1 ↔ c3  10.255.192.4/31  ports 63551, -",
        "  keys: 5 removed",
    )


@pytest.mark.feature("G01")
@pytest.mark.feature("F037")
def test_changed_settings_show_what_they_do_to_each_link(define: Callable[..., Uvn]) -> None:
    before = plan(define(public=2), None)
    moved = replace(BACKBONE_VPN, subnet=IPv4Network("10.0.0.0/24"))

    found = diff(before, plan(define(public=2, backbone_vpn=moved, enable_root_vpn=False), before))

    assert lines(found) == (
        "~ pools: backbone 10.255.192.0/20 → 10.0.0.0/24",
        "~ root VPN switched off",
        "~ cell c1  root port 63448 → none",
        "~ cell c2  root port 63448 → none",
        "~ link c1 ↔ c2  10.255.192.2/31 → 10.0.0.2/31",
        "  keys: 3 removed",
    )


@pytest.mark.feature("G01")
def test_another_first_port_shows_at_each_end(define: Callable[..., Uvn]) -> None:
    before = plan(define(public=2), None)

    after = plan(define(public=2, backbone_vpn=replace(BACKBONE_VPN, port=1000)), before)

    assert lines(diff(before, after)) == (
        "~ link c1 ↔ c2  port of c1 63550 → 1000  port of c2 63550 → 1000",
    )


def test_a_replaced_key_concerns_the_other_end(define: Callable[..., Uvn]) -> None:
    made = plan(define(public=2), None)
    before = with_keys(made, dict.fromkeys(required_keys(made).pairs, "old"))

    found = diff(before, with_keys(before, {"link/1-2/1": "new"}))

    assert found.keys.replaced == 1
    assert found.cell_plans == (2,)
    assert not found.roster
    assert lines(found) == ("  keys: 1 replaced",)


def test_import_policy_changes_are_listed_for_cells_that_stay(define: Callable[..., Uvn]) -> None:
    chain = {"c1": ["c2"], "c2": ["c3"], "c3": ["c4"]}
    closed = {**chain, "c4": ["c1"]}

    before, after = (
        plan(define(public=4, deployment={"strategy": "static", "strategy_args": peers}), None)
        for peers in (chain, closed)
    )
    found = diff(before, after)

    assert next(line for line in lines(found) if line.startswith("~ link")).endswith(
        "c2 accepts c3, c4"
    )


def test_no_change_is_no_line(define: Callable[..., Uvn]) -> None:
    made = plan(define(public=2), None)

    assert diff(made, made) == PlanDiff()
    assert lines(diff(made, made)) == ()
