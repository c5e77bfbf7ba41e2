"""What a host without an agent does about the endpoints of its links."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network

import pytest
from msgspec import structs
from msgspec.structs import replace

import packages
from packages import HOME, REMOTE
from transitions import CROSSED, package_of
from uno.agent import service
from uno.agent.service import UnresolvedLink
from uno.host.fake.fake_host import FakeHost
from uno.model.package import Package
from uno.model.routing_policy import remote_prefixes
from uno.model.status import CellStatus, CellView, LanState, UvnView
from uno.ports.host import (
    Action,
    AddUnreachableRoutes,
    Nic,
    Observed,
    RemoveUnreachableRoutes,
    SessionStatus,
    StartRouting,
    StopRouting,
)
from uno.reconcile.collisions import Collision
from uno.reconcile.forwarding_obstacles import Obstacle
from uno.reconcile.forwarding_proof import ForwardingProof

PACKAGE = package_of(CROSSED)
PLAN = PACKAGE.plan
FIRST, SECOND, THIRD = PACKAGE.plan.links
AT_HOME = packages.package_of(HOME)
NIC = Nic(name="eth1", addresses=(IPv4Interface("192.168.2.7/24"),))
OBSTACLE = Obstacle(what="it is narrow", remedy="widen it")
NAMES = [link.endpoint or "" for link in PACKAGE.plan.links]


def connected() -> tuple[FakeHost, tuple[Action, ...]]:
    host = FakeHost()
    return host, service.up(host, PACKAGE, progress=lambda _: None)


def with_sessions(host: FakeHost, package: Package, *, down: str) -> None:
    """Have all links of a package up but the one of the interface `down`."""
    host.sessions = tuple(
        SessionStatus(neighbor=str(link.remote4), state="Established", prefixes=1, bfd="up")
        for link in package.plan.links
        if link.interface != down
    )


@pytest.mark.feature("G28")
@pytest.mark.feature("F083")
def test_down_keeps_the_unreachable_routes_and_forget_removes_them() -> None:
    host, _ = connected()
    prefixes = set(remote_prefixes(PACKAGE.own, PACKAGE.roster))
    assert service.rejected(host) == prefixes

    taken = service.down(host, forget=False, progress=lambda _: None)

    assert not any(isinstance(each, RemoveUnreachableRoutes) for each in taken)
    untouched = FakeHost().observe(())
    assert host.observe(()) == replace(untouched, unreachable_routes=frozenset(prefixes))
    assert service.down(host, forget=False, progress=lambda _: None) == ()

    taken = service.down(host, forget=True, progress=lambda _: None)

    assert [type(each) for each in taken] == [RemoveUnreachableRoutes]
    assert host.observe(()) == untouched


@pytest.mark.feature("G28")
def test_an_up_after_a_down_has_the_routes_all_the_time() -> None:
    host, first = connected()
    service.down(host, forget=False, progress=lambda _: None)

    again = service.up(host, PACKAGE, progress=lambda _: None)

    assert any(isinstance(each, AddUnreachableRoutes) for each in first)
    assert [each for each in first if not isinstance(each, AddUnreachableRoutes)] == list(again)


@pytest.mark.feature("G51")
def test_a_second_up_resolves_the_names_of_links_that_do_not_work_again() -> None:
    host, _ = connected()
    with_sessions(host, PACKAGE, down=SECOND.interface)
    host.moved = set(NAMES)

    moved = service.refresh_endpoints(host, PACKAGE, ())

    assert [tunnel.name for tunnel in moved] == [SECOND.interface]
    assert [name for name, _ in host.handshakes_initiated] == [SECOND.interface]


@pytest.mark.feature("G51")
def test_a_second_up_leaves_links_alone_whose_names_have_not_changed() -> None:
    host, _ = connected()

    assert service.refresh_endpoints(host, PACKAGE, ()) == ()
    assert host.handshakes_initiated == []


def test_the_links_that_an_up_has_just_created_are_not_resolved_again() -> None:
    host, actions = connected()
    host.moved = set(NAMES)

    assert service.refresh_endpoints(host, PACKAGE, actions) == ()
    assert host.moved == set(NAMES)


@pytest.mark.feature("G51")
def test_a_new_link_whose_name_has_several_addresses_is_called_at_each_until_one_answers() -> None:
    host, actions = connected()
    host.alternatives = {NAMES[2]: 1}

    awaited = service.created(host, actions)

    assert [tunnel.name for tunnel in awaited] == [THIRD.interface]
    assert service.retry_handshakes(host, awaited) == awaited
    host.handshakes = {THIRD.public_key: 1}
    assert service.retry_handshakes(host, awaited) == ()
    assert [name for name, _ in host.handshakes_initiated] == [THIRD.interface]


@pytest.mark.feature("G51")
def test_a_link_whose_name_cannot_be_resolved_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    host, _ = connected()
    assert service.unresolved(host, PACKAGE) == ()
    observe = host.observe

    def without_first(sysctls: tuple[str, ...]) -> Observed:
        found = observe(sysctls)
        first, *others = found.tunnels
        (peer,) = first.peers
        return replace(
            found, tunnels=(replace(first, peers=(replace(peer, endpoint=None),)), *others)
        )

    monkeypatch.setattr(host, "observe", without_first)

    assert service.unresolved(host, PACKAGE) == (
        UnresolvedLink(interface=FIRST.interface, neighbor="c2", name="c2.example.org"),
    )


@pytest.mark.feature("G52")
def test_a_host_that_is_proved_not_to_forward_is_not_healthy() -> None:
    host = FakeHost(nics=(NIC,))
    service.up(host, AT_HOME, progress=lambda _: None)
    with_sessions(host, AT_HOME, down="")
    found = service.status(host, AT_HOME)
    assert found.healthy

    assert replace(found, proof=ForwardingProof(forwards={REMOTE: True})).healthy
    assert not replace(found, proof=ForwardingProof(forwards={REMOTE: False})).healthy
    assert not replace(found, proof=ForwardingProof(narrow={"uwg-b0": OBSTACLE})).healthy
    assert replace(found, proof=ForwardingProof(unproved="no /dev/net/tun")).healthy


@pytest.mark.feature("G51")
@pytest.mark.parametrize(
    ("network", "is_healthy"),
    [("192.168.2.0/24", False), ("192.168.2.128/25", False), ("192.168.0.0/16", True)],
)
def test_a_network_of_the_hosts_own_that_takes_packets_of_the_uvn_is_not_healthy(
    network: str, *, is_healthy: bool
) -> None:
    """One that contains a LAN does not: the UVN's route is more specific."""
    host = FakeHost(nics=(NIC,))
    service.up(host, AT_HOME, progress=lambda _: None)
    with_sessions(host, AT_HOME, down="")
    found = service.status(host, AT_HOME)
    own = Collision(network=IPv4Network(network), interface="br-docker", prefix=REMOTE, cell="c2")

    assert replace(found, collisions=(own,)).healthy is is_healthy


@pytest.mark.feature("G52")
def test_where_an_agent_runs_the_proof_is_the_agents() -> None:
    known = Obstacle(what="it is known", remedy="look")
    status = CellStatus(
        generation=1,
        lans=(LanState(network=REMOTE, interface="eth1", forwards=False),),
        obstacles=(known.what, "this host loses packets"),
        unproved="no /dev/net/tun",
    )
    cell = CellView(id=HOME, name="home", status=status, alive=True)
    view = UvnView(uvn="net", viewer=HOME, generation=1, cells=(cell,))

    found = service.proof_of_agent(view, known=(known,))

    assert found.forwards == {REMOTE: False}
    assert [each.what for each in found.obstacles] == ["this host loses packets"]
    assert found.unproved == "no /dev/net/tun"
    silent = structs.replace(view, cells=())
    assert service.proof_of_agent(silent, known=()) == ForwardingProof()


@pytest.mark.feature("G52")
def test_what_is_probed_on_a_host_without_an_agent_follows_from_its_lans() -> None:
    host = FakeHost(nics=(NIC,))
    service.up(host, AT_HOME, progress=lambda _: None)
    assert service.proof_plan(host, AT_HOME).forwarded == frozenset()
    with_sessions(host, AT_HOME, down="")

    plan = service.proof_plan(host, AT_HOME)

    assert {path.lan for path in plan.paths} == {REMOTE}
    assert plan.interfaces == ("eth1",)
    assert plan.remote == {}


@pytest.mark.feature("F102")
def test_up_without_routing_starts_all_but_routing_and_a_whole_up_the_rest() -> None:
    host = FakeHost()

    first = service.up(host, PACKAGE, progress=lambda _: None, routed=False)
    without = host.observe(())
    rest = service.up(host, PACKAGE, progress=lambda _: None)

    assert len(first) > 3
    assert without.routing is None
    assert {tunnel.name for tunnel in without.tunnels} >= {link.interface for link in PLAN.links}
    assert [type(action) for action in rest] == [StartRouting]


@pytest.mark.feature("F102")
def test_up_without_routing_leaves_routing_that_runs_alone() -> None:
    host, _ = connected()

    assert service.up(host, PACKAGE, progress=lambda _: None, routed=False) == ()
    assert host.observe(()).routing is not None


@pytest.mark.feature("F102")
def test_routing_is_stopped_alone() -> None:
    host, _ = connected()
    before = host.observe(())

    stopped = service.down_routing(host, progress=lambda _: None)

    assert stopped == (StopRouting(),)
    assert replace(before, routing=None, routing_leftovers=False) == host.observe(())
    assert service.down_routing(host, progress=lambda _: None) == ()
