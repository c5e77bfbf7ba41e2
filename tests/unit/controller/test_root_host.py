"""The registry's host, reconciled and with fresh endpoints."""

from __future__ import annotations

import logging
from base64 import b64encode
from ipaddress import IPv4Interface, IPv4Network

import pytest
from msgspec.structs import replace

from uno.controller.root_host import RootHost
from uno.host.fake.fake_host import FakeHost
from uno.model.key_ids import Secret
from uno.ports.host import Action, Desired, Peer, PeerStatus, Tunnel

NOW = 10_000


def key(number: int) -> str:
    return b64encode(bytes([0] * 31 + [64 + number])).decode()


def peer(number: int, endpoint: str | None) -> Peer:
    return Peer(
        public_key=key(number),
        psk=Secret(key(number + 10)),
        endpoint=endpoint,
        allowed_ips=(IPv4Network(f"10.255.128.{number}"),),
        keepalive=0,
    )


ROOT = Tunnel(
    name="uwg-v1",
    private_key=Secret(key(9)),
    mtu=1420,
    addresses=(IPv4Interface("10.255.128.1"),),
    peers=(peer(2, "a.example.org:63448"), peer(3, None), peer(4, "b.example.org:63448")),
    port=63447,
)
WANTED = Desired(tunnels=(ROOT,))


def root_host(host: FakeHost) -> RootHost:
    return RootHost(host, wall_clock=lambda: float(NOW))


def test_a_second_pass_changes_nothing() -> None:
    host = FakeHost()
    root = root_host(host)

    root.reconcile(WANTED)
    done = len(host.performed)
    root.reconcile(WANTED)

    assert done > 0
    assert len(host.performed) == done
    assert not host.state_removed


def test_a_host_without_a_root_vpn_keeps_no_state() -> None:
    host = FakeHost()
    before = str(host)
    root = root_host(host)

    root.reconcile(WANTED)
    root.reconcile(Desired())

    assert str(host) == before
    assert host.state_removed


def test_warnings_of_this_pass_are_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = FakeHost()
    perform = host.perform
    host.warnings.append("an earlier one")

    def warn(action: Action) -> None:
        host.warnings.append("a name does not resolve")
        perform(action)

    monkeypatch.setattr(host, "perform", warn)
    with caplog.at_level(logging.WARNING):
        root_host(host).reconcile(WANTED)

    assert set(caplog.messages) == {"a name does not resolve"}


def test_a_warning_is_logged_when_it_begins_to_hold(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = FakeHost()
    root = root_host(host)
    passes = (("a",), ("a",), ("a", "b"), ("b",), ("a", "b"))
    counts = []

    for mtu, warnings in enumerate(passes, 1400):
        monkeypatch.setattr(host, "perform", lambda _, these=warnings: host.warnings.extend(these))
        with caplog.at_level(logging.WARNING):
            root.reconcile(Desired(tunnels=(replace(ROOT, mtu=mtu),)))
        counts.append(len(caplog.messages))

    assert caplog.messages == ["a", "b", "a"]
    assert counts == [1, 1, 2, 2, 3]


def test_endpoints_are_refreshed_without_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    host = FakeHost()
    root = root_host(host)
    root.refresh_endpoints()
    root.reconcile(WANTED)
    ages = {key(2): 179, key(3): 1000, key(4): 180}
    refreshed: list[str] = []
    status = host.peer_status

    def aged() -> dict[str, tuple[PeerStatus, ...]]:
        return {
            name: tuple(replace(it, handshake=NOW - ages[it.public_key]) for it in peers)
            for name, peers in status().items()
        }

    monkeypatch.setattr(host, "peer_status", aged)
    monkeypatch.setattr(host, "refresh_endpoint", lambda _, it: refreshed.append(it.public_key))
    root.refresh_endpoints()

    assert refreshed == [key(4)]
