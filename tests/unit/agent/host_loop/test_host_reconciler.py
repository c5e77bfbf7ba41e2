"""What a cell does about links that do not work."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

import pytest
from msgspec.structs import replace

from transitions import CROSSED, Clock, package_of, planned, uvn
from uno.agent.host_loop.handshake_retry import EXPIRED, LONGEST_PAUSE, OTHER_ADDRESS, RETRY_AFTER
from uno.agent.host_loop.host_reconciler import HostReconciler
from uno.agent.host_loop.stale_routes import DEAD_AFTER
from uno.host.fake.fake_host import FakeHost
from uno.model.status import LinkState


@pytest.mark.feature("G13")
@pytest.mark.parametrize("answers", [True, False])
def test_a_link_that_has_answered_since_the_observation_gets_no_new_handshake(
    tmp_path: Path, *, answers: bool
) -> None:
    host, clock, package = FakeHost(), Clock(), package_of(CROSSED)
    reconciler = HostReconciler(host, tmp_path, wall=clock.now, now=clock.now)
    reconciler.reconcile(package)
    link = package.plan.links[0]
    silent = [LinkState(interface=link.interface, cell=link.cell, bfd="down")]
    reconciler.maintain_links(package, silent)
    clock.pause(RETRY_AFTER)

    if answers:
        host.handshakes = {link.public_key: 1}
    reconciler.maintain_links(package, silent)

    assert [name for name, _ in host.handshakes_initiated] == ([] if answers else [link.interface])


@pytest.mark.feature("G51")
def test_a_silent_link_whose_name_has_several_addresses_is_called_at_the_next_soon(
    tmp_path: Path,
) -> None:
    host, clock, package = FakeHost(), Clock(), package_of(CROSSED)
    reconciler = HostReconciler(host, tmp_path, wall=clock.now, now=clock.now)
    reconciler.reconcile(package)
    link = package.plan.links[0]
    host.alternatives = {link.endpoint or "": 1}
    silent = [LinkState(interface=link.interface, cell=link.cell, bfd="down", handshake=5)]
    called = []

    for second in range(60):
        before = len(host.handshakes_initiated)
        reconciler.maintain_links(package, silent)
        called += [second] * (len(host.handshakes_initiated) - before)
        clock.pause(1)

    assert called == [RETRY_AFTER + n * OTHER_ADDRESS for n in range(4)]


@pytest.mark.feature("G51")
@pytest.mark.parametrize(("alternatives", "pause"), [(0, EXPIRED), (1, LONGEST_PAUSE)])
def test_the_registry_is_resolved_again_sooner_where_its_name_has_several_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alternatives: int, pause: float
) -> None:
    first, *others = uvn().cells
    private = replace(first, address=None, allowed_lans=(IPv4Network("192.168.1.0/24"),))
    made = planned(replace(uvn(), address="r.example.org", cells=(private, *others)))
    host, clock, package = FakeHost(), Clock(), package_of(made)
    assert package.plan.root is not None
    reconciler = HostReconciler(host, tmp_path, wall=clock.now, now=clock.now)
    reconciler.reconcile(package)
    endpoint = package.plan.root.endpoint or ""
    host.alternatives = {endpoint: alternatives} if alternatives else {}
    resolved: list[float] = []
    monkeypatch.setattr(
        host, "refresh_endpoint", lambda *_: bool(resolved.append(clock.now() - 1000.0))
    )

    for _ in range(400):
        reconciler.find_registry(package.plan.root.interface)
        clock.pause(1)

    assert resolved[:3] == [0.0, pause, 2 * pause]


@pytest.mark.feature("G12")
def test_routes_that_are_kept_through_a_dead_link_are_dropped(tmp_path: Path) -> None:
    host, clock, package = FakeHost(), Clock(), package_of(CROSSED)
    reconciler = HostReconciler(host, tmp_path, wall=clock.now, now=clock.now)
    reconciler.reconcile(package)
    link, other = package.plan.links[:2]
    dead = [LinkState(interface=link.interface, cell=link.cell, bfd="down", bgp="Active")]
    host.interfaces_with_routes = {other.interface}

    reconciler.maintain_links(package, dead)
    clock.pause(DEAD_AFTER)
    reconciler.maintain_links(package, dead)
    assert host.dropped == []
    host.interfaces_with_routes = {link.interface, other.interface}
    for _ in range(2):
        reconciler.maintain_links(package, dead)

    assert host.dropped == [str(link.remote4)]


@pytest.mark.feature("G22")
def test_a_neighbour_over_its_limit_of_prefixes_is_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    host, clock, package = FakeHost(), Clock(), package_of(CROSSED)
    reconciler = HostReconciler(host, tmp_path, wall=clock.now, now=clock.now)
    link = package.plan.links[0]
    host.over_limit = (str(link.remote4), "192.0.2.1")

    for _ in range(2):
        reconciler.end_sessions_over_limit(package)

    name = package.roster.member(link.cell).name
    (line,) = (each for each in caplog.messages if "more prefixes" in each)
    assert line.startswith(f"{name} advertises more prefixes than the UVN has; ended")
    assert line.endswith(f"on {link.interface} for a minute")


@pytest.mark.feature("G12")
def test_routes_of_a_metered_link_are_left_to_the_restart_time_of_bgp(tmp_path: Path) -> None:
    host, clock, package = FakeHost(), Clock(), package_of(CROSSED)
    metered = replace(package.roster, timing=replace(package.roster.timing, metered=True))
    package = replace(package, roster=metered)
    reconciler = HostReconciler(host, tmp_path, wall=clock.now, now=clock.now)
    reconciler.reconcile(package)
    link = package.plan.links[0]
    dead = [LinkState(interface=link.interface, cell=link.cell, bfd="down", bgp="Active")]
    host.interfaces_with_routes = {link.interface}

    for _ in range(2):
        reconciler.maintain_links(package, dead)
        clock.pause(DEAD_AFTER)

    assert host.dropped == []
