"""Descriptions of agents that are not settled."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

from msgspec.structs import replace

from uno.lab.agents import Agent, describe, is_settled
from uno.lab.node import Node
from uno.lab.world_layout import Role, Station
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
