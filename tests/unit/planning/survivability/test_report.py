from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Network
from typing import Any

import pytest
from msgspec.structs import replace

from uno.model import codec
from uno.model.uvn import Uvn
from uno.planning.planner import plan
from uno.planning.survivability.report import Verification, lines, verify

SAFE = "Every LAN stays reachable under any single link or cell failure."
EXCEPT = "Every LAN stays reachable under any single link or cell failure, except:"


def report_of(uvn: Uvn, **options: Any) -> tuple[str, ...]:
    made = plan(uvn, None)
    return lines(verify(uvn, made, **options), made)


@pytest.mark.feature("G03")
@pytest.mark.parametrize("strategy", ["crossed", "circular", "full-mesh", "random"])
def test_nothing_is_lost_among_public_cells(strategy: str, define: Callable[..., Uvn]) -> None:
    assert report_of(define(public=5, deployment={"strategy": strategy})) == (SAFE,)


@pytest.mark.feature("G03")
def test_a_private_cell_depends_on_its_home(define: Callable[..., Uvn]) -> None:
    assert report_of(define(public=3, private=1)) == (
        EXCEPT,
        "! 192.168.4.0/24 (private cell c4) depends on cell c1.",
        "private_uplinks: 2 would fix it.",
    )


@pytest.mark.feature("G03")
@pytest.mark.parametrize(
    ("cells", "deployment", "last"),
    [
        ((2, 0), {}, "One more public cell would fix it."),
        ((1, 2), {}, "private_uplinks: 2 and one more public cell would fix it."),
        ((2, 2), {}, "private_uplinks: 2 would fix it."),
        ((1, 3), {"strategy": "full-mesh"}, "One more public cell would fix it."),
        ((1, 3), {"strategy": "random"}, "One more public cell would fix it."),
        (
            (4, 0),
            {"strategy": "static", "strategy_args": {"c1": ["c2"], "c2": ["c3"], "c3": ["c4"]}},
            "A link c1 ↔ c4 would fix it.",
        ),
    ],
)
def test_the_least_change_that_would_help_is_named(
    cells: tuple[int, int], deployment: dict[str, Any], last: str, define: Callable[..., Uvn]
) -> None:
    public, private = cells

    assert report_of(define(public=public, private=private, deployment=deployment))[-1] == last


@pytest.mark.feature("G03")
@pytest.mark.parametrize(
    ("public", "private", "uplinks"), [(2, 1, 1), (3, 5, 1), (5, 0, 1), (2, 4, 1), (4, 4, 2)]
)
def test_a_suggestion_has_the_effect_it_names(
    public: int, private: int, uplinks: int, define: Callable[..., Uvn]
) -> None:
    uvn = define(public=public, private=private, deployment={"private_uplinks": uplinks})
    suggestion = verify(uvn, plan(uvn, None)).suggestion
    if suggestion is None:
        assert report_of(uvn) == (SAFE,)
        return

    mended = define(
        public=public + suggestion.public_cells,
        private=private,
        deployment={"private_uplinks": suggestion.private_uplinks or uplinks},
    )

    assert report_of(mended) == (SAFE,)


@pytest.mark.feature("G03")
def test_what_is_apart_already_is_reported_first(define: Callable[..., Uvn]) -> None:
    links = {"c1": ["c2"], "c2": ["c3"], "c4": ["c5"]}
    uvn = define(public=5, deployment={"strategy": "static", "strategy_args": links})
    made = plan(uvn, None)

    found = verify(uvn, made)

    assert not found.is_whole
    assert lines(found, made)[1] == (
        "! 192.168.4.0/24, 192.168.5.0/24 (cells c4, c5) are apart from the others."
    )
    assert found.suggestion is not None
    assert found.suggestion.left == 0


@pytest.mark.feature("G03")
def test_two_links_at_once_are_looked_at_when_asked(define: Callable[..., Uvn]) -> None:
    uvn = define(public=4, private=1, deployment={"private_uplinks": 2})

    assert report_of(uvn) == (SAFE,)
    assert report_of(uvn, depth=2)[1:] == (
        "! 192.168.5.0/24 (private cell c5) depends on one of two links: c1 ↔ c5, c2 ↔ c5.",
        "private_uplinks: 3 would fix it.",
    )


@pytest.mark.feature("G03")
def test_a_large_network_is_summed_up(define: Callable[..., Uvn]) -> None:
    uvn = define(public=20, private=60)
    made = plan(uvn, None)

    shown = lines(verify(uvn, made), made, limit=3)

    assert len(shown) == 6
    assert shown[-2] == "! … and 57 more; uno verify names them all"
    assert shown[-1] == "private_uplinks: 2 would fix it."


@pytest.mark.feature("G03")
def test_particles_at_a_cell_without_lans_are_counted(define: Callable[..., Uvn]) -> None:
    uvn = define(public=2)
    uvn = replace(uvn, cells=(uvn.cells[0], replace(uvn.cells[1], allowed_lans=())))

    assert report_of(uvn)[1:3] == (
        "! 192.168.1.0/24 (cell c1) depends on the link c1 ↔ c2.",
        "! particles at cell c2 depend on the link c1 ↔ c2.",
    )


@pytest.mark.feature("G03")
def test_a_site_is_named_with_its_cells(define: Callable[..., Uvn]) -> None:
    uvn = define(public=4, deployment={"strategy": "circular"})
    settings = replace(
        uvn.cells[2].settings,
        root_vpn_port=50001,
        particles_vpn_port=50002,
        backbone_vpn_port=50003,
    )
    shared = replace(uvn.cells[2], address="C1.example.org", settings=settings)

    shown = report_of(replace(uvn, cells=(*uvn.cells[:2], shared, uvn.cells[3])))

    assert shown == (
        "Every LAN stays reachable under any single link, cell or site failure, except:",
        "! 192.168.2.0/24 (cell c2) depends on the site c1.example.org (cells c1, c3).",
        "! 192.168.4.0/24 (cell c4) depends on the site c1.example.org (cells c1, c3).",
    )


@pytest.mark.feature("G03")
def test_lans_without_a_common_ip_version_are_named_and_depend_on_nothing(
    define: Callable[..., Uvn],
) -> None:
    lan6 = IPv6Network("2001:db8:3::/64")
    note = (
        "note: 192.168.1.0/24, 192.168.2.0/24 (cells c1, c2) and 2001:db8:3::/64 (cell c3) "
        "have no IP version in common, so their hosts never reach each other."
    )

    def of_two_versions(**options: Any) -> Uvn:
        uvn = define(public=3, enable_particles_vpn=False, **options)
        return replace(uvn, cells=(*uvn.cells[:2], replace(uvn.cells[2], allowed_lans=(lan6,))))

    chain = {"strategy": "static", "strategy_args": {"c1": ["c2", "c3"]}}
    assert report_of(of_two_versions()) == (SAFE, note)
    assert report_of(of_two_versions(deployment=chain)) == (
        EXCEPT,
        "! 192.168.1.0/24 (cell c1) depends on the link c1 ↔ c2.",
        "! 192.168.2.0/24 (cell c2) depends on the link c1 ↔ c2.",
        "A link c2 ↔ c3 would fix it.",
        note,
    )


def test_the_finding_is_a_value_for_programs(define: Callable[..., Uvn]) -> None:
    uvn = define(public=3, private=1)
    found = verify(uvn, plan(uvn, None), depth=2)

    assert codec.decode(codec.encode(found), Verification) == found
