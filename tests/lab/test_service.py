"""`uno service` on hosts that have other things, too: it changes what is its own, and no more."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv6Network

import foreign
import pytest
from advertising import advertise
from knocking import is_received
from obstacles import mounted
from watching import (
    UNO,
    address_of,
    alive,
    await_healthy,
    await_same,
    await_true,
    bgp_peers,
    differences,
    line,
    note,
    pause,
    pids,
    restore,
    snapshot,
    status,
    tables_at_rest,
    uno,
    unreached,
    vtysh,
)

from uno.host.command import run
from uno.lab import deploy, rehearsal
from uno.lab.carrier import carrier
from uno.lab.deploy import Deployment, in_parallel
from uno.lab.evidence import lan_pairs
from uno.lab.node import Node
from uno.lab.ping_matrix import PingMatrix, PingPath
from uno.lab.world_layout import Role

pytestmark = pytest.mark.lab

# The cell whose host has other things: it is on the Internet, and in its LAN.
CROWDED = "lan-b"

LAN_CONF = "net.ipv6.conf.lan0"
NETWORKD = "/lib/systemd/systemd-networkd"
NETWORK_MANAGER = "/usr/sbin/NetworkManager"
UFW = "/usr/sbin/ufw"


@dataclass(frozen=True, kw_only=True)
class Site:
    """Four sites that run, and all of each cell's host as it was before uno came."""

    deployment: Deployment
    before: dict[str, dict[str, str]]

    @property
    def crowded(self) -> Node:
        return self.deployment.world.nodes[CROWDED]


@pytest.fixture(scope="module")
def site(installed: Deployment) -> Site:
    crowded = installed.world.nodes[CROWDED]
    crowd(crowded)
    before = {cell.name: snapshot(cell) for cell in installed.cells}
    raised = rehearsal.start_network(installed, lan_pairs(installed.world), report=print)
    assert raised.reached.missing == ()
    return Site(deployment=installed, before=before)


@pytest.fixture
def _restored(site: Site) -> Iterator[None]:
    """Have the network up and well again, after a test that harms it."""
    yield
    restore(site.deployment)


@pytest.mark.feature("F081")
@pytest.mark.feature("F083")
@pytest.mark.feature("G25")
@pytest.mark.feature("G51")
def test_traffic_flows_through_a_host_with_docker_a_firewall_a_vpn_and_frr(site: Site) -> None:
    assert "policy drop" in snapshot(site.crowded)["nftables"]
    assert "/usr/lib/frr/bgpd -d -f /etc/frr" in snapshot(site.crowded)["processes"]

    assert unreached(site.deployment) == []


@pytest.mark.feature("F102")
def test_up_a_second_time_changes_nothing(site: Site) -> None:
    cells = site.deployment.cells
    # Routes by further paths come after the first.
    tables_at_rest(cells)
    before = in_parallel(snapshot, cells)

    output = in_parallel(lambda cell: site.deployment.service(cell, "up").stdout, cells)

    after = in_parallel(snapshot, cells)
    assert [name for name, text in output.items() if ", no change;" not in text] == []
    assert [differences(before[name], after[name]) for name in output] == [[]] * len(output)


@pytest.mark.feature("F103")
def test_status_shows_that_all_is_well_and_how(site: Site) -> None:
    done = uno(site.deployment, site.crowded, "status", "--json")

    found = json.loads(done.stdout)
    assert done.status == 0
    assert found["healthy"] is True
    assert found["pending"] == []
    assert {link["bgp"] for link in found["links"]} == {"Established"}
    assert {link["bfd"] for link in found["links"]} == {"up"}
    assert uno(site.deployment, site.crowded, "status").status == 0


@pytest.mark.feature("G42")
def test_doctor_finds_nothing_wrong_beside_docker_a_firewall_a_vpn_and_frr(site: Site) -> None:
    def wrong(cell: Node) -> list[str]:
        root = str(site.deployment.cell_root(cell))
        done = deploy.uno(cell, "doctor", "--json", "-r", root, timeout=60, check=False)
        return [f"{it}" for it in json.loads(done.stdout)["results"] if it["state"] != "good"]

    found = in_parallel(wrong, site.deployment.cells)

    assert dict(found) == {cell.name: [] for cell in site.deployment.cells}


@pytest.mark.feature("F065")
@pytest.mark.feature("F066")
@pytest.mark.feature("F067")
@pytest.mark.feature("G30")
def test_every_link_is_wireguard_with_keys_of_its_own_and_a_preshared_key(site: Site) -> None:
    ends: list[tuple[str, str]] = []
    for cell in site.deployment.cells:
        for row in cell.run(["wg", "show", "all", "dump"]).stdout.splitlines():
            fields = row.split("\t")
            if fields[0] == "uwg-mine":
                continue
            if len(fields) == 5:
                ends.append((cell.name, fields[2]))
            else:
                assert fields[2] != "(none)"
    assert len(ends) == len({key for _, key in ends}) >= 5 + 12


@pytest.mark.feature("G25")
def test_no_socket_of_uno_sees_all_packets_of_the_host(site: Site) -> None:
    for cell in site.deployment.cells:
        # A line of headings, and one for each packet socket in the network namespace (packet(7)).
        assert len(cell.run(["cat", "/proc/net/packet"]).stdout.splitlines()) == 1


@pytest.mark.alone
@pytest.mark.feature("F102")
@pytest.mark.feature("F070")
def test_a_new_particle_touches_the_particles_interface_of_cells_and_no_stream(site: Site) -> None:
    deployment, world = site.deployment, site.deployment.world
    paths = every_way_between(world.nodes["lan-a-host1"], world.nodes["lan-d-host1"])
    before = in_parallel(fingerprint, await_settled(deployment.cells))

    with PingMatrix(paths) as prober, prober.stream(rate=100) as stream:
        deployment.registry("define", "particle", "tablet", "-o", "jane@example.org", "-y")
        deployment.install()
        output = in_parallel(
            lambda cell: uno(deployment, cell, "up", "-v").stdout, deployment.cells
        )
        pause(1)

    steps = {name: re.findall(r"^  (.*)$", text, re.MULTILINE) for name, text in output.items()}
    assert steps.pop("lan-d") == []
    assert list(steps.values()) == [["add new links", "configure interface uwg-p1"]] * 4
    assert [flow.lost for flow in stream.flows.values()] == [0, 0]
    for cell in deployment.cells:
        assert_sessions_go_on(before[cell.name], fingerprint(cell))


@pytest.mark.alone
@pytest.mark.feature("F102")
@pytest.mark.usefixtures("_restored")
def test_a_new_cell_loses_nothing_on_links_that_stay(site: Site) -> None:
    deployment, world = site.deployment, site.deployment.world
    kiosk = world.nodes["john"]
    # lan-d hangs on lan-a, and across links are not moved.
    paths = [
        *every_way_between(world.nodes["lan-d-host1"], world.nodes["lan-a-host1"]),
        *every_way_between(world.nodes["lan-c-host1"], world.nodes["lan-a-host1"]),
    ]
    before = in_parallel(fingerprint, await_settled(deployment.cells))

    with PingMatrix(paths) as prober, prober.stream(rate=100) as stream:
        owner = ("-o", "jane@example.org", "-y")
        deployment.registry("define", "cell", "kiosk", "-a", str(kiosk.station.public), *owner)
        deployment.install()
        install_as(deployment, kiosk, "kiosk")
        output = in_parallel(
            lambda cell: uno(deployment, cell, "up", "-v").stdout, (*deployment.cells, kiosk)
        )
        pause(2)

    changed = {name: re.findall(r"^  (.*)$", text, re.MULTILINE) for name, text in output.items()}
    steps = {"add new links", "replace the firewall table", "reload routing"}
    assert set(changed["lan-d"]) - {"complete the change"} == steps
    for cell in deployment.cells:
        # What attracts traffic comes last, and only then what is unused is removed.
        assert re.search(
            r"reload routing(?:\nremove .*|\nreplace the firewall table)*"
            r"(?:\ncomplete the change)?$",
            "\n".join(changed[cell.name]),
        )
    assert [flow.lost for flow in stream.flows.values()] == [0] * 4
    for cell in deployment.cells:
        assert_sessions_go_on(before[cell.name], fingerprint(cell))
    await_healthy(deployment, (*deployment.cells, kiosk))


@pytest.mark.alone
@pytest.mark.usefixtures("_restored")
def test_another_strategy_loses_nothing_on_links_that_stay(site: Site) -> None:
    deployment, world = site.deployment, site.deployment.world
    cells = (*deployment.cells, world.nodes["john"])
    paths = every_way_between(world.nodes["lan-d-host1"], world.nodes["lan-a-host1"])
    before = in_parallel(fingerprint, await_settled(deployment.cells))

    with PingMatrix(paths) as prober, prober.stream(rate=100) as stream:
        deployment.registry("redeploy", "-S", "circular", "-y")
        deployment.install()
        install_as(deployment, world.nodes["john"], "kiosk")
        output = in_parallel(lambda cell: uno(deployment, cell, "up", "-v").stdout, cells)
        pause(2)

    assert any("remove interface" in text for text in output.values())
    assert [flow.lost for flow in stream.flows.values()] == [0, 0]
    assert unreached(deployment) == []
    for cell in deployment.cells:
        assert_sessions_go_on(before[cell.name], fingerprint(cell))
    await_healthy(deployment, cells)


@pytest.mark.feature("F103")
@pytest.mark.usefixtures("_restored")
def test_status_shows_of_a_link_that_is_cut_and_of_its_return(site: Site) -> None:
    world, cell = site.deployment.world, site.crowded
    found = carrier(world, cell, line(cell, world.nodes["lan-a-host1"]).target)

    found.cut(world)
    reported = await_true(
        lambda: uno(site.deployment, cell, "status").status == 1, "the cut is reported"
    )

    (link,) = [
        link
        for link in status(site.deployment, cell)["links"]
        if link["interface"] == found.interface
    ]
    assert link["bfd"] == "down"
    found.restore(world)
    back = await_true(
        lambda: uno(site.deployment, cell, "status").status == 0, "it is back", within=20
    )
    note(f"a cut is reported after {reported:.1f} s, a restored link works after {back:.1f} s")


@pytest.mark.feature("F102")
@pytest.mark.feature("F083")
@pytest.mark.feature("G25")
@pytest.mark.usefixtures("_restored")
@pytest.mark.feature("G28")
def test_down_removes_exactly_what_uno_made_but_unreachable_routes_which_forget_removes(
    site: Site,
) -> None:
    cells = site.deployment.cells

    output = in_parallel(lambda cell: site.deployment.service(cell, "down").stdout, cells)

    assert [name for name, text in output.items() if "is down" not in text] == []
    assert [name for name, text in output.items() if "--forget" not in text] == []
    left = _changed(site)
    assert left
    assert [each for each in left if not re.search(r"\+unreachable .* proto 98 ", each)] == []

    output = in_parallel(
        lambda cell: site.deployment.service(cell, "down", "--forget").stdout, cells
    )

    assert [name for name, text in output.items() if "--forget" in text] == []
    assert _changed(site) == []


def _changed(site: Site) -> list[str]:
    """What differs on any host from what it was before uno."""
    after = in_parallel(snapshot, site.deployment.cells)
    return [
        f"{name}: {change}"
        for name in after
        for change in differences(site.before[name], after[name])
        # The host's own FRR has met uno's routes, and keeps a next hop without a device.
        if not (name == CROWDED and change.endswith("blackhole proto zebra "))
    ]


@pytest.mark.feature("G51")
@pytest.mark.feature("G52")
@pytest.mark.usefixtures("_restored")
def test_a_firewall_that_rejects_is_named_by_up_and_by_status(site: Site) -> None:
    cell, world = site.crowded, site.deployment.world
    assert status(site.deployment, cell)["obstacles"] == []

    cell.run(["nft", "-f", "-"], stdin=foreign.FIREWALLD)
    try:
        raised = uno(site.deployment, cell, "up")
        found = uno(site.deployment, cell, "status")
        from_far = line(world.nodes["lan-a-host1"], world.nodes["lan-b-host1"])
        with PingMatrix([from_far]) as prober:
            assert prober.reach(within=2).missing == (from_far,)
    finally:
        cell.run(["nft", "delete", "table", "inet", "firewalld"])

    named = "chain zone of nftables table inet firewalld rejects packets between "
    assert f"uno: warning: {named}" in raised.stderr
    assert raised.status == 0
    assert f"in the way: {named}" in found.stdout
    assert found.status == 1
    assert uno(site.deployment, cell, "status").status == 0


# What no reading of the rules of nftables shows, and how it is undone.
_INGRESS = """\
nft 'table netdev early { chain ingress { type filter hook ingress device lan0 priority 0;
  ip daddr 10.0.0.0/8 drop; }; }'
"""
_SIZES = """\
nft 'table inet sizes { chain through { type filter hook forward priority 3;
  oifname "lan0" meta length > 1200 drop; }; }'
"""
UNREADABLE = {
    "a policy rule": ("ip rule add iif lan0 priority 9 prohibit", "ip rule del priority 9"),
    "a filter before all hooks": (_INGRESS, "nft delete table netdev early"),
    "large packets alone": (_SIZES, "nft delete table inet sizes"),
}


@pytest.mark.feature("F102")
@pytest.mark.feature("G52")
@pytest.mark.usefixtures("_restored")
def test_status_proves_that_packets_of_the_lan_are_forwarded_in_both_directions(
    site: Site,
) -> None:
    cell = site.crowded
    before = snapshot(cell)

    well = status(site.deployment, cell)
    assert well["forwards"] == {"192.168.2.0/24": True}
    assert (well["unproved"], well["healthy"]) == ("", True)
    assert differences(before, snapshot(cell)) == []

    for name, (harm, undo) in UNREADABLE.items():
        cell.run(["sh", "-ec", harm])
        found = status(site.deployment, cell)
        cell.run(["sh", "-ec", undo])
        note(f"{name}: {found['obstacles']}")
        assert found["forwards"] == {"192.168.2.0/24": False}, name
        assert "LAN 192.168.2.0/24: this host loses packets " in found["obstacles"][-1], name
        assert found["healthy"] is False
    assert status(site.deployment, cell)["forwards"] == {"192.168.2.0/24": True}


@pytest.mark.feature("G52")
@pytest.mark.usefixtures("_restored")
def test_a_link_that_loses_only_large_packets_is_named_with_its_neighbour(site: Site) -> None:
    cell = site.crowded
    cell.run(["nft", "-f", "-"], stdin=foreign.NARROW)
    try:
        found = uno(site.deployment, cell, "status")
    finally:
        cell.run(["nft", "delete", "table", "inet", "narrow"])

    assert found.status == 1
    assert re.search(r"in the way: uwg-b\d loses packets of 1320 octets to or from ", found.stdout)


@pytest.mark.feature("G52")
@pytest.mark.usefixtures("_restored")
def test_a_host_that_permits_no_probes_is_not_proved_and_no_worse_for_it(site: Site) -> None:
    cell = site.crowded
    with mounted(cell, ["--bind", "/dev/null"], "/dev/net/tun"):
        found = uno(site.deployment, cell, "status")

    assert found.status == 0
    assert "forwarding is not proved: " in found.stdout


@pytest.mark.feature("G25")
@pytest.mark.feature("G51")
@pytest.mark.skipif(not os.access(NETWORKD, os.X_OK), reason="there is no systemd-networkd")
def test_networkd_starts_and_starts_again_and_leaves_what_is_unos(site: Site) -> None:
    cell = site.deployment.world.nodes["relay"]
    await_healthy(site.deployment, [cell])

    cell.run(["sh", "-ec", foreign.NETWORKD, "sh", NETWORKD])
    try:
        assert "lookup 99" in cell.run(["ip", "rule"]).stdout
        assert "no change" in site.deployment.service(cell, "up").stdout
        assert status(site.deployment, cell)["healthy"]
    finally:
        cell.run(["sh", "-c", foreign.NO_NETWORKD])


@pytest.mark.feature("G25")
@pytest.mark.feature("G51")
@pytest.mark.skipif(not os.access(NETWORK_MANAGER, os.X_OK), reason="there is no NetworkManager")
def test_network_manager_starts_and_starts_again_leaves_what_is_unos_and_takes_a_particle(
    site: Site,
) -> None:
    cell, john = (site.deployment.world.nodes[name] for name in ("relay", "john"))
    await_healthy(site.deployment, [cell])
    before = snapshot(cell)
    file = cell.directory / "lan-a.conf"
    with zipfile.ZipFile(site.deployment.particle_package(john)) as package:
        (name,) = (each for each in package.namelist() if each.endswith("lan-a.conf"))
        file.write_bytes(package.read(name))

    try:
        words = ["sh", "-ec", foreign.NETWORK_MANAGER, "sh", str(file)]
        output = cell.run(words, timeout=150).stdout
        assert status(site.deployment, cell)["healthy"]
        assert "no change" in site.deployment.service(cell, "up").stdout
    finally:
        cell.run(["sh", "-c", foreign.NO_NETWORK_MANAGER])

    assert output.count("uwg-b0:connected (externally)") == 2
    assert "Connection 'lan-a' (" in output
    changed = differences(before, snapshot(cell))
    # How an interface makes a link-local address, of one that has none.
    assert [each for each in changed if not re.search("addr_?gen_?mode", each)] == []


@pytest.mark.feature("F081")
@pytest.mark.feature("G25")
@pytest.mark.feature("G51")
@pytest.mark.skipif(not os.access(UFW, os.X_OK), reason="there is no ufw")
@pytest.mark.usefixtures("_restored")
def test_where_ufw_denies_by_default_its_commands_are_named_and_all_is_well_after_a_reload(
    site: Site,
) -> None:
    cell, world = site.deployment.world.nodes["lan-a"], site.deployment.world
    inside, outside = world.nodes["lan-a-host1"], world.nodes["lan-b-host1"]

    def is_forwarded() -> bool:
        return is_received(inside, outside, str(address_of(inside)), 7777)

    assert is_forwarded()
    table = cell.run(["nft", "-s", "list", "table", "inet", "uno"]).stdout
    with foreign.ufw(cell):
        assert not is_forwarded()
        raised = uno(site.deployment, cell, "up")
        await_true(lambda: "ufw allow" in obstacles(site.deployment, cell), "ufw is named")
        (found,) = status(site.deployment, cell)["obstacles"]
        named = "chain INPUT of nftables table ip filter drops what links need "
        assert named in found
        assert raised.status == 0
        for command in found.partition("; ")[2].split(" && "):
            cell.run(shlex.split(command))
        await_healthy(site.deployment, [cell], within=60)
        await_true(is_forwarded, "it forwards", within=30)

        cell.run(["ufw", "reload"])
        assert cell.run(["nft", "-s", "list", "table", "inet", "uno"]).stdout == table
        assert is_forwarded()
        assert "no change" in site.deployment.service(cell, "up").stdout
        assert status(site.deployment, cell)["healthy"]


@pytest.mark.feature("G25")
@pytest.mark.feature("G52")
@pytest.mark.usefixtures("_restored")
def test_what_the_host_only_bridges_passes_also_under_bridge_netfilter(site: Site) -> None:
    # Not the crowded host: its docker would drop what is bridged.
    cell = site.deployment.world.nodes["lan-a"]
    before = snapshot(cell)
    cell.run(["sh", "-ec", foreign.BRIDGE])
    try:
        uno(site.deployment, cell, "up")
        # To an address in a remote LAN, which the neighbour on the bridge has as well.
        cell.run(["ip", "netns", "exec", "one", "ping", "-c3", "-i0.2", "-W1", "192.168.3.1"])
        cell.run(["ip", "-n", "one", "route", "replace", "192.168.3.1", "via", "10.77.0.1"])
        routed = cell.run(
            ["ip", "netns", "exec", "one", "ping", "-c1", "-W1", "192.168.3.1"], check=False
        )
    finally:
        cell.run(["sh", "-c", foreign.NO_BRIDGE])
        uno(site.deployment, cell, "up")

    assert "10.77.0.3" not in routed.stdout
    assert differences(before, snapshot(cell)) == []


@pytest.mark.feature("G52")
@pytest.mark.usefixtures("_restored")
def test_kernel_parameters_in_the_way_are_named_by_status(site: Site) -> None:
    cell = site.crowded
    link = status(site.deployment, cell)["links"][0]["interface"]
    wrong = {
        "net.ipv4.conf.all.rp_filter": "0",
        f"net.ipv4.conf.{link}.rp_filter": "1",
        "net.ipv4.conf.lan0.forwarding": "0",
    }
    right = {key: cell.run(["sysctl", "-n", key]).stdout.strip() for key in wrong}

    cell.run(["sysctl", "-qw", *(f"{key}={value}" for key, value in wrong.items())])
    found = status(site.deployment, cell)
    cell.run(["sysctl", "-qw", *(f"{key}={value}" for key, value in right.items())])

    assert [each.partition(":")[0] for each in found["obstacles"]] == [
        "net.ipv4.conf.lan0.forwarding is 0",
        f"net.ipv4.conf.{link}.rp_filter is 1",
        # What the first of them does to packets, as the proof of forwarding finds it.
        "LAN 192.168.2.0/24",
    ]
    assert found["healthy"] is False


@pytest.mark.feature("F080")
@pytest.mark.feature("G51")
@pytest.mark.usefixtures("_restored")
@pytest.mark.parametrize("lifetime", [1800, 0], ids=["route", "address-alone"])
def test_what_routers_advertise_holds_while_the_host_forwards(site: Site, lifetime: int) -> None:
    cell, router = (site.deployment.world.nodes[name] for name in ("lan-a", "lan-a-router"))
    advertised = partial(advertise, router, "lan0", IPv6Network("2001:db8:77::/64"))
    site.deployment.service(cell, "down")
    cell.run(["sysctl", "-qw", f"{LAN_CONF}.accept_ra=1"])
    try:
        advertised(lifetime=lifetime)
        wanted = (lifetime > 0, True)
        await_true(lambda: learned(cell) == wanted, "the host has learned it")

        for _ in range(2):
            site.deployment.service(cell, "up")
            assert learned(cell) == wanted
        cell.run(["ip", "-6", "route", "flush", "dev", "lan0", "proto", "ra"])
        cell.run(["ip", "-6", "addr", "flush", "dev", "lan0", "scope", "global"])
        advertised(lifetime=lifetime)
        await_true(lambda: learned(cell) == wanted, "the host has learned it again")

        site.deployment.service(cell, "down")
        assert learned(cell) == wanted
        assert cell.run(["sysctl", "-n", f"{LAN_CONF}.accept_ra"]).stdout.strip() == "1"
    finally:
        advertised(lifetime=0)
        cell.run(["sysctl", "-qw", f"{LAN_CONF}.accept_ra=0"])
        cell.run(["ip", "-6", "addr", "flush", "dev", "lan0", "scope", "global"])


@pytest.mark.feature("G25")
@pytest.mark.feature("G51")
@pytest.mark.usefixtures("_restored")
def test_down_restores_the_kernel_parameters_though_run_was_emptied(site: Site) -> None:
    cell = site.deployment.world.nodes["lan-a"]
    site.deployment.service(cell, "down", "--forget")
    keys = [
        "net.ipv4.ip_forward",
        "net.ipv6.conf.all.forwarding",
        "net.ipv4.conf.all.accept_redirects",
        "net.ipv4.fib_multipath_hash_policy",
    ]
    before = cell.run(["sysctl", *keys]).stdout

    site.deployment.service(cell, "up")
    assert cell.run(["sysctl", *keys]).stdout != before
    cell.run(["sh", "-c", "rm -r /run/uno/*/state.json"])
    site.deployment.service(cell, "up")
    cell.run(["sh", "-c", "rm -r /run/uno/*/state.json"])
    site.deployment.service(cell, "down")

    assert cell.run(["sysctl", *keys]).stdout == before


@pytest.mark.feature("F080")
@pytest.mark.feature("G51")
@pytest.mark.usefixtures("_restored")
def test_an_interface_plugged_in_later_learns_of_routers_and_is_as_any_other_after_down(
    site: Site,
) -> None:
    cell, router = (site.deployment.world.nodes[name] for name in ("lan-a", "lan-a-router"))
    advertised = partial(advertise, router, "modem1", IPv6Network("2001:db8:77::/64"))
    accept = "net.ipv6.conf.modem0.accept_ra"
    default = "net.ipv6.conf.default.accept_ra"
    site.deployment.service(cell, "down")
    before = cell.run(["sysctl", "-n", default]).stdout.strip()
    cell.run(["sysctl", "-qw", f"{default}=1"])
    try:
        site.deployment.service(cell, "up")
        peer = ["peer", "name", "modem1", "netns", router.namespace]
        run(["ip", "-n", cell.namespace, "link", "add", "modem0", "type", "veth", *peer])
        for node, name in ((router, "modem1"), (cell, "modem0")):
            node.run(["ip", "link", "set", name, "up"])
        advertise_until(advertised, cell, "modem0")

        # The first has the firewall know the new interface.
        site.deployment.service(cell, "up")
        assert "no change" in site.deployment.service(cell, "up").stdout
        assert learned(cell, "modem0") == (True, True)
        site.deployment.service(cell, "down")
        assert learned(cell, "modem0") == (True, True)
        values = [cell.run(["sysctl", "-n", key]).stdout.strip() for key in (accept, default)]
        assert values == ["1", "1"]
    finally:
        cell.run(["ip", "link", "del", "modem0"], check=False)
        cell.run(["sysctl", "-qw", f"{default}={before}"])


@pytest.mark.feature("G25")
@pytest.mark.feature("G51")
@pytest.mark.usefixtures("_restored")
def test_containers_with_addresses_of_a_remote_lan_keep_the_internet_and_are_named(
    site: Site,
) -> None:
    cell, lan = site.deployment.world.nodes["lan-a"], "192.168.3.0/24"
    (server,) = site.deployment.world.having(Role.SERVER)
    named = f"br-app has {lan}, which is also LAN {lan} of lan-c"
    assert lan in advertised(cell)

    with foreign.containers(cell, "192.168.3") as container:
        await_true(lambda: container.reaches(address_of(server)), "it has the Internet at once")
        connected = site.deployment.service(cell, "up")
        assert named in connected.stderr
        assert "no change" in site.deployment.service(cell, "up").stdout
        assert named in uno(site.deployment, cell, "status").stdout
        await_true(lambda: container.reaches(address_of(server)), "it has the Internet")
        await_true(lambda: lan not in advertised(cell), "the LAN is not advertised")
        assert "192.168.2.0/24" in advertised(cell)

    assert "br-app" not in site.deployment.service(cell, "up").stderr
    await_true(lambda: lan in advertised(cell), "the LAN is advertised again")


@pytest.mark.feature("G51")
@pytest.mark.usefixtures("_restored")
def test_a_vpn_whose_table_is_looked_up_first_is_named_and_its_lan_not_advertised(
    site: Site,
) -> None:
    cell, lan = site.deployment.world.nodes["lan-a"], "192.168.3.0/24"
    named = f"vpn0 has {lan} in routing table 52, which is also LAN {lan} of lan-c"
    assert lan in advertised(cell)

    cell.run(["sh", "-ec", foreign.VPN, "sh", lan])
    try:
        assert named in site.deployment.service(cell, "up").stderr
        assert named in uno(site.deployment, cell, "status").stdout
        await_true(lambda: lan not in advertised(cell), "the LAN is not advertised")
    finally:
        cell.run(["sh", "-c", foreign.NO_VPN])

    assert "vpn0" not in site.deployment.service(cell, "up").stderr
    await_true(lambda: lan in advertised(cell), "the LAN is advertised again")


def advertised(cell: Node) -> set[str]:
    """The IPv4 prefixes that a cell advertises to all of its neighbours together."""
    return {
        prefix
        for peer in bgp_peers(cell)
        for prefix in json.loads(
            vtysh(cell, f"show bgp ipv4 unicast neighbors {peer} advertised-routes json")
        )["advertisedRoutes"]
    }


@pytest.mark.feature("G51")
@pytest.mark.feature("G52")
@pytest.mark.usefixtures("_restored")
def test_an_endpoint_in_its_own_lan_is_reached_outside_of_the_tunnels(site: Site) -> None:
    world = site.deployment.world
    near, far = world.nodes["lan-b"], world.nodes["lan-c"]
    links = status(site.deployment, near)["links"]
    link = next(each["interface"] for each in links if each["neighbor"] == far.name)
    for version in (6, 4):
        with called_at_its_address_in_the_lan(site.deployment, near, far, version) as endpoint:
            await_true(partial(has_peer_at, near, link, endpoint), "the endpoint is in the LAN")
            await_true(partial(has_handshake, near, link), "there is a handshake", within=20)
            assert unreached(site.deployment) == []
            sent = transferred(near, link)
            pause(1)

            assert transferred(near, link) - sent < 100_000
            assert has_peer_at(near, link, endpoint)
            assert "no change" in site.deployment.service(near, "up").stdout
            if version == 4:
                near.run(["sysctl", "-qw", *filtering(0, 1)])
                dropped = f"answers of the endpoint {endpoint}, which is in a LAN of the UVN"
                await_true(lambda: dropped in obstacles(site.deployment, near), dropped)  # noqa: B023
                near.run(["sysctl", "-qw", *filtering(2, 2)])


def obstacles(deployment: Deployment, cell: Node) -> str:
    """What is in the way on a cell."""
    return str(status(deployment, cell)["obstacles"])


@contextmanager
def called_at_its_address_in_the_lan(
    deployment: Deployment, near: Node, far: Node, version: int
) -> Iterator[str]:
    """Have `near` call `far` at its address in its LAN, to which the Internet leads; yield it.

    Nothing passes between them at the address of the router that `far` is behind.
    """
    inside, router = address_of(far, version), deployment.world.nodes[f"{far.name}-router"]
    hosts = near.directory / "etc/hosts"
    before = hosts.read_text()
    family = "ip6" if version == 6 else "ip"
    rules = [f"inet filter forward iifname wan {family} daddr {inside} meta l4proto udp accept"]
    way = ["true"]
    if version == 4:
        outside = near.station.public
        rules.append(f"ip nat postrouting ip saddr {inside} ip daddr {outside} accept")
        way = ["ip", "route", "add", f"{inside}/32", "via", str(router.station.public)]
    # The router's connections of before end at once, and those of this test after it.
    remembers(router, seconds=1)
    pause(0.5)
    deployment.down([near, far])
    pause(1.2)
    try:
        lines = before.replace("c.example.net", "elsewhere.example.net")
        hosts.write_text(f"{lines}{inside} c.example.net\n")
        router.run(["nft", "-f", "-"], stdin="".join(f"insert rule {rule}\n" for rule in rules))
        deployment.world.internet.run(way)
        deployment.world.cut(near.name, far.name)
        deployment.up([near, far])
        yield str(inside)
    finally:
        deployment.down([near, far])
        hosts.write_text(before)
        pause(1.2)
        router.run(["nft", "-f", "-"], stdin=f"flush ruleset\n{router.station.ruleset}")
        deployment.world.internet.run(["del" if each == "add" else each for each in way])
        remembers(router, seconds=30)


def remembers(router: Node, *, seconds: int) -> None:
    """Have a router forget UDP that is silent for so long (nf_conntrack-sysctl)."""
    keys = ("udp_timeout", "udp_timeout_stream")
    router.run(["sysctl", "-qw", *(f"net.netfilter.nf_conntrack_{k}={seconds}" for k in keys)])


def filtering(every: int, wan: int) -> tuple[str, str]:
    """Reverse path filtering; of both values the larger is in force."""
    return f"net.ipv4.conf.all.rp_filter={every}", f"net.ipv4.conf.wan.rp_filter={wan}"


def has_peer_at(cell: Node, link: str, endpoint: str) -> bool:
    """Whether the peer of a link is at an address."""
    return endpoint in cell.run(["wg", "show", link, "endpoints"]).stdout


def has_handshake(cell: Node, link: str) -> bool:
    """Whether a link has had a handshake."""
    return cell.run(["wg", "show", link, "latest-handshakes"]).stdout.split()[1] != "0"


def transferred(cell: Node, link: str) -> int:
    """The bytes that a link has sent."""
    return int(cell.run(["wg", "show", link, "transfer"]).stdout.split()[2])


@pytest.mark.feature("F102")
@pytest.mark.usefixtures("_restored")
def test_down_a_second_time_shows_that_it_was_down(site: Site) -> None:
    site.deployment.down([site.crowded])
    before = snapshot(site.crowded)

    output = uno(site.deployment, site.crowded, "down")

    assert "was down already" in output.stdout
    await_same(before, lambda: snapshot(site.crowded), "the host is as it was", within=10)


@pytest.mark.feature("F102")
@pytest.mark.usefixtures("_restored")
def test_routing_goes_down_and_comes_up_apart_from_interfaces_and_firewall(site: Site) -> None:
    deployment, cell = site.deployment, site.deployment.world.nodes["lan-d"]
    links = set(cell.run(["wg", "show", "interfaces"]).stdout.split())

    without = uno(deployment, cell, "down", "router")
    routing = processes(cell)
    kept = set(cell.run(["wg", "show", "interfaces"]).stdout.split())
    missing = unreached(deployment, within=1)
    net = uno(deployment, cell, "up", "net")
    still = processes(cell)
    whole = uno(deployment, cell, "up", "router")

    assert "the routing of lan-d is down" in without.stdout
    assert links == kept
    assert (routing, still) == ("", "")
    assert any("lan-d" in str(pair) for pair in missing)
    assert "lan-d of" in net.stdout
    assert "1 changes" in whole.stdout
    assert "bgpd" in processes(cell)
    assert unreached(deployment) == []


def processes(cell: Node) -> str:
    """Those of uno's routing daemons that run on a cell's host."""
    return cell.run(["sh", "-c", "ps -eo args | grep '[b]gpd.*uno' || true"]).stdout


@pytest.mark.feature("F103")
@pytest.mark.usefixtures("_restored")
def test_status_of_a_cell_that_is_down_is_1_and_shows_what_up_would_do(site: Site) -> None:
    site.deployment.down([site.crowded])

    done = uno(site.deployment, site.crowded, "status", "--json")

    found = json.loads(done.stdout)
    assert done.status == 1
    assert found["running"] is False
    assert "start routing" in found["pending"]
    assert uno(site.deployment, site.crowded, "status").status == 1


@pytest.mark.alone
@pytest.mark.feature("F083")
@pytest.mark.feature("G25")
@pytest.mark.usefixtures("_restored")
def test_restarting_the_hosts_own_frr_keeps_the_routes_of_both(site: Site) -> None:
    deployment, cell = site.deployment, site.crowded
    world = deployment.world
    paths = every_way_between(world.nodes["lan-b-host1"], world.nodes["lan-d-host1"])
    before = snapshot(cell, {"routes": OURS_AND_THEIRS})

    with PingMatrix(paths) as prober, prober.stream(rate=100) as stream:
        cell.run(
            [
                "sh",
                "-c",
                "cd /var/run/frr && kill $(cat watchfrr.pid bgpd.pid staticd.pid zebra.pid)",
            ]
        )
        await_true(lambda: "/etc/frr/zebra.conf" not in programs(cell), "the host's FRR has ended")
        foreign.frr(cell)
        await_true(
            lambda: differences(before, snapshot(cell, {"routes": OURS_AND_THEIRS})) == [],
            "all routes are there",
        )
        pause(0.5)

    gaps = [f"{flow.longest_gap:.2f}" for flow in stream.flows.values()]
    note(f"the host's FRR restarted: longest gaps {', '.join(gaps)} s")
    assert all(flow.longest_gap < 2 for flow in stream.flows.values())
    assert all(alive(cell, name) for name in ("zebra", "bgpd", "bfdd", "watchfrr"))


OURS_AND_THEIRS = "ip route | sed 's/nhid [0-9]* //' | sort"


def crowd(node: Node) -> None:
    """Put all kinds of other things on a host."""
    foreign.nftables(node)
    foreign.docker(node)
    foreign.wireguard(node)
    foreign.routes(node)
    foreign.frr(node)
    await_true(
        lambda: "100.67.0.0/16" in node.run(["ip", "route"]).stdout, "the host's FRR has its route"
    )


def install_as(deployment: Deployment, node: Node, name: str) -> None:
    """Install the package of a cell that the world was not made with on one of its nodes."""
    package = deployment.registry_root / "cells" / f"{deployment.uvn}__{name}.uvn-agent"
    copied = shutil.copy(package, node.directory)
    node.run([*UNO, "install", str(copied), "-r", str(deployment.cell_root(node))])


def learned(cell: Node, nic: str = "lan0") -> tuple[bool, bool]:
    """Whether the host has a default route, and an address, from router advertisements."""
    routes = cell.run(["ip", "-6", "route", "show", "default", "dev", nic, "proto", "ra"]).stdout
    return bool(routes), "2001:db8:77:" in cell.run(["ip", "-6", "addr", "show", nic]).stdout


def advertise_until(advertised: Callable[..., None], cell: Node, nic: str) -> None:
    """Advertise a default router until a host has learned it: its link comes up meanwhile."""

    def is_learned() -> bool:
        # Without an address of its own yet, the router cannot send.
        with suppress(OSError):
            advertised(lifetime=1800)
        return learned(cell, nic) == (True, True)

    await_true(is_learned, "the host has learned the router")


def every_way_between(one: Node, other: Node) -> list[PingPath]:
    return [line(one, other), line(other, one)]


def fingerprint(cell: Node) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    """The processes of FRR, when each WireGuard peer shook hands, and FRR's dropped sessions."""
    rows = cell.run(["wg", "show", "all", "latest-handshakes"]).stdout.splitlines()
    hands = {key: int(at) for _, key, at in (row.split("\t") for row in rows)}
    found = json.loads(
        cell.run(
            ["sh", "-c", "vtysh --vty_socket /run/uno/*/frr -d bgpd -c 'show bgp neighbors json'"]
        ).stdout
    )
    return (
        pids(cell),
        hands,
        {
            f"{name} of {each['remoteAs']}": each["connectionsDropped"]
            for name, each in found.items()
        },
    )


def await_settled(cells: tuple[Node, ...]) -> tuple[Node, ...]:
    """Wait until no WireGuard session is new.

    Of two ends that begin at once one retries after 5 s (REKEY_TIMEOUT) and up to a third of a
    second, successfully or not; `wg show` gives times cut to seconds, one more.
    """

    def youngest() -> float:
        rows = [
            row
            for cell in cells
            for row in cell.run(["wg", "show", "all", "latest-handshakes"]).stdout.split()[2::3]
        ]
        return time.time() - max(map(int, rows))  # noqa: TID251

    await_true(lambda: youngest() > 7, "sessions have settled", within=30)
    return cells


def assert_sessions_go_on(
    before: tuple[dict[str, int], dict[str, int], dict[str, int]],
    after: tuple[dict[str, int], dict[str, int], dict[str, int]],
) -> None:
    """Nothing was restarted: not FRR, nor a session of WireGuard or BGP that stays."""
    assert after[0] == before[0]
    for key, at in before[1].items():
        # By itself WireGuard renews a session when it is 120 s old (REKEY_AFTER_TIME).
        assert after[1].get(key, at) == at or after[1][key] - at >= 115
    for neighbor, drops in before[2].items():
        assert after[2].get(neighbor, drops) == drops


def programs(node: Node) -> str:
    return node.run(["ps", "ax", "-o", "args"]).stdout
