"""Why a LAN does not reach another, from the routes and links of the cells between them."""

from __future__ import annotations

from dataclasses import replace  # noqa: TID251 - of a dataclass
from ipaddress import IPv4Address, IPv4Network

import pytest

from uno.lab.path_faults import (
    CellForwarding,
    FailedPair,
    RouteEntry,
    in_the_way,
    lines,
    on_the_way,
)

THERE = IPv4Address("192.168.3.11")
LAN = IPv4Network("192.168.3.0/24")

CELLS = {
    "a": CellForwarding(
        running=True,
        routes=(RouteEntry(LAN, ("b0", "b1"), 20), RouteEntry(LAN, (), 4294967295)),
        links={"b0": "relay", "b1": "c"},
    ),
    "relay": CellForwarding(
        running=True, routes=(RouteEntry(LAN, ("b0",), 20),), links={"b0": "c", "b1": "a"}
    ),
    "c": CellForwarding(
        running=True, routes=(RouteEntry(LAN, ("lan0",)),), links={"b0": "relay", "b1": "a"}
    ),
}


def changed(name: str, **changes: object) -> dict[str, CellForwarding]:
    return {**CELLS, name: replace(CELLS[name], **changes)}  # type: ignore[arg-type]


def test_packets_that_arrive_by_every_path_have_no_fault() -> None:
    assert on_the_way(CELLS, "a", "c", THERE) == ""


@pytest.mark.parametrize(
    ("cells", "fault"),
    [
        (changed("relay", routes=()), "relay has no route to 192.168.3.11"),
        (changed("a", routes=CELLS["a"].routes[1:]), "a has no route to 192.168.3.11"),
        (changed("c", running=False), "uno is not up on c"),
        (changed("relay", problem="shows no status: x"), "relay shows no status: x"),
        (
            changed("relay", routes=(RouteEntry(IPv4Network("0.0.0.0/0"), ("wan",)),)),
            "relay sends packets to 192.168.3.11 out of wan, not into a link",
        ),
        (
            changed("a", routes=(), silent=frozenset({"c"})),
            "a has no route to 192.168.3.11; it has no session with c",
        ),
        (
            changed("a", routes=(), silent=frozenset({"relay", "c"})),
            "a has no route to 192.168.3.11; it has no session with c, relay (all it has)",
        ),
        ({"a": CELLS["a"], "c": CELLS["c"]}, "relay is not in the lab"),
    ],
)
def test_the_cell_that_does_not_pass_packets_on_is_named(
    cells: dict[str, CellForwarding], fault: str
) -> None:
    assert on_the_way(cells, "a", "c", THERE) == fault


def test_a_longer_prefix_that_leads_elsewhere_is_the_fault() -> None:
    inside = RouteEntry(IPv4Network("192.168.3.8/29"), ("br0",))

    cells = changed("a", routes=(*CELLS["a"].routes, inside))

    assert on_the_way(cells, "a", "c", THERE) == (
        "a sends packets to 192.168.3.11 out of br0, not into a link"
    )


def test_a_circle_is_found() -> None:
    cells = {
        **changed("relay", routes=(RouteEntry(LAN, ("b1",), 20),)),
        "a": replace(CELLS["a"], routes=(RouteEntry(LAN, ("b0",), 20),)),
    }

    assert on_the_way(cells, "a", "c", THERE) == "routes to 192.168.3.11 lead in a circle: a, relay"


def test_obstacles_are_named_with_their_cells() -> None:
    cells = changed("c", obstacles=("rule 1", "rule 2"))

    assert in_the_way(cells, ("a", "c", "unknown")) == "c: rule 1; c: rule 2"


def test_each_pair_is_named_pairs_with_one_source_and_cause_on_one_line() -> None:
    failed = [
        FailedPair("a1", "c1", 4, "c is down"),
        FailedPair("a1", "c2", 4, "c is down"),
        FailedPair("a1", "c2", 6, "c is down"),
        FailedPair("c1", "a1", 4, ""),
    ]

    assert list(lines(failed)) == [
        "a1 → c1, c2 (IPv4): c is down",
        "a1 → c2 (IPv6): c is down",
        "c1 → a1 (IPv4): no cause found",
    ]
