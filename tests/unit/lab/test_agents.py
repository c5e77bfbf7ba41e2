"""Descriptions of agents that are not settled."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from msgspec.structs import replace

from uno.diagnostics import UnoError
from uno.lab.agents import Agent, Agents, describe, is_settled
from uno.lab.deploy import Deployment
from uno.lab.lab_state import Lab
from uno.lab.node import Node
from uno.lab.world import World
from uno.lab.world_layout import Role, Station, WorldLayout
from uno.model.status import CellStatus, CellView, UvnView

GOOD = CellView(id=1, name="lan-a", package=3, alive=True, age=1.0, status=CellStatus(generation=3))
VIEW = UvnView(uvn="corp", viewer=0, generation=3, cells=(GOOD,), registry=True)


def test_a_view_in_which_all_is_well_is_settled() -> None:
    assert is_settled(VIEW)
    assert describe(VIEW) == "generation 3; all cells healthy"


def test_a_roll_out_is_not_rest() -> None:
    busy = replace(VIEW, rollout="staging generation 4")

    assert not is_settled(busy)
    assert describe(busy) == "generation 3, staging generation 4; all cells healthy"


def test_the_fault_of_each_cell_is_described() -> None:
    lost = replace(
        GOOD,
        id=3,
        name="lan-c",
        status=CellStatus(generation=3, unreachable=(IPv4Network("192.168.1.0/24"),)),
    )
    view = replace(
        VIEW,
        cells=(
            replace(GOOD, alive=False),
            replace(GOOD, id=2, name="lan-b", package=4),
            lost,
        ),
    )

    assert not is_settled(view)
    assert describe(view) == (
        "generation 3; lan-a without contact; lan-b runs 3, not 4;"
        " lan-c does not reach 192.168.1.0/24"
    )


def test_an_agent_that_was_never_started_neither_runs_nor_sees(tmp_path: Path) -> None:
    node = Node(station=Station(name="lan-a", role=Role.CELL), namespace="none", directory=tmp_path)
    agent = Agent(node=node, root=tmp_path / "uvn", cell=1)

    agent.kill()

    assert agent.name == "lan-a"
    assert agent.pid is None
    assert agent.ended() is None
    assert agent.view_or_none() is None
    assert agent.log_text() == ""
    assert describe(agent.view_or_none()) == "nothing: it does not answer"


class Slow(Agent):
    """An agent that serves when it is asked for the third time."""

    def __init__(self, name: str, started: list[str], served: list[str]) -> None:
        station = Station(name=name, role=Role.CELL)
        node = Node(station=station, namespace="none", directory=Path("/none"))
        super().__init__(node=node, root=Path("/none"), cell=1)
        self._started, self._served, self._asked = started, served, 0
        self.most = 0

    def start(self, *, env: Mapping[str, str] | None = None) -> None:
        del env
        self._started.append(self.name)
        self.most = len(self._started) - len(self._served)

    def view_or_none(self) -> UvnView | None:
        self._asked += 1
        if self._asked == 3:
            self._served.append(self.name)
        return VIEW if self._asked >= 3 else None

    def ended(self) -> int | None:
        return 1 if self.name == "bad" else None


@pytest.fixture
def agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Agents:
    monkeypatch.setenv("UNO_LAB_DIR", str(tmp_path))
    monkeypatch.setattr("uno.lab.agents._PAUSE", 0.0)
    world = World(
        lab=Lab(id="abcdef", layout=WorldLayout(stations=(), cables=(), names={})), nodes={}
    )
    registry = Slow("registry", [], [])
    return Agents(deployment=Deployment(world=world, uvn="corp"), registry=registry, cells={})


def test_agents_start_a_few_at_a_time(agents: Agents) -> None:
    started: list[str] = []
    served: list[str] = []
    many = [Slow(f"cell-{number}", started, served) for number in range(50)]

    agents.start(many)

    assert len(served) == 50
    assert max(each.most for each in many) == agents.deployment.pace.at_once


def test_an_agent_that_ends_is_named(agents: Agents) -> None:
    with pytest.raises(UnoError, match="the agent of bad ended: its log is empty"):
        agents.start([Slow("good", [], []), Slow("bad", [], [])])


def test_each_agent_in_turn_has_time_to_serve(agents: Agents) -> None:
    with pytest.raises(UnoError, match="the agent of cell-1 does not serve"):
        agents.start([Slow("cell-1", [], [])], within=-1)
