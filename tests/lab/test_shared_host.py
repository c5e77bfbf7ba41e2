"""The registry's agent and a cell's on one host: each works, and neither is in the other's way."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import causes
import pytest
from watching import await_true, unreached

from uno.lab.agents import Agent, Agents

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def four_sites_spec(example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four sites whose registry shares the host of lan-b."""
    text = example.read_text()
    assert "address: registry.example.net" in text
    path = tmp_path_factory.mktemp("shared") / "uvn.yml"
    path.write_text(text.replace("registry.example.net", "b.example.net"))
    return path


@pytest.mark.feature("G42")
def test_doctor_finds_nothing_wrong_where_registry_and_cell_share_a_host(living: Agents) -> None:
    causes.await_nothing_wrong(living.all)


@pytest.mark.feature("F077")
def test_a_change_reaches_every_cell_also_that_beside_the_registry(living: Agents) -> None:
    assert living.registry.node is living.cells["lan-b"].node
    before = living.registry.view().generation

    living.deployment.registry("define", "particle", "mallory", "-o", "john@example.org")
    living.sync()
    living.await_settled()

    assert {agent.view().generation for agent in living.all} == {before + 1}
    assert unreached(living.deployment) == []


def test_either_goes_and_the_other_stays(living: Agents) -> None:
    beside = living.cells["lan-b"]
    living.registry.stop()
    for agent in living.cells.values():
        await_true(partial(misses_registry, agent), agent.name, within=30)
    assert unreached(living.deployment) == []
    living.start([living.registry])
    for agent in living.cells.values():
        await_true(partial(receives_registry, agent), agent.name, within=60)
    living.await_settled()

    beside.stop()
    assert unreached(living.deployment) == []
    living.deployment.registry("delete", "particle", "mallory", "-y")
    assert living.sync("-t", "5", check=False).status == 1
    living.start([beside])
    living.await_settled()


def receives_registry(agent: Agent) -> bool:
    """Whether a cell's agent reports contact with the registry."""
    status = {cell.id: cell.status for cell in agent.view().cells}[agent.cell]
    return status is not None and status.registry


def misses_registry(agent: Agent) -> bool:
    """Whether it reports no contact."""
    return not receives_registry(agent)
