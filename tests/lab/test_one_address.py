"""Two cells behind one router without NAT loopback: that is named, and it is the cause."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import causes
import pytest
from watching import await_true, only

from uno.lab.agents import Agents
from uno.lab.arrange import arrange
from uno.lab.world import World, temporary_world
from uno.lab.world_layout import Role
from uno.model.uvn import Uvn

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

SPEC = """
name: corp
address: registry.example.net
owner: john@example.org
users: [{email: john@example.org, password: secret}]
cells:
  - {name: hub, address: site.example.net, allowed_lans: [192.168.1.0/24]}
  - name: relay
    address: site.example.net
    settings: {root_vpn_port: 50001, particles_vpn_port: 50002, backbone_vpn_port: 51000}
  - {name: far, address: far.example.net, allowed_lans: [192.168.3.0/24]}
"""


@pytest.fixture(scope="module")
def four_sites_spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cell with a LAN and a relay at one site, and another site."""
    path = tmp_path_factory.mktemp("site") / "uvn.yml"
    path.write_text(SPEC)
    return path


@pytest.fixture(scope="module")
def world(four_sites: Uvn) -> Iterator[World]:
    """The router of the two cells has no NAT loopback."""
    with temporary_world(arrange(four_sites, hosts_per_lan=1, loopback=False)) as built:
        yield built


@pytest.mark.feature("G42")
@pytest.mark.feature("G60")
def test_a_link_within_a_site_without_nat_loopback_is_named_wherever_one_looks(
    living: Agents, four_sites: Uvn
) -> None:
    hub, relay, registry = living.cells["hub"], living.cells["relay"], living.registry
    named, remedy = "both have one public address", "NAT loopback"

    def all_name_it() -> bool:
        found = causes.wrong_everywhere((hub, relay, registry))
        return all(named in " ".join(each.values()) for each in found.values())

    await_true(all_name_it, "doctor names it at both ends and at the registry", within=90)
    found = causes.wrong_everywhere((hub, relay, registry, living.cells["far"]))
    assert [*found["registry"]] == ["links"]
    assert found["far"] == {}
    shown = causes.explained(registry, "hub", "relay")
    assert "not by the planned path" in str(shown["forth"]["remarks"])
    assert named in str(shown["forth"]["remarks"])
    assert remedy in causes.doctor(registry).stdout

    router = living.deployment.world.nodes["hub-router"]
    with_loopback = arrange(four_sites, hosts_per_lan=1).having(Role.ROUTER, cell="hub")
    rules = only([*with_loopback]).ruleset
    # What it knows of the links from before is not translated; they try again each 5 s.
    router.run(["sysctl", "-qw", "net.netfilter.nf_conntrack_udp_timeout=1"])
    router.run(["nft", "-f", "-"], stdin=f"flush ruleset\n{rules}")
    causes.await_nothing_wrong(living.all)
