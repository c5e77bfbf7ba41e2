"""What `uno explain` concludes agrees with the links of the plan that are left."""

from __future__ import annotations

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import strategies
from uno.diagnosis.explained_path import HopState
from uno.diagnosis.explanation import Sight, explain
from uno.diagnosis.network_map import NamedPlace, NetworkMap, PlaceKind, map_of_plan
from uno.model.plan import Plan
from uno.model.status import CellStatus, CellView, LanState, LinkState, PathState, UvnView
from uno.model.uvn import Uvn
from uno.planning.planner import plan


def graph(planned: Plan, cut: frozenset[tuple[int, int]]) -> nx.Graph:
    made = nx.Graph()
    made.add_nodes_from(cell.member.id for cell in planned.cells)
    made.add_edges_from(link.cells for link in planned.links if link.cells not in cut)
    return made


def seen(planned: Plan, cut: frozenset[tuple[int, int]], *, one_end: bool) -> UvnView:
    """The statuses of all cells where links are cut; with `one_end` only the lower end shows it."""
    left = graph(planned, cut)
    members = {cell.member.id: cell.member for cell in planned.cells}

    def works(here: int, pair: tuple[int, int]) -> bool:
        return pair not in cut or (one_end and here == max(pair))

    def status(here: int) -> CellStatus:
        reached = nx.node_connected_component(left, here)
        others = [each for each in members.values() if each.id != here]
        return CellStatus(
            generation=1,
            lans=tuple(LanState(network=lan, interface="lan0") for lan in members[here].lans),
            links=tuple(
                LinkState(
                    interface=f"uwg-b{number}",
                    cell=other,
                    handshake=20 if works(here, link.cells) else 900,
                    bgp="Established" if works(here, link.cells) else "Active",
                    bfd="up" if works(here, link.cells) else "down",
                    received=1,
                )
                for number, link in enumerate(planned.links)
                for other in link.cells
                if here in link.cells and other != here
            ),
            paths=tuple(
                PathState(cell=it.id, rtt=1.0 if it.id in reached else None) for it in others
            ),
            reachable=tuple(lan for it in others if it.id in reached for lan in it.lans),
            unreachable=tuple(lan for it in others if it.id not in reached for lan in it.lans),
        )

    return UvnView(
        uvn=planned.uvn,
        viewer=0,
        generation=1,
        cells=tuple(
            CellView(id=it.id, name=it.name, package=1, status=status(it.id), age=1, alive=True)
            for it in members.values()
        ),
    )


def places(planned: Plan) -> list[NamedPlace]:
    return [
        place
        for cell in planned.cells
        for place in (
            NamedPlace(kind=PlaceKind.CELL, name=cell.member.name, cell=cell.member.id),
            *(
                NamedPlace(kind=PlaceKind.LAN, name=str(lan), cell=cell.member.id, lan=lan)
                for lan in cell.member.lans
            ),
        )
    ]


@pytest.mark.feature("G42")
@settings(max_examples=60, deadline=None)
@given(uvn=strategies.uvns(max_cells=7), data=st.data(), one_end=st.booleans())
def test_a_path_is_explained_as_the_links_that_are_left_have_it(
    *, uvn: Uvn, data: st.DataObject, one_end: bool
) -> None:
    planned = plan(uvn, None)
    known: NetworkMap = map_of_plan(planned, uvn)
    pairs = [link.cells for link in planned.links]
    cut = frozenset(data.draw(st.sets(st.sampled_from(pairs)))) if pairs else frozenset()
    ends = places(planned)
    a, b = data.draw(st.sampled_from(ends)), data.draw(st.sampled_from(ends))
    assert a.cell is not None
    assert b.cell is not None
    same_family = len({a.version, b.version} - {None}) < 2
    left = graph(planned, cut)
    joined = nx.has_path(left, a.cell, b.cell)

    found = explain(known, Sight(view=seen(planned, cut, one_end=one_end)), a, b)

    assert found.reaches is (joined and same_family)
    for one, start, end in ((found.forth, a.cell, b.cell), (found.back, b.cell, a.cell)):
        assert (one.cause is None) == (joined and same_family)
        if joined:
            assert len(one.used) == nx.shortest_path_length(left, start, end) + 1
        assert bool(one.planned) == nx.has_path(graph(planned, frozenset()), start, end)
        if one.cause and same_family and one.planned:
            # The first link of the path that is down is the cause, and it is one that was cut.
            down = next(hop for hop in one.hops if hop.state is HopState.DOWN)
            ids = {it.name: it.id for it in known.members}
            pair = ids[down.source], ids[down.target]
            assert (min(pair), max(pair)) in cut
            assert down.source in one.cause.what or down.target in one.cause.what
