"""What a cell does about links that do not work."""

from __future__ import annotations

from pathlib import Path

import pytest

from transitions import CROSSED, Clock, package_of
from uno.agent.host_loop.handshake_retry import RETRY_AFTER
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
