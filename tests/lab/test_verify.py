"""What `uno verify` predicts of a failure, against uno's FRR, of UVNs side by side in one world."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import zip_longest

import pytest
from msgspec.structs import replace
from routed_cells import RoutedUvn, Traffic, set_wires, side_by_side
from seeded_uvns import drawn, hand_made, ring_of_five
from watching import await_true, note

from documented import counts
from uno.lab.ping_matrix import PingMatrix, PingPath
from uno.model.plan import Link, Plan
from uno.planning.planner import plan
from uno.planning.survivability.failures import (
    FailureImpact,
    FailureKind,
    Group,
    failure_impacts,
    sites,
)
from uno.planning.topology.graph import Pair
from uno.render.guide import guide
from uno.render.handout import markdown

pytestmark = [
    pytest.mark.lab,
    # FRR's watchdogs are children of this process, which outlives none of them.
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),
]

# UVNs drawn from seeds; what the documentation counts is with so many.
DOCUMENTED = 20
SEEDED = int(os.environ.get("UNO_VERIFY_UVNS", DOCUMENTED))
# Seconds for BGP to settle, also on a machine that does much else.
SETTLED = 90.0
# Seconds in which what is lost must not be answered, once all the rest is.
SILENT = 0.5


@dataclass(frozen=True, kw_only=True)
class Failure:
    """One failure, or none, of a UVN that may lack links."""

    kind: FailureKind = FailureKind.NOTHING
    failed: Group = ()
    # Links that never came up.
    lacking: frozenset[Pair] = frozenset()

    @property
    def dead(self) -> frozenset[int]:
        """The cells that it takes with it."""
        return frozenset() if self.kind is FailureKind.LINK else frozenset(self.failed)

    def takes(self, link: Link) -> bool:
        """Whether a link loses everything."""
        return (
            link.cells in self.lacking
            or link.cells == self.failed
            or not self.dead.isdisjoint(link.cells)
        )


@dataclass(kw_only=True)
class Tally:
    """What was compared so far, and what differs."""

    failures: int = 0
    pairs: int = 0
    rounds: list[float] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def uvns() -> Iterator[tuple[RoutedUvn, ...]]:
    """The hand-made UVNs, those drawn from seeds, and a ring of five as the last; all is routed."""
    made = [*hand_made().values(), *(drawn(seed) for seed in range(SEEDED)), ring_of_five()]
    with side_by_side([plan(uvn, None) for uvn in made]) as running:
        tally = Tally()
        compare([(uvn, Failure()) for uvn in running], tally)
        assert tally.differences == []
        yield running


@pytest.fixture(scope="module")
def outage(uvns: tuple[RoutedUvn, ...]) -> Iterator[Future[float]]:
    """How long the ring's first cell goes on sending to its second, which is dead.

    Its routing has died a moment before its links. It is measured beside other tests.
    """
    ring = uvns[-1]
    first, (path,) = (
        ring.frr(1),
        [
            each.path
            for each in ring.traffic()
            if (each.source, each.target) == (1, 3) and each.from_lan
        ],
    )
    for name in ("watchfrr", "bgpd"):
        ring.kill(2, name)
    await_true(
        lambda: any(each.state != "Established" for each in first.sessions()),
        "the session has ended",
    )
    fail(ring, Failure(kind=FailureKind.CELL, failed=(2,)))
    began = time.monotonic()
    with ThreadPoolExecutor(1) as pool, PingMatrix([path]) as prober:
        yield pool.submit(lambda: prober.reach(within=SETTLED).last - began)


@pytest.mark.feature("G03")
@pytest.mark.feature("G60")
@pytest.mark.usefixtures("outage")
def test_each_failure_costs_what_verify_predicts(uvns: tuple[RoutedUvn, ...]) -> None:
    began, compared, tally = time.monotonic(), uvns[:-1], Tally()

    for at_once in zip_longest(*map(failures, compared)):
        compare(list(zip(compared, at_once, strict=True)), tally)

    note(
        f"{len(compared)} UVNs, {tally.failures} failures, {tally.pairs} pairs, "
        f"{len(tally.differences)} disagreements, {time.monotonic() - began:.1f} s in rounds of "
        + ", ".join(f"{seconds:.1f}" for seconds in tally.rounds)
    )
    assert tally.differences == []
    if SEEDED == DOCUMENTED:
        found = [len(compared), tally.failures, tally.pairs]
        assert [*counts("tests/lab/test_verify.py").values()] == found


@pytest.mark.feature("G60")
@pytest.mark.usefixtures("outage")
def test_without_nat_loopback_what_is_lost_is_what_verify_predicts(
    uvns: tuple[RoutedUvn, ...],
) -> None:
    """The links that the guides name do not come up, and traffic takes others, or there are none.

    The two uplinks of a private cell go to two addresses, so that a site takes one alone with it.
    """
    states = [(uvn, Failure(lacking=named)) for uvn in uvns if (named := within_sites(uvn.plan))]
    tally = Tally()

    compare(states, tally)

    assert states[0][0] is uvns[0], "it has two cells at one address"
    assert failure_impacts(uvns[0].plan) == (), "its private cell has uplinks to two addresses"
    assert tally.differences == []
    note(f"{len(states)} UVNs, {tally.pairs} pairs without the links within a site")


def within_sites(made: Plan) -> frozenset[Pair]:
    """The links between cells at one address, as the guides of both ends name them."""
    ids = {cell.member.name: cell.member.id for cell in made.cells}
    named = {
        (ids[name], ids[other])
        for name in ids
        for found in re.findall(
            r"This is also the public address of (.*?)\. Between",
            markdown(guide(made, name, fingerprint="", bus_ports=())),
        )
        for other in re.findall(r"`(.*?)`", found)
    }
    assert named == {(other, one) for one, other in named}
    return frozenset((one, other) for one, other in named if one < other)


@pytest.mark.feature("G12")
def test_without_agents_a_cell_whose_routing_dies_before_its_links_is_avoided_soon(
    outage: Future[float],
) -> None:
    seconds = outage.result()

    note(f"sent to a dead cell for {seconds:.1f} s")
    # It was two minutes; the restart time is a quarter of this.
    assert seconds < 60


def failures(uvn: RoutedUvn) -> Iterator[Failure]:
    """Yield every single failure of a link, a cell and a site."""
    for link in uvn.plan.links:
        yield Failure(kind=FailureKind.LINK, failed=link.cells)
    for cell in uvn.plan.cells:
        yield Failure(kind=FailureKind.CELL, failed=(cell.member.id,))
    for site in sites(cell.member for cell in uvn.plan.cells):
        yield Failure(kind=FailureKind.SITE, failed=site)


def compare(states: Sequence[tuple[RoutedUvn, Failure | None]], tally: Tally) -> None:
    """Make one failure in each UVN, or none more, and compare who reaches whom."""
    began = time.monotonic()
    set_wires(
        states[0][0].world,
        (command for uvn, failure in states for command in wires(uvn, failure or Failure())),
    )
    kept: dict[PingPath, str] = {}
    lost: dict[PingPath, str] = {}
    for uvn, failure in states:
        if failure is not None:
            tally.failures += 1
            gone = predicted_lost(uvn, failure)
            for each in alive(uvn, failure):
                what = f"UVN {uvn.number}, {failure.kind} {failure.failed}: {each.path}"
                (lost if each in gone else kept)[each.path] = what
    reached = frozenset(kept) - frozenset(unanswered(kept, within=SETTLED))
    leaked = frozenset(lost) - frozenset(unanswered(lost, within=SILENT))
    reached -= frozenset(unanswered(reached, within=SETTLED))
    tally.pairs += len(kept) + len(lost)
    tally.rounds.append(time.monotonic() - began)
    tally.differences += [f"not reached: {kept[each]}" for each in kept.keys() - reached]
    tally.differences += [f"reached: {lost[each]}" for each in leaked]


def fail(uvn: RoutedUvn, failure: Failure) -> None:
    """Make a failure in one UVN."""
    set_wires(uvn.world, wires(uvn, failure))


def wires(uvn: RoutedUvn, failure: Failure) -> Iterator[str]:
    """Yield the commands that make one failure, and no other."""
    for link in uvn.plan.links:
        yield uvn.wire(link, up=not failure.takes(link))


def unanswered(paths: Iterable[PingPath], *, within: float) -> tuple[PingPath, ...]:
    with PingMatrix(paths) as prober:
        return prober.reach(within=within).missing


def alive(uvn: RoutedUvn, failure: Failure) -> list[Traffic]:
    """The traffic between cells that have not failed."""
    return [each for each in uvn.traffic() if not failure.dead & {each.source, each.target}]


def predicted_lost(uvn: RoutedUvn, failure: Failure) -> list[Traffic]:
    """The traffic that a failure costs, and what is lost without one, as `uno verify` has it."""
    links = tuple(link for link in uvn.plan.links if link.cells not in failure.lacking)
    left = replace(uvn.plan, links=links)
    impacts = {(each.kind, each.failed): each for each in failure_impacts(left)}
    apart = groups(impacts.get((FailureKind.NOTHING, ())))
    impact = impacts.get((failure.kind, failure.failed))
    parted = groups(impact)
    before = [t for t in alive(uvn, failure) if apart.get(t.source) != apart.get(t.target)]
    now = [t for t in alive(uvn, failure) if parted.get(t.source) != parted.get(t.target)]
    if failure.kind is not FailureKind.NOTHING:
        now = [each for each in now if each not in before]
    counted = sum(each.from_lan for each in now) // 2, sum(not each.from_lan for each in now)
    assert counted == ((impact.lan_pairs, impact.particle_paths) if impact else (0, 0))
    return [*before, *now]


def groups(impact: FailureImpact | None) -> dict[int, int]:
    """The number of the group that each cell is in, if it is cut off."""
    cut_off = impact.cut_off if impact else ()
    return {cell: number for number, group in enumerate(cut_off) for cell in group}
