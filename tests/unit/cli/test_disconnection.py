"""What a host prints and keeps when it is disconnected."""

from __future__ import annotations

import json
from ipaddress import IPv4Interface

import pytest

from packages import HOME, package_of
from uno.agent import service
from uno.cli.disconnection import disconnect
from uno.host.fake.fake_host import FakeHost
from uno.ports.host import Nic

NIC = Nic(name="eth1", addresses=(IPv4Interface("192.168.2.7/24"),))
MASQUERADE = {"rule": {"family": "inet", "table": "lxd", "expr": [{"masquerade": None}]}}


@pytest.mark.feature("G51")
@pytest.mark.parametrize("quiet", [False, True])
def test_forwarding_that_stays_on_is_named_with_who_needs_it(
    capsys: pytest.CaptureFixture[str], *, quiet: bool
) -> None:
    host = FakeHost(nics=[NIC])
    service.up(host, package_of(HOME), progress=lambda _: None)
    host.foreign_rules = json.dumps({"nftables": [MASQUERADE]})

    disconnect(host, forget=False, progress=lambda _: None, quiet=quiet)

    printed = capsys.readouterr().out.splitlines()
    keys = () if quiet else ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding")
    assert [line.partition("sysctl -w ")[2] for line in printed] == [f"{key}=0" for key in keys]
    assert all("nftables table inet lxd" in line for line in printed)
    assert host.kernel.parameter("net.ipv4.ip_forward") == "1"
