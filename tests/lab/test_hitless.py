"""A change in a running UVN costs no packet on paths that it does not concern."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import permutations
from pathlib import Path

import pytest
from watching import await_true, line, note, pause, stream, vtysh

from uno.lab import deploy
from uno.lab.agents import Agents
from uno.lab.node import Node
from uno.lab.ping_matrix import PingFlow, PingPath
from uno.model.plan import FIRST_ASN

pytestmark = [pytest.mark.lab, pytest.mark.alone, pytest.mark.timeout(900)]

RING = ("lan-a", "lan-b", "lan-c")
# Every cell is still in a ring of four, in another order: two links go and two come.
OTHER_RING = "{lan-a: [lan-c, relay, lan-d], lan-b: [lan-c, relay]}"


@pytest.fixture(scope="module")
def four_sites_spec(ring_spec: Path) -> Path:
    return ring_spec


@pytest.fixture
def well(living: Agents) -> Iterator[Agents]:
    """All agents, at rest; and again after the test."""
    living.start()
    living.await_settled(within=120)
    yield living
    living.await_settled(within=120)


@pytest.mark.feature("G07")
def test_another_lan_costs_the_others_nothing(well: Agents) -> None:
    lan = "2001:db8:3::/64"

    def change() -> None:
        for option in ("--remove-network", "--add-network"):
            change_to(well, "config", "cell", "lan-c", "-U", option, lan)

    flows = during(well, change, between(well, "lan-a", "lan-b", "lan-d"))

    assert_unharmed("another LAN", flows)


@pytest.mark.feature("G08")
def test_new_keys_cost_nothing_where_there_is_a_second_path_and_less_than_a_second_elsewhere(
    well: Agents,
) -> None:
    ring = between(well, *RING)
    others = [path for path in between(well, *RING, "lan-d") if path not in ring]

    flows = during(well, lambda: change_to(well, "rekey", "backbone"), [*ring, *others])

    assert_unharmed("new keys", flows[: len(ring)])
    gaps = [flow.longest_gap for flow in flows[len(ring) :]]
    note(f"new keys: longest gap where there is one path alone {max(gaps):.2f} s")
    assert max(gaps) < 1


@pytest.mark.feature("G07")
def test_more_links_and_fewer_cost_nothing(well: Agents) -> None:
    def change() -> None:
        for strategy in ("crossed", "circular"):
            change_to(well, "config", "uvn", "-U", "-S", strategy)

    flows = during(well, change, between(well, *RING, "lan-d"))

    assert_unharmed("more links and fewer", flows)


@pytest.mark.feature("G07")
def test_other_links_are_there_before_those_of_before_go(well: Agents) -> None:
    def change() -> None:
        change_to(well, "config", "uvn", "-U", "-S", "static", "-D", OTHER_RING)
        change_to(well, "config", "uvn", "-U", "-S", "circular")

    flows = during(well, change, between(well, *RING, "lan-d"))

    assert_unharmed("other links", flows)


@pytest.mark.feature("G07")
def test_a_change_ends_no_session(well: Agents) -> None:
    def dropped() -> list[str]:
        output = [vtysh(cell, "show bgp neighbors") for cell in cells(well)]
        return [each.strip() for text in output for each in text.splitlines() if "dropped" in each]

    before = dropped()

    change_to(well, "config", "uvn", "-U", "--timing-profile", "fast")
    change_to(well, "config", "cell", "lan-c", "-U", "--timing-profile", "metered")
    timers = {name: link_timers(agent.node) for name, agent in well.cells.items()}
    change_to(well, "config", "cell", "lan-c", "-U", "--no-timing-profile")
    change_to(well, "config", "cell", "lan-c", "-U", "--remove-network", "2001:db8:3::/64")
    change_to(well, "config", "cell", "lan-c", "-U", "--add-network", "2001:db8:3::/64")
    change_to(well, "config", "uvn", "-U", "--timing-profile", "default")

    assert before
    assert dropped() == before
    fast, metered = (100, "of the UVN"), (20_000, "60 180")
    assert timers == {
        "lan-a": [fast, fast, fast],
        "lan-b": [fast, metered],
        "lan-c": [metered, metered],
        "lan-d": [fast],
        "relay": [fast, metered],
    }


@pytest.mark.feature("G08")
@pytest.mark.feature("G22")
def test_a_drained_route_is_the_last_choice_and_passes_the_filters_like_any_other(
    well: Agents,
) -> None:
    nodes = well.deployment.world.nodes
    sender, receiver = nodes["lan-b"], nodes["lan-a"]
    own, stolen = "192.168.2.0/24", "192.168.4.0/24"
    configure = ("configure terminal", f"router bgp {FIRST_ASN + 2}", "address-family ipv4")
    policy = ("configure terminal", "route-map EXPORT permit 20")
    # The agent would revert what it has not configured.
    agent = well.cells["lan-b"]
    agent.stop()

    vtysh(sender, *policy, "set community graceful-shutdown additive")
    vtysh(sender, APPLY)
    vtysh(sender, *configure, f"network {stolen}")
    try:
        await_true(lambda: "localpref 0" in path_of(receiver, own, "2"), "the route is left")
        await_true(lambda: stolen in vtysh(sender, SENT_TO_LAN_A), "it is announced")

        assert "graceful-shutdown" in path_of(receiver, own, "2")
        assert path_of(receiver, stolen, "2") == ""
    finally:
        vtysh(sender, *configure, f"no network {stolen}")
        vtysh(sender, *policy, "no set community")
        vtysh(sender, APPLY)
        await_true(lambda: "localpref 0" not in path_of(receiver, own, "2"), "it is used again")
        well.start([agent])


APPLY = "clear bgp ipv4 unicast * soft out"
SENT_TO_LAN_A = "show bgp ipv4 unicast neighbors 10.255.192.2 advertised-routes"


def path_of(cell: Node, prefix: str, origin: str) -> str:
    """What a cell has taken of a prefix that comes straight from the cell with this id."""
    output = vtysh(cell, f"show bgp ipv4 unicast {prefix}")
    paths = output.split(f"\n  {FIRST_ASN + int(origin)}\n")
    return paths[1].partition("\n  42")[0] if len(paths) > 1 else ""


def change_to(agents: Agents, *arguments: str) -> None:
    """Change the definition, and have the network follow."""
    registry = agents.registry.node
    deploy.uno(registry, *arguments, "-y", "-r", str(agents.deployment.registry_root))
    agents.sync("-t", "120", timeout=180)


def during(agents: Agents, change: Callable[[], None], paths: Iterable[PingPath]) -> list[PingFlow]:
    """What became of pings on these paths while something changed, in their order."""
    prober, flows = stream(paths)
    with prober, flows:
        pause(0.5)
        change()
        agents.await_settled(within=120)
        pause(0.5)
    return [flows.flows[path] for path in prober.paths]


def between(agents: Agents, *names: str) -> list[PingPath]:
    """The ways between the first hosts of some cells' LANs."""
    nodes = agents.deployment.world.nodes
    hosts = [nodes[f"{name}-host1"] for name in names]
    return [line(*pair) for pair in permutations(hosts, 2)]


def link_timers(cell: Node) -> list[tuple[int, str]]:
    """Return the interval of BFD and the timers of BGP of each link of a cell, sorted."""
    own = dict(re.findall(r"neighbor (\S+) timers (\d+ \d+)", vtysh(cell, "show running-config")))
    return sorted(
        (each["transmit-interval"], own.get(each["peer"], "of the UVN"))
        for each in json.loads(vtysh(cell, "show bfd peers json"))
    )


def cells(agents: Agents) -> list[Node]:
    return [agent.node for agent in agents.cells.values()]


def assert_unharmed(what: str, flows: Iterable[PingFlow]) -> None:
    found = list(flows)
    lost, sent = sum(flow.lost for flow in found), sum(flow.sent for flow in found)
    note(f"{what}: {lost} of {sent} packets lost")
    # A machine that has too much to do loses some by itself; benchmarks/hitless.py counts.
    assert lost <= sent / 2000
