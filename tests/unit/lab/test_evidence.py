"""What counts as reached, and how the tables show it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Network
from pathlib import Path as File

import pytest
from rich.console import Console
from rich.table import Table

from uno.lab import demo_tables
from uno.lab.arrange import arrange
from uno.lab.evidence import Pair, PairResult, lan_pairs, pair_results
from uno.lab.lab_state import Lab
from uno.lab.node import Node
from uno.lab.ping_matrix import Reached
from uno.lab.transfer import Transfer
from uno.lab.world import World
from uno.lab.world_layout import Role, Station
from uno.model.uvn import Cell, User, Uvn

ONE, OTHER = IPv4Address("192.168.1.11"), IPv4Address("192.168.2.11")


def test_a_pair_that_is_pinged_and_carries_bytes_from_its_own_address_is_good() -> None:
    (result,) = found(pinged=True, transfer=Transfer(seen=ONE))

    assert result.fault == ""


@pytest.mark.parametrize(
    ("pinged", "transfer", "fault"),
    [
        (False, Transfer(seen=ONE), "no answer to ping"),
        (True, Transfer(problem="refused"), "TCP: refused"),
        (True, Transfer(seen=OTHER), "seen as 192.168.2.11, not as 192.168.1.11"),
    ],
)
def test_a_fault_is_named(*, pinged: bool, transfer: Transfer, fault: str) -> None:
    (result,) = found(pinged=pinged, transfer=transfer)

    assert result.fault == fault


def test_another_address_is_no_fault_where_the_source_need_not_be_kept() -> None:
    (result,) = found(pinged=True, transfer=Transfer(seen=OTHER), source_kept=False)

    assert result.fault == ""


def test_the_tables_fit_into_eighty_columns() -> None:
    names = [f"{letter * 12}-host{n}" for letter in "abcd" for n in (1, 2)]
    results = [result(one, other) for one in names for other in names if one[0] != other[0]]

    text = printed(demo_tables.lan_table(results, dict.fromkeys(names, "192.168.100.100")))

    assert max(map(len, text.splitlines())) <= 80
    assert text.count("✓") == len(results)
    assert "…" not in text


def test_a_failed_pair_is_marked() -> None:
    bad = result("a", "b", pinged=False)

    text = printed(demo_tables.lan_table([bad, result("b", "a")], {"a": "1", "b": "2"}))

    assert (text.count("✗"), text.count("✓"), text.count("·")) == (1, 1, 2)


def test_a_particle_has_a_row_for_each_cell() -> None:
    rows = {
        ("john", "lan-a"): [
            result("john", "h1"),
            result("john", "h2"),
            result("john", "server"),
        ],
        ("john", "lan-b"): [result("john", "h1"), result("john", "h2", pinged=False)],
    }

    text = printed(demo_tables.particle_table(rows, "server"))

    assert "2 of 2" in text
    assert "1 of 2" in text


def test_many_faults_are_counted() -> None:
    lines = demo_tables.faults([result("a", str(n), pinged=False) for n in range(30)])

    assert len(lines) == 21
    assert lines[0] == "a → 0 (IPv4): no answer to ping"
    assert lines[-1] == "and 10 more"


def test_only_addresses_in_the_lans_of_the_uvn_count() -> None:
    """The router of the second site has an IPv4 network for itself."""
    sites = Uvn(
        name="net",
        identity="0" * 32,
        owner="john@example.org",
        users=(User(email="john@example.org"),),
        cells=tuple(
            Cell(id=number, name=name, owner="john@example.org", address=address, allowed_lans=lans)
            for number, (name, address, lans) in enumerate(
                [
                    ("a", "a.example.net", (IPv4Network("192.168.1.0/24"),)),
                    ("b", None, (IPv6Network("2001:db8:2::/64"),)),
                    ("c", None, (IPv4Network("192.168.3.0/24"), IPv6Network("2001:db8:3::/64"))),
                ],
                start=1,
            )
        ),
    )

    layout = arrange(sites, hosts_per_lan=1)
    nodes = {
        each.name: Node(station=each, namespace=each.name, directory=File(each.name))
        for each in layout.stations
    }
    world = World(lab=Lab(id="0" * 6, layout=layout), nodes=nodes)

    assert nodes["b-host1"].address(4) is not None
    assert {(p.source.name, p.target.name, p.version) for p in lan_pairs(world)} == {
        ("a-host1", "c-host1", 4),
        ("c-host1", "a-host1", 4),
        ("b-host1", "c-host1", 6),
        ("c-host1", "b-host1", 6),
    }


def found(*, pinged: bool, transfer: Transfer, source_kept: bool = True) -> tuple[PairResult, ...]:
    pair = Pair(node("one", ONE), node("other", OTHER), 4)
    reached = Reached(at={pair.path: 0.0} if pinged else {}, missing=())
    return pair_results([pair], reached, {pair.path: transfer}, source_kept=source_kept)


def node(name: str, address: IPv4Address) -> Node:
    station = Station(name=name, role=Role.HOST, addresses=(address,))
    return Node(station=station, namespace=name, directory=File(name))


def result(source: str, target: str, *, pinged: bool = True) -> PairResult:
    return PairResult(
        source=source, target=target, version=4, pinged=pinged, transfer=Transfer(seen=ONE)
    )


def printed(table: Table) -> str:
    console = Console(width=80)
    with console.capture() as capture:
        console.print(table)
    return capture.get()
