"""The documents of the page, from pictures of whole networks."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from msgspec.structs import replace

from pictures import (
    BOSS,
    as_advertised,
    corp,
    healthy_pictures,
    large,
    link_down,
    phone_at,
    picture_of,
    silent,
    unreached,
    with_cell,
    with_status,
)
from uno.model.status import LanState, PathState
from uno.web.documents import (
    NO_ANSWER,
    NOT_KNOWN,
    REACHED,
    AlertSeverity,
    CellHealth,
    EventRow,
    LanHealth,
    LinkHealth,
    LinkReport,
    Matrix,
    NetworkSettings,
    ParticleList,
    SiteGuide,
    Summary,
)
from uno.web.particle_rows import particle_list
from uno.web.picture import LinkRates, Picture
from uno.web.planned_facts import network_settings, site_guide
from uno.web.readers import Reader
from uno.web.reports import cell_report, link_report
from uno.web.view import ageless, event_list, matrix, summary

PARIS, ROME, OSLO, ATTIC = 1, 2, 3, 4


@settings(max_examples=25)
@given(picture=healthy_pictures())
def test_the_summary_has_every_cell_link_and_lan_once(picture: Picture) -> None:
    found = summary(picture, BOSS)

    assert {cell.id for cell in found.cells} == set(picture.cells)
    assert {(link.a, link.b) for link in found.links} == set(picture.roster.links)
    assert [lan.network for lan in found.lans] == [str(lan) for lan, _ in picture.lans]
    assert {cell.health for cell in found.cells} == {CellHealth.OK}
    assert {link.health for link in found.links} <= {LinkHealth.UP}
    assert (found.totals.cells_ok, found.totals.links_up) == (len(found.cells), len(found.links))
    assert found.headline == "all is well: every LAN is reached"
    assert msgspec.json.decode(msgspec.json.encode(found), type=Summary) == found


@settings(max_examples=25)
@given(picture=healthy_pictures())
def test_every_document_is_read_as_it_was_written(picture: Picture) -> None:
    documents = [
        (matrix(picture, BOSS), Matrix),
        (particle_list(picture, BOSS), ParticleList),
        (network_settings(picture, BOSS), NetworkSettings),
        *((link_report(picture, *pair, BOSS), LinkReport) for pair in picture.links),
        *((site_guide(picture, cell, BOSS), SiteGuide) for cell in picture.cells),
    ]

    for document, kind in documents:
        assert msgspec.json.decode(msgspec.json.encode(document), type=kind) == document


def test_a_cell_that_is_silent_behind_or_faulty_shows_so_and_why() -> None:
    picture = picture_of(corp(), generation=2)
    picture = silent(picture, ROME)
    picture = with_cell(picture, OSLO, status=None, alive=False, age=None)
    picture = with_status(picture, PARIS, generation=1)
    picture = with_status(picture, ATTIC, problem="the disk is full")

    found = {cell.name: (cell.health, cell.why) for cell in summary(picture, BOSS).cells}

    assert found == {
        "rome": (CellHealth.SILENT, "no contact for 6 min"),
        "oslo": (
            CellHealth.NEVER,
            "no contact yet; is its package installed, and its agent running?",
        ),
        "paris": (CellHealth.BEHIND, "runs generation 1, not 2: confirmed"),
        "attic": (CellHealth.FAULTY, "the disk is full"),
    }


def test_without_the_registrys_facts_there_is_what_the_roster_has() -> None:
    picture = replace(picture_of(corp()), directory=None)

    found = summary(picture, BOSS)

    assert (len(found.cells), len(found.links), found.directory) == (4, len(picture.links), None)
    assert {cell.owner for cell in found.cells} == {""}
    assert network_settings(picture, BOSS).ports == ()


def test_a_link_whose_ends_are_both_silent_is_unknown_and_still_there() -> None:
    picture = silent(silent(picture_of(corp()), PARIS), ROME)

    found = next(link for link in summary(picture, BOSS).links if link.name == "1-2")

    assert (found.health, found.why) == (LinkHealth.UNKNOWN, "neither end is in contact")
    assert (found.rtt, found.age) == (None, None)


def test_a_link_is_down_if_one_end_says_so_and_its_report_has_both() -> None:
    picture = link_down(picture_of(corp(), viewer=ROME), PARIS, ROME)
    picture = replace(picture, rates={"1-2": LinkRates(receive=10.0, send=20.0)})

    found = link_report(picture, ROME, PARIS, BOSS)

    assert found is not None
    assert (found.link.name, found.link.health) == ("1-2", LinkHealth.DOWN)
    assert [end.cell for end in found.ends] == [PARIS, ROME]
    assert found.ends[1].remedy != ""
    assert found.ends[1].planned_endpoint.startswith("paris.example.org:")
    assert found.ends[0].address4 != found.ends[1].address4
    assert summary(picture, BOSS).totals.send_rate == 10.0, "at the viewer's end"


def test_what_the_cell_beside_it_reports_decides_whether_a_lan_is_reached() -> None:
    picture = picture_of(corp())
    lan = next(lan for lan, owner in picture.lans if owner == ROME)

    def health(it: Picture) -> LanHealth:
        return next(each.health for each in summary(it, BOSS).lans if each.cell == ROME)

    assert health(picture) is LanHealth.REACHED
    some = unreached(picture, PARIS, lan)
    assert health(some) is LanHealth.PARTLY
    nobody = unreached(unreached(some, OSLO, lan), ATTIC, lan)
    assert health(nobody) is LanHealth.UNREACHED
    assert health(with_status(picture, ROME, lans=(LanState(network=lan),))) is LanHealth.DETACHED


def test_a_cell_shows_how_soon_a_lost_link_of_it_is_noticed() -> None:
    picture = picture_of(corp(), viewer=ROME)
    slow = replace(picture.roster.timing, bfd_interval=20_000, metered=True)
    others = (each for each in picture.roster.members if each.id != ROME)
    metered = replace(picture.roster.member(ROME), timing=slow)
    roster = replace(picture.roster, members=(*others, metered))

    found = [
        cell_report(replace(picture, roster=each), ROME, BOSS) for each in (picture.roster, roster)
    ]

    assert [(each.detection, each.metered) for each in found if each] == [(0.75, False), (60, True)]


def test_a_cell_shows_its_interfaces_peers_and_next_hops() -> None:
    found = cell_report(phone_at(picture_of(corp(), viewer=ROME), ROME), ROME, BOSS)

    assert found is not None
    kinds = [(each.kind, each.port, each.online) for each in found.interfaces]
    assert kinds == [("root", 63448, None), ("particles", 63449, 1)]
    assert [each.name for each in found.particles] == ["phone"]
    assert all(end.endpoint == "203.0.113.77:63550" for end in found.links)
    assert {route.network for route in found.routes} == {
        "192.168.1.0/24",
        "192.168.3.0/24",
        "192.168.4.0/24",
    }
    assert all(route.via for route in found.routes)


def test_the_matrix_tells_no_answer_from_not_known() -> None:
    picture = silent(picture_of(corp()), ROME)
    status = picture.cells[PARIS].status
    assert status is not None
    paths = tuple(
        replace(path, rtt=None, loss=1.0) if path.cell == ROME else path for path in status.paths
    )
    picture = with_status(picture, PARIS, paths=paths)

    found = matrix(picture, BOSS)

    assert found.rtt[0] == (0, NO_ANSWER, 200, 200)
    assert found.loss[0] == (0, 100, 0, 0)
    assert found.rtt[1] == (NOT_KNOWN,) * 4
    assert found.ages[:2] == (10.0, None)
    assert found.unreached[0] == ("192.168.2.0/24",)


def test_in_a_large_network_who_reaches_whom_follows_from_what_is_lost() -> None:
    lossy, dead = PathState(cell=9, rtt=30.0, loss=0.5), PathState(cell=8, loss=1.0)
    picture = with_status(large(), 1, paths=(lossy, dead))
    picture = silent(picture, 7)
    status = picture.cells[1].status
    assert status is not None
    neighbor = next(link.cell for link in status.links if link.cell > 9)

    found = matrix(picture, BOSS)

    pairs = {it: (found.rtt[0][it - 1], found.loss[0][it - 1]) for it in (1, 7, 8, 9, neighbor)}
    assert pairs == {
        1: (0, 0),
        7: (NOT_KNOWN, NOT_KNOWN),
        8: (NO_ANSWER, 100),
        9: (300, 50),
        neighbor: (125, 0),
    }
    assert set(found.rtt[6]) == {NOT_KNOWN}
    rows = [row for number, row in enumerate(found.rtt) if number != 6]
    assert all(row.count(NOT_KNOWN) == 1 for row in rows)
    assert sum(row.count(REACHED) for row in rows) > 30_000


def test_who_reaches_whom_is_known_though_nobody_has_watched() -> None:
    picture = as_advertised(picture_of(corp()), watched=False)
    status = picture.cells[PARIS].status
    assert status is not None
    links = tuple(replace(link, rtt=None) for link in status.links)
    oslo = picture.members[OSLO].lans
    picture = with_status(picture, PARIS, links=links, unreachable=oslo)

    found = matrix(picture, BOSS)

    assert found.rtt[0] == (0, REACHED, NOT_KNOWN, REACHED)
    assert found.loss[0] == (0, NOT_KNOWN, NOT_KNOWN, NOT_KNOWN)


def test_a_particle_is_online_where_it_shook_hands_last() -> None:
    picture = phone_at(phone_at(picture_of(corp()), PARIS, handshake=400), ROME, handshake=20)

    found = {each.name: each for each in particle_list(picture, BOSS).particles}

    assert (found["phone"].online, found["phone"].at, found["phone"].handshake) == (True, ROME, 20)
    assert (found["laptop"].online, found["laptop"].at) == (False, None)
    assert [cell.name for cell in found["laptop"].cells] == ["paris", "rome", "oslo"]
    assert [found["lost"].banned, found["lost"].cells] == [True, ()]


def test_events_are_paged_and_the_owner_of_cells_sees_what_is_about_these() -> None:
    rows = [
        EventRow(
            number=number,
            time=0,
            clock_trusted=True,
            kind="cell-lost",
            severity=AlertSeverity.INFO,
            text=str(number),
            cells=(number % 2,),
        )
        for number in range(1, 7)
    ]
    ann = Reader(email="ann@example.org", cells=frozenset({1}))

    first = event_list(rows, BOSS, limit=4)
    rest = event_list(rows, BOSS, before=first.events[-1].number, limit=4)

    assert [each.number for each in (*first.events, *rest.events)] == [6, 5, 4, 3, 2, 1]
    assert (first.more, rest.more, first.newest) == (True, False, 6)
    assert [each.number for each in event_list(rows, BOSS, after=4).events] == [6, 5]
    assert [each.number for each in event_list(rows, ann).events] == [5, 3, 1]
    assert event_list(rows, Reader(email="phil@example.org")).events == ()


def test_the_guide_of_a_site_has_its_ports_and_the_routes_of_its_router() -> None:
    picture = picture_of(corp())

    found, private = site_guide(picture, ROME, BOSS), site_guide(picture, ATTIC, BOSS)

    assert found is not None
    assert private is not None
    assert [port.purpose for port in found.ports] == ["the registry", "particles", "links"]
    assert private.ports == ()
    assert ("192.168.1.0/24", "LAN of paris") in [(it.network, it.whose) for it in found.routes]
    assert {route.gateway for route in found.routes if ":" not in route.network} == {"192.168.2.2"}


def test_a_measurement_alone_is_nothing_new_and_another_state_is() -> None:
    picture = picture_of(corp())
    before = summary(picture, BOSS)
    later = summary(with_cell(picture, ROME, age=40.0), BOSS)

    assert later != before
    assert ageless(later) == ageless(before)
    assert ageless(summary(link_down(picture, PARIS, ROME), BOSS)) != ageless(before)


def test_what_a_loss_would_cost_is_named_with_the_cell() -> None:
    picture = picture_of(corp())
    (pair,) = picture.links_of[ATTIC]
    uplink = sum(pair) - ATTIC

    report, link = cell_report(picture, uplink, BOSS), link_report(picture, *pair, BOSS)

    assert report is not None
    assert link is not None
    assert report.cost == f"the loss of cell {picture.name(uplink)} cuts off attic"
    assert link.cost.endswith("cuts off attic")
