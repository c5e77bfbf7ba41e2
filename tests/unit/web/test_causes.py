"""Causes, and not what follows from them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pictures import (
    NOW,
    corp,
    healthy_pictures,
    link_down,
    picture_of,
    silent,
    unreached,
    with_cell,
    with_status,
    with_view,
)
from uno.model.status import LanState
from uno.model.uvn import DeploymentSettings, Settings, Strategy
from uno.web.causes import alerts, headline
from uno.web.documents import AlertKind, AlertSeverity, CellHealth
from uno.web.picture import Picture

PARIS, ROME, OSLO, ATTIC = 1, 2, 3, 4


def kinds(picture: Picture) -> list[str]:
    return [each.id for each in alerts(picture)]


@settings(max_examples=20)
@given(picture=healthy_pictures())
def test_nothing_is_wrong_where_all_is_well(picture: Picture) -> None:
    assert alerts(picture) == ()
    assert headline((), cells=len(picture.cells)) == "all is well: every LAN is reached"


@settings(max_examples=40)
@given(picture=healthy_pictures(), data=st.data())
def test_one_silent_site_is_one_line(picture: Picture, data: st.DataObject) -> None:
    assume(len(picture.cells) > 2)
    cell = data.draw(st.sampled_from(sorted(picture.cells)))
    others = [it for it in picture.cells if it != cell]

    found = alerts(silent(picture, cell))

    assert [each.id for each in found] == [f"cell-silent:{cell}"]
    assert found[0].what.endswith("no contact for 6 min")
    lans = sum(owner == cell for _, owner in picture.lans)
    assert found[0].consequences == lans * len(others) + len(picture.links_of[cell])


@settings(max_examples=40)
@given(picture=healthy_pictures(), data=st.data())
def test_every_cell_that_is_not_well_is_named_or_follows_from_one_that_is(
    picture: Picture, data: st.DataObject
) -> None:
    for cell in sorted(picture.cells):
        match data.draw(st.sampled_from(["well", "silent", "never", "problem", "detached"])):
            case "silent":
                picture = silent(picture, cell)
            case "never":
                picture = with_cell(picture, cell, status=None, alive=False, age=None)
            case "problem":
                picture = with_status(picture, cell, problem="the disk is full")
            case "detached":
                status = picture.cells[cell].status
                lans = tuple(replace(lan, interface=None) for lan in status.lans if status)
                picture = with_status(picture, cell, lans=lans)
            case _:
                pass

    found = alerts(picture)

    assert len({each.id for each in found}) == len(found)
    unwell = [it for it in picture.cells.values() if picture.cell_health(it)[0] != CellHealth.OK]
    assert bool(unwell) == bool(found)
    named = {cell for each in found for cell in each.cells}
    for cell in unwell:
        # What is not named has no neighbour in contact: it follows from those before it.
        beside = {other for pair in picture.links_of[cell.id] for other in pair} - {cell.id}
        follows = not any(picture.cells[other].alive for other in beside)
        assert cell.id in named or follows or found[0].kind is AlertKind.ISOLATED


def test_a_site_behind_a_silent_one_follows_from_it() -> None:
    uvn = replace(
        corp(),
        settings=Settings(deployment=DeploymentSettings(strategy=Strategy.CIRCULAR)),
    )
    picture = picture_of(uvn)
    (uplink,) = {cell for pair in picture.links_of[ATTIC] for cell in pair} - {ATTIC}
    for cell in (ATTIC, uplink):
        picture = with_cell(picture, cell, alive=False, age=100.0)

    (found,) = alerts(picture)

    assert (found.id, found.cells) == (f"cell-silent:{uplink}", (uplink,))
    assert found.consequences >= 1


def test_a_cell_without_contact_to_any_names_its_own_access_and_no_other_cell() -> None:
    picture = picture_of(corp(), viewer=PARIS)
    for cell in (ROME, OSLO, ATTIC):
        picture = silent(picture, cell)

    found = alerts(picture)

    assert [each.id for each in found] == ["isolated"]
    assert found[0].what.startswith("paris has no contact with any other cell")


def test_a_cell_that_was_never_seen_is_a_warning_and_its_lans_follow() -> None:
    picture = picture_of(corp())
    lost = tuple(lan for lan, owner in picture.lans if owner == ROME)
    picture = with_cell(picture, ROME, status=None, alive=False, age=None)
    for cell in (PARIS, OSLO, ATTIC):
        picture = unreached(picture, cell, *lost)

    (found,) = alerts(picture)

    assert (found.kind, found.severity) == (AlertKind.CELL_NEVER_SEEN, AlertSeverity.WARNING)
    assert "is its package installed" in found.what


def test_a_link_that_costs_nothing_is_a_warning_and_names_both_ends_once() -> None:
    (found,) = alerts(link_down(picture_of(corp()), PARIS, ROME))

    assert (found.id, found.severity) == ("link-down:1-2", AlertSeverity.WARNING)
    assert found.what.startswith("the link paris – rome is down: paris's uwg-b")
    assert found.links == ("1-2",)


@pytest.mark.parametrize("is_one", [True, False])
def test_a_link_within_a_site_needs_nat_loopback(*, is_one: bool) -> None:
    picture = picture_of(corp())
    if is_one:
        members = tuple(
            replace(each, endpoint="Site.example.org") if each.id in {PARIS, ROME} else each
            for each in picture.roster.members
        )
        picture = replace(picture, roster=replace(picture.roster, members=members))

    (found,) = alerts(link_down(picture, PARIS, ROME))

    assert ("both have one public address" in found.what) == is_one
    assert ("NAT loopback" in found.remedy) == is_one


def test_a_link_whose_loss_cuts_a_site_off_is_critical_and_the_site_is_counted() -> None:
    picture = picture_of(corp())
    (pair,) = picture.links_of[ATTIC]
    uplink = sum(pair) - ATTIC
    picture = link_down(picture, *pair)
    lost = tuple(lan for lan, owner in picture.lans if owner == ATTIC)
    for cell in (PARIS, ROME, OSLO):
        picture = unreached(picture, cell, *lost)

    (found,) = alerts(picture)

    assert (found.kind, found.severity) == (AlertKind.LINK_DOWN, AlertSeverity.CRITICAL)
    assert (set(found.cells), found.consequences) == ({ATTIC, uplink}, 3)


def test_all_links_of_a_cell_in_contact_are_one_alert_about_the_cell() -> None:
    picture = picture_of(corp())
    for pair in picture.links_of[ROME]:
        picture = link_down(picture, *pair)

    (found,) = alerts(picture)

    assert found.id == f"links-down:{ROME}"
    assert len(found.links) == len(picture.links_of[ROME])


def test_an_obstacle_explains_the_links_and_lans_of_its_cell() -> None:
    picture = with_status(picture_of(corp()), ROME, obstacles=("docker drops what is forwarded",))
    for pair in picture.links_of[ROME]:
        picture = link_down(picture, *pair)
    lost = tuple(lan for lan, owner in picture.lans if owner == ROME)
    picture = unreached(picture, PARIS, *lost)

    (found,) = alerts(picture)

    assert found.what == "rome: docker drops what is forwarded"
    assert found.consequences == len(picture.links_of[ROME]) + 1


def test_a_lan_that_is_not_reached_without_a_cause_is_grouped_by_lan() -> None:
    picture = picture_of(corp())
    lan = next(lan for lan, owner in picture.lans if owner == ROME)
    some = unreached(picture, PARIS, lan)
    for cell in (OSLO, ATTIC):
        picture = unreached(picture, cell, lan)
    everyone = unreached(picture, PARIS, lan)

    (one,), (all_of_them,) = alerts(some), alerts(everyone)

    assert one.what == "192.168.2.0/24 (rome) is not reached by paris"
    assert all_of_them.what == "192.168.2.0/24 (rome) is reached by no other cell"
    assert one.remedy == "there: uno explain paris 192.168.2.0/24"


def test_a_detached_lan_is_one_alert_also_if_its_cell_reports_a_problem_of_it() -> None:
    picture = picture_of(corp())
    lan = next(lan for lan, owner in picture.lans if owner == ROME)
    problem = f"the host has no interface on {lan}; the disk is full"
    picture = with_status(picture, ROME, lans=(LanState(network=lan),), problem=problem)

    detached, other = alerts(picture)

    assert detached.kind == AlertKind.LAN_DETACHED
    assert other.kind == AlertKind.CELL_FAULT
    assert "the disk is full" in other.what
    assert str(lan) not in other.what


def test_a_detached_lan_explains_who_does_not_reach_it() -> None:
    picture = picture_of(corp())
    lan = next(lan for lan, owner in picture.lans if owner == ROME)
    picture = with_status(picture, ROME, lans=(LanState(network=lan),))
    for cell in (PARIS, OSLO, ATTIC):
        picture = unreached(picture, cell, lan)

    (found,) = alerts(picture)

    assert (found.kind, found.lans, found.consequences) == (
        AlertKind.LAN_DETACHED,
        ("192.168.2.0/24",),
        3,
    )


@pytest.mark.parametrize(
    ("change", "kind", "severity"),
    [
        ({"undone": 3, "reason": "oslo rolled back"}, "generation-undone", "warning"),
        ({"rollout": "staging generation 3"}, "rollout", "info"),
        ({"waiting": 2}, "not-released", "info"),
        ({"registry": False, "viewer": PARIS}, "registry-lost", "info"),
    ],
)
def test_the_state_of_the_registry_is_named(
    change: dict[str, Any], kind: str, severity: str
) -> None:
    (found,) = alerts(with_view(picture_of(corp()), **change))

    assert (found.kind, found.severity) == (kind, severity)
    if severity == "info":
        assert headline((found,), cells=4) == "all is well: every LAN is reached"


def test_a_cell_behind_is_a_warning_but_not_while_a_roll_out_goes_on() -> None:
    picture = with_status(picture_of(corp(), generation=2), ROME, generation=1)

    assert kinds(picture) == [f"cell-behind:{ROME}"]
    assert kinds(with_view(picture, rollout="activating generation 2")) == ["rollout"]


def test_a_claim_without_proof_is_critical() -> None:
    (found,) = alerts(with_cell(picture_of(corp()), ROME, unproven=True))

    assert (found.kind, found.severity) == (AlertKind.CELL_UNPROVEN, AlertSeverity.CRITICAL)


def test_a_link_that_loses_packets_or_carries_only_small_ones_is_degraded() -> None:
    picture = picture_of(corp())
    status = picture.cells[PARIS].status
    assert status is not None
    first = status.links[0]
    for changed, expected in (
        (replace(first, loss=0.1), "10% of the probes are lost"),
        (replace(first, mtu=1200), "packets above 1200 octets are lost"),
    ):
        (found,) = alerts(with_status(picture, PARIS, links=(changed, *status.links[1:])))
        assert found.kind is AlertKind.LINK_DEGRADED
        assert expected in found.what


def test_a_status_that_is_old_is_no_wrong_clock() -> None:
    picture = picture_of(corp())
    for cell in picture.cells:
        picture = with_status(picture, cell, clock=NOW - 1700)
        # Its hellos arrive; nothing has changed for half an hour.
        picture = with_cell(picture, cell, age=10.0, status_age=1700.0)

    assert alerts(picture) == ()


def test_a_wrong_clock_is_named_and_if_most_differ_it_is_the_viewers() -> None:
    picture = picture_of(corp())
    one = with_status(picture, ROME, clock=NOW - 10 + 7200)
    assert [each.what for each in alerts(one)] == [
        "rome: its clock is 2 h ahead of that of this host"
    ]
    all_of_them = picture
    for cell in picture.cells:
        all_of_them = with_status(all_of_them, cell, clock=NOW - 10 + 7200)

    (found,) = alerts(all_of_them)

    assert found.what == "this host's clock is 2 h behind that of most cells"


def test_only_so_many_faults_of_a_cell_are_listed() -> None:
    picture = with_status(picture_of(corp()), ROME, obstacles=tuple(f"rule {n}" for n in range(9)))

    found = alerts(picture)

    assert len(found) == 4
    assert found[-1].what == "rome: rule 3 (and 5 more)"


def test_a_network_without_cells_is_not_said_to_reach_anything() -> None:
    assert headline((), cells=0) == "there is no cell yet"


def test_where_the_registrys_agent_does_not_run_that_is_the_cause_of_all_that_is_not_known() -> (
    None
):
    well = with_view(picture_of(corp()), registry=False)
    old = well
    for cell in well.cells:
        old = with_cell(old, cell, alive=False, age=60.0)

    (found,) = alerts(old)

    assert (found.kind, found.severity) == (AlertKind.REGISTRY_LOST, AlertSeverity.WARNING)
    assert (found.consequences, found.remedy) == (4, "start it at the registry: uno agent")
    # Before any cell is up, too.
    never = old
    for cell in old.cells:
        never = with_cell(never, cell, status=None, age=None)
    assert kinds(never) == ["registry-lost"]
    assert alerts(with_view(old, cells=())) == ()
