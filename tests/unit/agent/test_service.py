"""What a host without an agent does about the endpoints of its links."""

from __future__ import annotations

from dataclasses import replace

import pytest

from transitions import CROSSED, package_of
from uno.agent import service
from uno.agent.service import UnresolvedLink
from uno.host.fake.fake_host import FakeHost
from uno.model.package import Package
from uno.ports.host import Action, Observed, SessionStatus

PACKAGE = package_of(CROSSED)
FIRST, SECOND, THIRD = PACKAGE.plan.links
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
