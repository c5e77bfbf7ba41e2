"""`uno sync`: without an agent at the registry, twice at once, killed, and with cells away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from watching import await_true

from uno.lab import deploy
from uno.lab.agents import Agents

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]


@pytest.fixture
def well(living: Agents) -> Iterator[Agents]:
    """All agents, at rest; and again after the test."""
    living.start()
    living.await_settled()
    yield living
    living.start()
    living.await_settled(within=120)


def change(agents: Agents, *arguments: str) -> None:
    deploy.uno(agents.registry.node, *arguments, "-q", "-r", str(agents.deployment.registry_root))


def is_in(agents: Agents, phase: str) -> bool:
    """Whether a cell has answered that it is in a phase of a change."""
    view = agents.registry.view_or_none()
    cells = view.cells if view else ()
    return any(cell.ack is not None and cell.ack.phase == phase for cell in cells)


def slower_or_faster(agents: Agents) -> None:
    """Change something for every cell that keeps every link."""
    root = str(agents.deployment.registry_root)
    shown = deploy.uno(agents.registry.node, "config", "uvn", "-J", "-r", root).stdout
    profile = "default" if '"fast"' in shown else "fast"
    change(agents, "config", "uvn", "-U", "--timing-profile", profile)


@pytest.mark.feature("F091")
@pytest.mark.feature("F092")
def test_without_an_agent_it_is_the_agent_until_all_cells_are_there(well: Agents) -> None:
    registry = well.registry
    registry.stop()
    slower_or_faster(well)

    done = well.sync("-t", "60", "-J")

    result = json.loads(done.stdout)
    assert result["done"]
    assert result["consistent"]
    assert result["missing"] == []
    # The private cell has pulled by itself; the registry cannot reach it.
    assert {cell["name"] for cell in result["cells"]} == set(well.cells)
    assert "uwg-v1" not in registry.node.run(["ip", "-o", "link"]).stdout


def test_of_two_at_once_one_follows_the_other(well: Agents) -> None:
    well.registry.stop()
    slower_or_faster(well)

    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(well.sync, "-t", "90") for _ in range(2)]
        output = [each.result().stdout for each in both]

    assert all("and reach every LAN" in each for each in output)


@pytest.mark.parametrize("phase", ["staged", "applied"])
def test_a_registry_that_is_killed_in_the_middle_goes_on(well: Agents, phase: str) -> None:
    slower_or_faster(well)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(well.sync, "-t", "90")
        await_true(lambda: is_in(well, phase) or running.done(), phase, within=30)
        well.registry.kill()
        # It goes on as the agent itself.
        done = running.result()

    assert done.status == 0
    assert "and reach every LAN" in done.stdout


@pytest.mark.feature("F051")
def test_cells_that_were_away_when_the_root_vpn_got_new_keys_catch_up(well: Agents) -> None:
    # One of them gets the new keys from its neighbours, the other from the registry alone.
    _, lonely = away = ("lan-b", "lan-d")
    world = well.deployment.world
    for name in away:
        well.cells[name].kill()
    for name in well.cells.keys() - {lonely}:
        world.cut(lonely, name)
    try:
        change(well, "rekey", "uvn", "-R")
        without = well.sync("-C", "-t", "30", check=False)
        for name in away:
            well.cells[name].start()
        with_them = well.sync("-C", "-t", "120")
    finally:
        world.restore_all()

    assert without.status == 1
    assert all(name in without.stdout for name in away)
    assert with_them.status == 0
