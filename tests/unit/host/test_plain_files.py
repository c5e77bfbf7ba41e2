"""A cell as plain files: the same as what uno itself would make, in the shell's words."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from packages import HUB, package_of
from uno.host.command import run
from uno.host.plain_files import PlainFile, plain_files
from uno.model.attached_lan import AttachedLan
from uno.ports.host import Desired, Facts
from uno.reconcile.desired import desired
from uno.render.frr import startup


def wanted() -> Desired:
    package = package_of(HUB)
    lans = tuple(AttachedLan(network=lan, nic="eth1") for lan in package.own.lans)
    return desired(package, lans=lans, facts=Facts())


def made() -> dict[str, PlainFile]:
    return {each.name: each for each in plain_files(wanted(), cell="hub", generation=7)}


@pytest.mark.feature("G49")
def test_each_tunnel_daemon_and_table_has_a_file() -> None:
    found, expected = made(), wanted()

    assert found["uno.nft"].text == expected.firewall
    assert expected.routing is not None
    for name, text in expected.routing.daemons:
        assert found[f"frr/{name}.startup"].text == startup(text)
        # Where the script has the daemon read it.
        assert "-f $here/$1.startup" in found["frr/daemon.sh"].text
    for tunnel in expected.tunnels:
        text = found[f"wg/{tunnel.name}.conf"].text
        assert f"PrivateKey = {tunnel.private_key.reveal}" in text
        assert [peer.public_key for peer in tunnel.peers if peer.public_key not in text] == []
    assert {each.mode for each in found.values()} == {0o600, 0o700}
    assert "Cell hub, generation 7." in found["start"].text


@pytest.mark.feature("G49")
@pytest.mark.parametrize("name", ["start", "stop", "frr/daemon.sh"])
def test_the_scripts_are_shell_scripts_without_python(name: str) -> None:
    script = made()[name]

    run(["sh", "-n"], stdin=script.text)
    assert script.mode == 0o700
    assert "python" not in script.text


@pytest.mark.feature("G49")
def test_all_that_uno_is_to_own_is_made_and_taken_away() -> None:
    expected, start, stop = wanted(), made()["start"].text, made()["stop"].text

    for network in expected.unreachable_routes:
        assert f"route replace unreachable {network} metric" in start
        assert f"route del unreachable {network} metric" in stop
    for tunnel in expected.tunnels:
        assert f"\ntunnel {tunnel.name}\n" in start
        assert f"ip link delete dev {tunnel.name} " in stop
        assert [a for a in tunnel.addresses if f"addr add {a} dev {tunnel.name}" not in start] == []
        assert [p for p in tunnel.routes if f"{p} dev {tunnel.name}" not in start] == []
    for key, value in expected.sysctls:
        assert f"parameter {key.replace('.', '/')} {value}" in start
    # What must not leak is rejected before anything forwards.
    assert start.index("unreachable") < start.index("\ntunnel ") < start.index("daemon.sh start")
    assert IPv4Network("192.168.1.0/24") not in expected.unreachable_routes
