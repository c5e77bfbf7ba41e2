"""From any plan to any later one: what every cell goes through on its way holds what it must."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from itertools import combinations, groupby, pairwise

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from frr_model import FrrModel, let_through, owned
from strategies import uvns
from uno.agent.commit.drain_plan import (
    DrainSchedule,
    deferred,
    drain_steps,
    link_name,
    with_deferred,
)
from uno.agent.commit.drain_runner import switch
from uno.diagnostics import UnoError
from uno.host.fake.fake_host import FakeHost
from uno.host.routing_frr import frr_diff
from uno.host.routing_frr.frr_diff import Unknown
from uno.model.attached_lan import AttachedLan
from uno.model.package import Manifest, Package
from uno.model.plan import BackbonePeer, CellSet, Plan, asn_of
from uno.model.routing_policy import Drain, routing_policy
from uno.planning.cell_plans import cell_plans, roster
from uno.planning.planner import plan, required_keys, with_keys
from uno.ports.host import Desired, Facts
from uno.reconcile.desired import desired
from uno.render import frr

Pair = tuple[Package, Package]

slow = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def pairs(draw: st.DrawFn) -> Pair:
    """Draw the packages of a cell in two generations, one planned after the other."""
    first = draw(uvns(max_cells=6))
    second = replace(draw(uvns(max_cells=6)), identity=first.identity)
    if draw(st.booleans()):
        # Only how cells are linked, so that most is kept.
        second = replace(first, settings=second.settings)
        deployment = second.settings.deployment
        assume(deployment.strategy != "static" or deployment == first.settings.deployment)
    before = keyed(plan(first, None), "1")
    after = keyed(plan(second, before), draw(st.sampled_from(["1", "2"])))
    both = {cell.member.id for cell in before.cells} & {cell.member.id for cell in after.cells}
    assume(both)
    cell = draw(st.sampled_from(sorted(both)))
    return package_of(before, cell), package_of(after, cell)


@slow
@given(pair=pairs(), data=st.data())
def test_frr_gets_from_one_configuration_to_the_other_and_its_filters_are_never_wider_or_narrower(
    pair: Pair, data: st.DataObject
) -> None:
    old, new = pair
    drained = data.draw(drains(old)), data.draw(drains(new))
    before, after = texts(old, drained[0]), texts(new, drained[1])
    try:
        steps = frr_diff.steps(before, after)
    except Unknown:
        assert dict(before)["zebra"] != dict(after)["zebra"]
        return

    found = {daemon: FrrModel(text) for daemon, text in before}
    links = tuple(
        link
        for link in new.plan.links
        if (link.interface, link.cell) in interfaces(old)
        and all(each.get(link.interface) is not Drain.CLOSED for each in drained)
    )
    members = {member.id: member for member in (*old.roster.members, *new.roster.members)}
    ask = tuple(members.values())
    paths = data.draw(as_paths(links, old, new))
    wanted = {daemon: FrrModel(text).config for daemon, text in after}
    ends = (found["bgpd"].config, wanted["bgpd"])
    owned_before, owned_after = owned(ends[0], ask), owned(ends[1], ask)
    before_and_after = [let_through(each, links, paths) for each in ends]
    either = union(old, new)
    blended = FrrModel(dict(texts(either, {}))["bgpd"]).config
    widest = let_through(blended, links, paths)
    for step in steps:
        found[step.daemon].do(step.commands)
        if step.daemon == "bgpd":
            now = found["bgpd"].config
            assert owned_before & owned_after <= owned(now, ask) <= owned_before | owned_after, step
            through = let_through(now, links, paths)
            assert before_and_after[0] & before_and_after[1] <= through <= widest, step

    assert {daemon: model.config for daemon, model in found.items()} == wanted
    assert all(len(" ".join(step.commands)) < 2048 for step in steps)


@pytest.mark.feature("G07")
@slow
@given(pair=pairs())
def test_links_that_stay_stay_throughout_and_no_two_want_the_same(pair: Pair) -> None:
    old, new = pair
    way = drain_steps(old, new, DrainSchedule())

    assert way[-1].package == new
    assert not way[-1].drained
    kept = {
        link.cell: link
        for link in old.plan.links
        if any(alike(link, each) for each in new.plan.links if each.cell == link.cell)
        and all(old.secrets[key] == new.secrets.get(key) for key in (link.key, link.psk))
    }
    members = {member.id for member in new.roster.members}
    for stage in way:
        links = {link.cell: link for link in stage.package.plan.links}
        assert all(alike(links[cell], link) for cell, link in kept.items())
        assert set(links) <= members
        assert kept.keys().isdisjoint(
            cell for cell, link in links.items() if link.interface in stage.drained
        )
        for one, other in combinations(links.values(), 2):
            assert one.interface != other.interface
            assert one.port is None or one.port != other.port
            assert one.local4 != other.local4
        assert {key for link in links.values() for key in (link.key, link.psk)} <= set(
            stage.package.secrets
        )


@pytest.mark.feature("G07")
@pytest.mark.feature("G22")
@slow
@given(pair=pairs())
def test_paths_of_both_plans_are_accepted_until_the_change_is_complete(pair: Pair) -> None:
    old, new = pair
    either = {*old.roster.links, *new.roster.links}
    if not (old.roster.links and new.roster.links):
        either = set()

    *way, last = drain_steps(old, new, DrainSchedule())

    assert all(set(stage.package.roster.links) == either for stage in way)
    assert last.package.roster.links == new.roster.links
    assert way or either <= set(new.roster.links)


@pytest.mark.feature("G07")
@slow
@given(pair=pairs())
def test_a_link_is_left_before_it_goes_unless_its_neighbour_is_out(pair: Pair) -> None:
    old, new = pair
    members = {member.id for member in new.roster.members}
    left: dict[str, list[Drain]] = {}
    way = drain_steps(old, new, DrainSchedule())
    for stage, later in pairwise(way):
        for interface, drain in stage.drained.items():
            left.setdefault(interface, []).append(drain)
        there = {link.cell: link for link in stage.package.plan.links}
        then = {link.cell: link for link in later.package.plan.links}
        for cell, link in there.items():
            if cell not in then or not alike(link, then[cell]):
                ways = [Drain.TAGGED, Drain.AVOIDED, *([] if cell in then else [Drain.CLOSED])]
                assert left[link.interface][-len(ways) :] == ways
                assert link.interface in (later if cell in then else stage).wait_drained
    gone = {link.cell for link in old.plan.links} - members
    assert gone.isdisjoint(link.cell for link in way[0].package.plan.links)


@pytest.mark.feature("G07")
@slow
@given(pair=pairs(), hold=st.booleans())
def test_a_switched_host_equals_the_new_package_and_a_second_switch_does_nothing(
    pair: Pair, *, hold: bool
) -> None:
    old, new = pair
    host, clock = FakeHost(), Clock()
    names = tuple(link_name(old.plan, link) for link in old.plan.links) if hold else ()
    switch(host, old=None, new=old, pause=clock.pause, now=clock.now)

    schedule = DrainSchedule(hold=names)
    switch(host, old=old, new=new, schedule=schedule, pause=clock.pause, now=clock.now)

    target = with_deferred(new, deferred(old, names))
    assert_is(host, target)
    assert switch(host, old=target, new=target, pause=clock.pause, now=clock.now) == ()
    if hold:
        assert {link.cell for link in target.plan.links} == {link.cell for link in new.plan.links}


@pytest.mark.feature("G07")
@slow
@given(pair=pairs(), at=st.integers(1, 40), halfway=st.booleans())
def test_a_switch_that_fails_anywhere_leaves_the_host_equal_to_the_old_package(
    pair: Pair, at: int, *, halfway: bool
) -> None:
    old, new = pair
    host, clock = FakeHost(), Clock()
    switch(host, old=None, new=old, pause=clock.pause, now=clock.now)
    host.fail_at(at, halfway=halfway)

    try:
        switch(host, old=old, new=new, pause=clock.pause, now=clock.now)
    except UnoError:
        assert_is(host, old)
    else:
        assert_is(host, new)


class Clock:
    """Time that passes when a caller pauses."""

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time

    def pause(self, seconds: float) -> None:
        assert seconds > 0
        self.time += seconds


def keyed(made: Plan, generation: str) -> Plan:
    pairs = required_keys(made).pairs
    kept = made.public_keys if generation == "1" else {}
    return with_keys(
        made, {id_: kept.get(id_) or key(f"public {generation} {id_}") for id_ in pairs}
    )


def package_of(made: Plan, cell: int) -> Package:
    own = cell_plans(made)[cell]
    needed = required_keys(made)
    # A private key belongs to its public one.
    secrets = {id_: key(f"private of {made.public_keys[id_]}") for id_ in needed.pairs}
    return Package(
        manifest=Manifest(
            format=1,
            uvn=made.uvn,
            identity=made.identity,
            cell=cell,
            cell_name=own.name,
            generation=1,
            registry_key="",
            digests={},
        ),
        roster=roster(made),
        plan=own,
        secrets=secrets | {id_: key(id_) for id_ in needed.psks},
    )


def key(text: str) -> str:
    octets = bytearray(sha256(text.encode()).digest())
    octets[0] &= 248
    octets[31] = octets[31] & 127 | 64
    return b64encode(octets).decode()


def drains(of: Package) -> st.SearchStrategy[dict[str, Drain]]:
    interfaces = [link.interface for link in of.plan.links]
    if not interfaces:
        return st.just({})
    return st.dictionaries(st.sampled_from(interfaces), st.sampled_from(Drain))


@st.composite
def as_paths(
    draw: st.DrawFn, links: tuple[BackbonePeer, ...], old: Package, new: Package
) -> list[str]:
    """Draw walks from the neighbours through links of either plan, or of none."""
    cells = sorted({member.id for each in (old, new) for member in each.roster.members})
    pairs = {*old.roster.links, *new.roster.links}
    near = {cell: [each for pair in pairs if cell in pair for each in pair] for cell in cells}
    paths = []
    for link in links:
        for _ in range(8):
            walk = [link.cell]
            for _ in range(draw(st.integers(0, 4))):
                walk.append(draw(st.sampled_from(near[walk[-1]] or cells)))
            paths.append(written(walk))
            paths.append(written([link.cell, draw(st.sampled_from(cells))]))
    return paths


def written(walk: list[int]) -> str:
    """Return an AS path as bgpd has it, without repetitions that follow each other."""
    return " ".join(str(asn_of(cell)) for cell, _ in groupby(walk))


def union(old: Package, new: Package) -> Package:
    """Return a package that imports what either imports, through links of either."""
    before = {link.cell: link.import_origins for link in old.plan.links}
    cells = [member.id for each in (old, new) for member in each.roster.members]
    links = tuple(
        replace(
            link,
            import_origins=CellSet(
                cells=tuple(
                    cell
                    for cell in dict.fromkeys(cells)
                    if cell in link.import_origins or cell in before.get(link.cell, ())
                )
            ),
        )
        for link in new.plan.links
    )
    both = old.roster.links and new.roster.links
    pairs = tuple(sorted({*old.roster.links, *new.roster.links})) if both else ()
    members = {member.id: member for each in (old, new) for member in each.roster.members}
    roster = replace(new.roster, links=pairs, members=tuple(members.values()))
    return replace(new, plan=replace(new.plan, links=links), roster=roster)


def texts(of: Package, drained: dict[str, Drain]) -> frr_diff.Texts:
    own = next(member for member in of.roster.members if member.id == of.plan.cell)
    lans = tuple(AttachedLan(network=lan, nic="eth1") for lan in own.lans)
    return frr.daemons(routing_policy(of.plan, of.roster, lans=lans, drained=drained))


def interfaces(of: Package) -> set[tuple[str, int]]:
    return {(link.interface, link.cell) for link in of.plan.links}


def alike(one: object, other: object) -> bool:
    fields = ("interface", "cell", "port", "local4", "remote4", "public_key", "key", "psk")
    return all(getattr(one, field) == getattr(other, field) for field in fields)


def assert_is(host: FakeHost, of: Package) -> None:
    wanted = desired(of, lans=(), facts=Facts())
    observed = host.observe(())
    there = Desired(
        firewall=observed.firewall,
        unreachable_routes=wanted.unreachable_routes,
        accept_interfaces=wanted.accept_interfaces,
        sysctls=wanted.sysctls,
        optional=wanted.optional,
        node=observed.node,
        tunnels=observed.tunnels,
        routing=observed.routing,
        underlay=observed.underlay,
    )
    assert there == wanted
    assert observed.unreachable_routes == frozenset(wanted.unreachable_routes)
