"""Which routes a cell accepts from each neighbour: those whose AS paths the plan has, for any plan.

The filters are evaluated as bgpd evaluates them (`frr_model`), and compared with the graph.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, pairwise

import networkx as nx
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from frr_model import ImportFilters
from strategies import uvns
from uno.host.routing_frr.frr_diff import parse
from uno.model.plan import BackbonePeer, CellPlan, Plan, Roster, asn_of
from uno.model.routing_policy import Drain, originated, routing_policy
from uno.planning.cell_plans import cell_plans, roster
from uno.planning.planner import plan
from uno.render import frr

slow = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))

# What an attacker may write instead of the AS number of a cell.
FOREIGN = ("64512", "1", "420000000", "42000000011", "4200009999", "{4200000001}", "(4200000001)")


class Receiver:
    """A cell of a plan, with the filters of its links, and the graph without itself."""

    def __init__(self, made: Plan, cell: int, drained: dict[str, Drain]) -> None:
        self.plan: CellPlan = cell_plans(made)[cell]
        self.roster: Roster = roster(made)
        self.links = [
            link for link in self.plan.links if drained.get(link.interface) is not Drain.CLOSED
        ]
        policy = routing_policy(self.plan, self.roster, lans=(), drained=drained)
        self.filters = ImportFilters(parse(dict(frr.daemons(policy))["bgpd"]))
        self.graph = graph_of(made)
        self.graph.remove_node(cell)

    def accepts(self, link: BackbonePeer, walk: list[str]) -> bool:
        """Whether each cell's prefixes are accepted with this path exactly if it is the origin."""
        text, own, other = " ".join(walk), set(), set()
        for member in self.roster.members:
            is_origin = str(asn_of(member.id)) == walk[-1]
            for prefix in originated(member) if is_origin else originated(member)[:1]:
                taken = self.filters.accepts(link.interface, prefix, text)
                (own if is_origin else other).add(taken)
        assert True not in other
        assert len(own) <= 1
        return own == {True}

    def has(self, link: BackbonePeer, walk: list[str]) -> bool:
        """Whether the plan has this path through this neighbour."""
        cells = {str(asn_of(cell)): cell for cell in self.graph}
        if not walk or not set(walk) <= cells.keys() or cells[walk[0]] != link.cell:
            return False
        steps = pairwise(cells[each] for each in walk)
        return len(walk) <= len(cells) and all(self.graph.has_edge(*step) for step in steps)


@st.composite
def receivers(draw: st.DrawFn) -> Receiver:
    made = plan(draw(uvns()), None)
    assume(made.links)
    cell = draw(st.sampled_from([cell for link in made.links for cell in link.cells]))
    interfaces = [link.interface for link in cell_plans(made)[cell].links]
    drained = st.dictionaries(st.sampled_from(interfaces), st.sampled_from(Drain))
    return Receiver(made, cell, draw(drained))


@pytest.mark.feature("G22")
@slow
@given(at=receivers(), data=st.data())
def test_no_path_is_accepted_that_the_plan_does_not_have(at: Receiver, data: st.DataObject) -> None:
    cells = [str(asn_of(member.id)) for member in at.roster.members]
    for link in at.links:
        for _ in range(10):
            walk = [str(asn_of(each)) for each in data.draw(st.sampled_from(paths(at, link)))]
            forged = data.draw(forgeries(walk, [*cells, *FOREIGN]))
            accepted = at.accepts(link, forged)
            assert at.has(link, forged) or not accepted, forged
            has_no_loop = len(set(forged)) == len(forged)
            assert accepted or not (at.has(link, forged) and has_no_loop), forged


@pytest.mark.feature("G22")
@slow
@given(at=receivers())
def test_every_path_of_the_plan_is_accepted(at: Receiver) -> None:
    """So also each that remains when links or cells fail: it is a path of the plan."""
    for link in at.links:
        for path in paths(at, link):
            walk = [str(asn_of(cell)) for cell in path]
            assert at.has(link, walk)
            assert at.accepts(link, walk), walk


@pytest.mark.feature("G03")
@pytest.mark.feature("G22")
@settings(slow, max_examples=20)
@given(uvn=uvns(max_cells=8), data=st.data())
def test_what_bgp_selects_after_a_failure_is_accepted_all_the_way(
    uvn: object, data: st.DataObject
) -> None:
    """Each cell advertises its own best path; the next one on the way accepts that."""
    made = plan(uvn, None)  # type: ignore[arg-type]
    assume(made.links)
    failed = data.draw(st.sampled_from([link.cells for link in made.links]))
    graph = graph_of(made)
    graph.remove_edge(*failed)
    receivers = {cell: Receiver(made, cell, {}) for cell in graph}
    for origin in graph:
        best = nx.single_source_shortest_path(graph, origin)
        for cell, path in best.items():
            if cell != origin:
                walk = [str(asn_of(each)) for each in reversed(path[:-1])]
                (link,) = (each for each in receivers[cell].links if each.cell == path[-2])
                assert receivers[cell].accepts(link, walk)


def paths(at: Receiver, link: BackbonePeer) -> list[list[int]]:
    """Return simple paths from a neighbour to every cell, some for each where there are many."""
    return [path for origin in at.graph for path in some_paths(at.graph, link.cell, origin)]


def some_paths(graph: nx.Graph[int], one: int, other: int) -> Iterator[list[int]]:
    if one == other:
        return iter([[one]])
    return islice(nx.all_simple_paths(graph, one, other), 5)


@st.composite
def forgeries(draw: st.DrawFn, walk: list[str], numbers: list[str]) -> list[str]:
    """Draw a path made from another: numbers left out, put in, replaced, repeated, moved."""
    made = list(walk)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(made)))
        number = draw(st.sampled_from(numbers))
        match draw(st.sampled_from(["out", "in", "instead", "twice", "turn", "ends"])):
            case "out":
                del made[place : place + 1]
            case "in":
                made.insert(place, number)
            case "instead":
                made[place : place + 1] = [number]
            case "twice":
                made[place:place] = made[place : place + 1]
            case "turn":
                made[place:] = made[place:][::-1]
            case "ends":
                made = [made[0], made[-1]] if made else made
    return made or [draw(st.sampled_from(numbers))]


def graph_of(made: Plan) -> nx.Graph[int]:
    graph: nx.Graph[int] = nx.Graph()
    graph.add_nodes_from(cell.member.id for cell in made.cells)
    graph.add_edges_from(link.cells for link in made.links)
    return graph
