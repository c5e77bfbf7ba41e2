"""A UVN whose agents use another middleware than the default: they work as on the default one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import causes
import pytest

from uno.lab import rehearsal
from uno.lab.agents import Agents
from uno.lab.deploy import uno
from uno.model.uvn import Middleware, Settings, Uvn
from uno.statesync.timers import MAX_AGE

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900), pytest.mark.feature("G58")]

DEFAULT = Settings().middleware
OTHER = Middleware.TCP


@pytest.fixture(scope="module")
def four_sites_spec(example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("other") / "uvn.yml"
    path.write_text(f"{example.read_text()}settings: {{middleware: {OTHER}}}\n")
    return path


@pytest.fixture(scope="module")
def four_sites(four_sites_spec: Path) -> Uvn:
    return rehearsal.definition(four_sites_spec)


@pytest.fixture
def well(living: Agents) -> Iterator[Agents]:
    """All agents, at rest; and again after the test."""
    living.start()
    living.await_settled(within=120)
    yield living
    living.deployment.world.restore_all()
    living.start()
    living.await_settled(within=120)


def configure(agents: Agents, *arguments: str) -> None:
    root = str(agents.deployment.registry_root)
    uno(agents.registry.node, "config", "uvn", "-U", *arguments, "-q", "-r", root)


@pytest.mark.feature("G42")
def test_doctor_finds_nothing_wrong_with_the_other_middleware(well: Agents) -> None:
    causes.await_nothing_wrong(well.all)


def test_a_change_reaches_all_cells_also_those_that_the_registry_does_not(well: Agents) -> None:
    """The registry's tunnel with one of them is cut: its neighbours relay."""
    well.deployment.world.cut("registry", "lan-c")
    configure(well, "--timing-profile", "fast")

    result = json.loads(well.sync("-t", "150", "-J", timeout=200).stdout)

    assert result["consistent"]
    assert {cell["name"] for cell in result["cells"]} == set(well.cells)


def test_a_registry_that_is_killed_is_missed_at_once_and_comes_back(well: Agents) -> None:
    well.registry.kill()

    took = well.await_views(lambda view: not view.registry, agents=well.cells.values(), within=60)

    # No message has to be too old for it: its connections have ended.
    assert took < MAX_AGE
    well.cells["lan-b"].kill()
    well.start()
    well.await_settled(within=120)


@pytest.mark.feature("F099")
@pytest.mark.feature("G56")
def test_the_middleware_changes_on_trial_while_agents_run(well: Agents) -> None:
    for chosen in (DEFAULT, OTHER):
        configure(well, "--middleware", chosen.value)

        result = json.loads(well.sync("-t", "120", "-J", timeout=200).stdout)

        assert result["consistent"]
        assert {cell["name"] for cell in result["cells"]} == set(well.cells)
