"""Doing actions: all of them or none, and saying what went wrong."""

from __future__ import annotations

from base64 import b64encode
from ipaddress import IPv4Network

import pytest
from msgspec.structs import replace

from uno.diagnostics import TransientFailure
from uno.host.command import CommandFailed
from uno.host.fake.fake_host import FakeHost
from uno.model.key_ids import Secret
from uno.model.tunnel import Peer, Tunnel
from uno.ports.host import (
    Action,
    AddUnreachableRoutes,
    ConfigureTunnel,
    CreateTunnel,
    ForeignForwardChain,
    Nic,
    NodeInterface,
    ReloadRouting,
    RemoveTunnel,
    RemoveUnreachableRoutes,
    ReplaceFirewall,
    RestoreSysctl,
    Routing,
    SetForeignForwardChain,
    SetNode,
    SetSysctl,
    StartRouting,
    StopRouting,
)
from uno.reconcile.apply import ActionFailed, apply, describe

LAN = IPv4Network("192.168.2.0/24")
RULES = "table inet uno {\n}\n"
NODE = SetNode(NodeInterface(name="uno0", addresses=()))
ROUTING = Routing(daemons=(("zebra", "!\n"),))
TUNNEL = Tunnel(name="uwg-b0", private_key=Secret("very secret"), mtu=1320, addresses=())
FOREIGN_CHAIN = ForeignForwardChain(family="ip", name="DOCKER-USER", accept_interfaces=("uwg-b+",))


@pytest.mark.feature("G51")
def test_the_names_of_all_tunnels_are_resolved_at_once() -> None:
    host = FakeHost()
    names = ("a.example.org:7", "b.example.org:7")
    keys = [b64encode(bytes([number] * 32)).decode() for number in (1, 2)]
    peers = [Peer(public_key=k, endpoint=name) for k, name in zip(keys, names, strict=True)]
    tunnels = [
        replace(TUNNEL, name=f"uwg-b{at}", private_key=Secret(peer.public_key), peers=(peer,))
        for at, peer in enumerate(peers)
    ]
    looked_up: list[tuple[str, ...]] = []

    apply(
        host,
        tuple(map(CreateTunnel, tunnels)),
        observed=host.observe(()),
        progress=lambda _: looked_up.extend(host.looked_up),
    )

    assert looked_up[0] == names


def test_actions_are_done_in_order_and_reported_before_they_are() -> None:
    host = FakeHost()
    reported: list[tuple[str, int]] = []
    actions = (AddUnreachableRoutes((LAN,)), ReplaceFirewall(RULES), StartRouting(ROUTING))

    apply(
        host,
        actions,
        observed=host.observe(()),
        progress=lambda step: reported.append((step, len(host.performed))),
    )

    assert host.performed == list(actions)
    assert reported == [
        ("add 1 unreachable routes", 0),
        ("replace the firewall table", 1),
        ("start routing", 2),
    ]


def test_a_failure_has_the_action_the_command_its_output_and_a_hint() -> None:
    host = FakeHost()
    cause = CommandFailed(
        ["nft", "-f", "-"],
        "ended with status 1",
        stderr="Error: Could not process rule: Operation not permitted\n",
        hint="run it as root",
    )
    host.fail_at(2, error=cause)

    with pytest.raises(ActionFailed) as failed:
        apply(
            host,
            (AddUnreachableRoutes((LAN,)), ReplaceFirewall(RULES), NODE),
            observed=host.observe(()),
        )

    assert str(failed.value) == (
        "could not replace the firewall table: command `nft -f -` ended with status 1: "
        "Error: Could not process rule: Operation not permitted (the host is as it was); "
        "run it as root"
    )
    assert failed.value.action == ReplaceFirewall(RULES)
    assert failed.value.undone
    assert failed.value.__cause__ is cause
    assert failed.value.exit_status == 1


def test_what_was_done_is_undone_last_first_and_nothing_after_the_failure_is_tried() -> None:
    host = FakeHost()
    host.fail_at(3, halfway=True)
    before = str(host)

    with pytest.raises(ActionFailed):
        apply(
            host,
            (AddUnreachableRoutes((LAN,)), ReplaceFirewall(RULES), NODE, StartRouting(ROUTING)),
            observed=host.observe(()),
        )

    assert str(host) == before
    assert host.performed[2:] == [
        NODE,
        SetNode(None),
        ReplaceFirewall(None),
        RemoveUnreachableRoutes((LAN,)),
    ]


def test_an_interrupt_undoes_and_goes_on_its_way() -> None:
    host = FakeHost()
    host.fail_at(2, error=KeyboardInterrupt())
    before = str(host)

    with pytest.raises(KeyboardInterrupt):
        apply(host, (AddUnreachableRoutes((LAN,)), NODE), observed=host.observe(()))

    assert str(host) == before


def test_what_cannot_be_undone_is_reported_and_the_rest_is_undone() -> None:
    class Stubborn(FakeHost):
        def perform(self, action: Action) -> None:
            super().perform(action)
            if action == SetNode(None):
                raise TransientFailure("ip link delete uno0: Device or resource busy")
            if action == StartRouting(ROUTING):
                raise TransientFailure("zebra did not start")

    host = Stubborn()

    with pytest.raises(ActionFailed) as failed:
        apply(
            host,
            (ReplaceFirewall(RULES), NODE, StartRouting(ROUTING)),
            observed=host.observe(()),
        )

    assert not failed.value.undone
    assert failed.value.what == (
        "could not start routing: zebra did not start (could not be undone: remove the node's "
        "addresses: ip link delete uno0: Device or resource busy; `uno service down` removes the "
        "rest)"
    )
    assert host.observe(()).firewall is None


@pytest.mark.feature("G25")
def test_an_interface_that_appeared_in_between_is_not_removed_by_undoing() -> None:
    host = FakeHost()
    observed = host.observe(())
    host.plug(Nic(name="uwg-b0"))

    with pytest.raises(ActionFailed) as failed:
        apply(host, (ReplaceFirewall(RULES), CreateTunnel(TUNNEL)), observed=observed)

    assert failed.value.undone
    assert host.facts().nics == (Nic(name="uwg-b0"),)


def test_a_parameter_that_cannot_be_written_leaves_nothing_to_undo() -> None:
    host = FakeHost(fixed=["net.ipv4.ip_forward"])
    observed = host.observe(("net.ipv4.ip_forward",))

    with pytest.raises(ActionFailed) as failed:
        apply(host, (NODE, SetSysctl("net.ipv4.ip_forward", "1")), observed=observed)

    assert "Read-only file system" in failed.value.what
    assert failed.value.undone


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (AddUnreachableRoutes((LAN, LAN)), "add 2 unreachable routes"),
        (RemoveUnreachableRoutes((LAN,)), "remove 1 unreachable routes"),
        (ReplaceFirewall(RULES), "replace the firewall table"),
        (ReplaceFirewall(None), "remove the firewall table"),
        (
            SetForeignForwardChain(FOREIGN_CHAIN),
            "accept uno's interfaces in the ip chain DOCKER-USER",
        ),
        (
            SetForeignForwardChain(ForeignForwardChain(family="ip6", name="FORWARD")),
            "remove uno's rules from the ip6 chain FORWARD",
        ),
        (SetSysctl("net.ipv4.ip_forward", "1"), "set net.ipv4.ip_forward to 1"),
        (RestoreSysctl("net.ipv4.ip_forward", "0"), "set net.ipv4.ip_forward to 0"),
        (NODE, "set the node's addresses"),
        (SetNode(None), "remove the node's addresses"),
        (CreateTunnel(TUNNEL), "create interface uwg-b0"),
        (ConfigureTunnel(TUNNEL), "configure interface uwg-b0"),
        (RemoveTunnel("uwg-b0"), "remove interface uwg-b0"),
        (StartRouting(ROUTING), "start routing"),
        (ReloadRouting(ROUTING), "reload routing"),
        (StopRouting(), "stop routing"),
    ],
)
def test_every_action_is_described_and_no_secret_with_it(action: Action, words: str) -> None:
    assert describe(action) == words
    assert "very secret" not in repr(action)
