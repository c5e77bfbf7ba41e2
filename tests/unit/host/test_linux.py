"""What the Linux adapter decides by itself, with commands and files that are not the machine's."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import stat
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn, TypeAlias

import pytest
from msgspec.structs import replace

from nft_rules import DROP, chain, ruleset
from uno.diagnostics import TransientFailure, UnoError
from uno.host import linux, programs, sysctl
from uno.host.command import Completed
from uno.host.firewall import foreign_chains, nft
from uno.host.linux import LinuxHost
from uno.host.netlink import interface_changes, inventory
from uno.host.netlink.inventory import Interface, OwnRoutes
from uno.host.routing_frr import daemons
from uno.host.wireguard import endpoint_lookup
from uno.host.wireguard import interfaces as wireguard
from uno.host.wireguard.interfaces import Dump
from uno.model.key_ids import Secret
from uno.model.net import Address
from uno.model.tunnel import Peer, Tunnel
from uno.ports.host import (
    ConfigureTunnel,
    CreateTunnel,
    ForeignForwardChain,
    LinkMode,
    NodeInterface,
    PeerStatus,
    RemoveTunnel,
    RestoreSysctl,
    SetNode,
    SetSysctl,
)

KEY = Secret(b64encode(bytes([8] * 31 + [72])).decode())
TUNNEL = Tunnel(name="uwg-b0", private_key=KEY, mtu=1420, addresses=(), port=63550)
Rule: TypeAlias = tuple[Address, int]
Places: TypeAlias = dict[str, tuple[str, ...]]
IDENTITY = "c0ffee" * 5 + "00"
FORWARD = "net.ipv4.ip_forward"
ACCEPT_RA = "net.ipv6.conf.eth0/5.accept_ra"


@dataclass
class Machine:
    """Interfaces by name with their ifalias; commands change them as `ip` does."""

    folder: Path
    interfaces: dict[str, str] = field(default_factory=lambda: {"lo": "", "eth0": ""})
    configured: list[str] = field(default_factory=list)
    called: list[str] = field(default_factory=list)
    addresses: tuple[IPv4Interface, ...] = ()
    down: set[str] = field(default_factory=set)
    mtu: dict[str, int] = field(default_factory=dict)

    def run(
        self, argv: list[str], *, stdin: str = "", check: bool = True, **_: object
    ) -> Completed:
        words = list(argv)
        stderr = ""
        if words[:2] == ["wg", "setconf"] or words[:2] == ["wg", "syncconf"]:
            self.configured.append(stdin)
        if words[:2] == ["wg", "set"] and "endpoint" in words:
            self.called.append(words[words.index("endpoint") + 1])
        if words == ["wg", "show", "all", "dump"]:
            return self.done(words, stdout="uwg-b0\tK=\tP=\t40001\toff\n")
        if words == ["wg", "show", "uwg-b0", "listen-port"]:
            return self.done(words, stdout="40001\n")
        if words[:2] == ["ip", "-batch"]:
            stderr = self.batch(stdin)
        elif words[:3] == ["ip", "link", "add"]:
            stderr = self.add(words[4])
        elif words[:3] == ["ip", "link", "delete"]:
            del self.interfaces[words[4]]
        if stderr and check:
            raise TransientFailure(stderr)
        return self.done(words, stderr=stderr)

    def done(self, argv: list[str], *, stdout: str = "", stderr: str = "") -> Completed:
        return Completed(argv=tuple(argv), status=int(bool(stderr)), stdout=stdout, stderr=stderr)

    def add(self, name: str) -> str:
        if name in self.interfaces:
            return "RTNETLINK answers: File exists"
        self.interfaces[name] = ""
        return ""

    def batch(self, text: str) -> str:
        for line in text.splitlines():
            words = shlex.split(line)
            name = words[words.index("dev") + 1]
            if name not in self.interfaces:
                return f'Cannot find device "{name}"'
            if "up" in words:
                self.down.discard(name)
            if "mtu" in words:
                self.mtu[name] = int(words[words.index("mtu") + 1])
            if "alias" in words:
                self.interfaces[name] = words[words.index("alias") + 1]
        return ""

    def inventory(self) -> tuple[Interface, ...]:
        return tuple(
            Interface(
                index=index,
                name=name,
                kind="dummy" if name == "uno0" else "tun",
                alias=alias,
                mtu=self.mtu.get(name, 1500 if name == "uno0" else 1420),
                mode=LinkMode.DOWN if name in self.down else LinkMode.UP,
                has_arp=name != "uno0" or name in self.down,
                addresses=self.addresses if name == "uwg-b0" else (),
            )
            for index, (name, alias) in enumerate(self.interfaces.items(), start=1)
        )

    def parameter(self, key: str, value: str) -> Path:
        path = sysctl.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
        return path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(tmp_path)
    monkeypatch.setattr(linux, "RUN", tmp_path / "run")
    monkeypatch.setattr(sysctl, "PROC_SYS", tmp_path / "sys")
    for module in (interface_changes, linux, wireguard):
        monkeypatch.setattr(module, "run", machine.run)
    monkeypatch.setattr(inventory, "interfaces", machine.inventory)
    monkeypatch.setattr(
        inventory, "modes", lambda: {each.name: each.mode for each in machine.inventory()}
    )
    monkeypatch.setattr(
        inventory,
        "own_routes",
        lambda: OwnRoutes(unreachable_routes=frozenset(), into={}, aside={}),
    )
    monkeypatch.setattr(nft, "generation", lambda: b"1")
    monkeypatch.setattr(nft, "listing", lambda _: None)
    monkeypatch.setattr(foreign_chains, "observe", lambda: ())
    machine.parameter("net.ipv4.conf.uwg-b0.rp_filter", "0")
    return machine


@pytest.fixture
def host(machine: Machine) -> LinuxHost:  # noqa: ARG001 - there must be a machine first
    return LinuxHost(IDENTITY, 3)


@pytest.mark.feature("G25")
def test_a_foreign_interface_outlives_a_failure_to_create_one_of_its_name(
    machine: Machine, host: LinuxHost
) -> None:
    machine.interfaces["uwg-b0"] = "theirs"

    with pytest.raises(UnoError, match="File exists"):
        host.perform(CreateTunnel(TUNNEL))
    host.perform(RemoveTunnel("uwg-b0"))

    assert machine.interfaces["uwg-b0"] == "theirs"
    assert "uwg-b0" in host.observe(()).foreign


def test_a_tunnel_that_we_made_is_known_by_its_alias_and_removed(
    machine: Machine, host: LinuxHost
) -> None:
    host.perform(CreateTunnel(TUNNEL))
    assert machine.interfaces["uwg-b0"].startswith("uno c0ffee")

    host.perform(RemoveTunnel("uwg-b0"))
    host.perform(RemoveTunnel("uwg-b0"))

    assert machine.interfaces.keys() == {"lo", "eth0"}


@pytest.mark.feature("G51")
def test_without_its_record_a_cells_interfaces_are_known_by_their_alias(
    machine: Machine, host: LinuxHost
) -> None:
    machine.interfaces["uwg-b7"] = "uno c0ffee00 4"
    node = NodeInterface(name="uno0", addresses=(IPv4Interface("10.255.128.2"),))
    host.perform(CreateTunnel(TUNNEL))
    host.perform(SetNode(node))
    shutil.rmtree(host.folder)
    host = LinuxHost(IDENTITY, 3)

    observed = host.observe(())
    assert [each.name for each in observed.tunnels] == ["uwg-b0"]
    assert observed.node is not None
    assert observed.node.name == "uno0"

    host.perform(ConfigureTunnel(TUNNEL))
    host.perform(SetNode(None))
    host.perform(RemoveTunnel("uwg-b0"))

    assert machine.interfaces.keys() == {"lo", "eth0", "uwg-b7"}


@pytest.mark.feature("G07")
@pytest.mark.parametrize(
    ("before", "after", "reported"),
    [(None, None, "ListenPort = 40001"), (7, None, None), (None, 7, "ListenPort = 7")],
)
def test_a_port_that_was_drawn_is_kept_when_a_tunnel_changes(
    before: int | None, after: int | None, reported: str | None, machine: Machine, host: LinuxHost
) -> None:
    host.perform(CreateTunnel(replace(TUNNEL, port=before)))

    host.perform(ConfigureTunnel(replace(TUNNEL, port=after)))

    lines = machine.configured[-1].splitlines()
    assert [line for line in lines if "ListenPort" in line] == ([reported] if reported else [])
    assert host.observe(()).tunnels[0].port == (after and 40001)


def test_a_deleted_node_interface_is_created_again(machine: Machine, host: LinuxHost) -> None:
    node = NodeInterface(name="uno0", addresses=(IPv4Interface("10.255.128.2"),))
    host.perform(SetNode(node))
    del machine.interfaces["uno0"]
    assert host.observe(()).node is None

    host.perform(SetNode(node))

    assert "uno0" in machine.interfaces


def test_a_kernel_parameter_gets_back_the_value_from_before_uno(
    machine: Machine, host: LinuxHost
) -> None:
    path = machine.parameter(FORWARD, "0")
    host.perform(SetSysctl(FORWARD, "2"))
    host.perform(SetSysctl(FORWARD, "1"))
    observed = host.observe((FORWARD,))
    assert (observed.sysctls, observed.originals) == ({FORWARD: "1"}, {FORWARD: "0"})

    host.perform(RestoreSysctl(FORWARD, "0"))

    assert path.read_text().strip() == "0"
    assert host.observe(()).originals == {}


def test_a_parameter_that_could_not_be_written_needs_no_writing_back(
    machine: Machine, host: LinuxHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.parameter(FORWARD, "0")

    def refuse(key: str, value: str) -> None:
        raise TransientFailure(f"cannot set {key} to {value} (Read-only file system)")

    monkeypatch.setattr(sysctl, "write", refuse)
    with pytest.raises(UnoError, match="Read-only"):
        host.perform(SetSysctl(FORWARD, "1"))

    host.perform(RestoreSysctl(FORWARD, "0"))

    assert host.observe(()).originals == {}


def test_a_parameter_of_an_interface_that_is_gone_holds_up_nothing(
    machine: Machine, host: LinuxHost
) -> None:
    path = machine.parameter(ACCEPT_RA, "1")
    host.perform(SetSysctl(ACCEPT_RA, "2"))
    path.unlink()

    observed = host.observe(())

    assert (observed.sysctls, observed.originals) == ({}, {})


@pytest.mark.feature("G51")
@pytest.mark.parametrize(
    "what", ["down", "alias", "rp_filter", "forwarding", "accept_ra", "disable_ipv6", "mtu"]
)
@pytest.mark.parametrize("name", ["uwg-b0", "uno0"])
def test_an_interface_that_lacks_what_all_have_is_impaired_until_it_is_configured(
    machine: Machine, host: LinuxHost, name: str, what: str
) -> None:
    node = NodeInterface(name="uno0", addresses=())
    machine.parameter(f"net.ipv6.conf.{name}.disable_ipv6", "1")
    host.perform(CreateTunnel(TUNNEL))
    host.perform(SetNode(node))
    assert host.observe(()).impaired == frozenset()

    if what == "down":
        machine.down.add(name)
    elif what == "alias":
        machine.interfaces[name] = "other"
    elif what == "rp_filter":
        machine.parameter(f"net.ipv4.conf.{name}.rp_filter", "1")
    elif what == "forwarding":
        machine.parameter(f"net.ipv4.conf.{name}.forwarding", "0")
    elif what == "accept_ra":
        machine.parameter(f"net.ipv6.conf.{name}.accept_ra", "2")
    elif what == "mtu":
        machine.mtu[name] = 1200
    else:
        machine.parameter(f"net.ipv6.conf.{name}.disable_ipv6", "1")
    # The node's addresses may be reached by any path: no filter is set there, and nothing comes in.
    # The MTU of a tunnel is a part of it.
    others = dict.fromkeys(("rp_filter", "forwarding", "accept_ra"), "uno0") | {"mtu": "uwg-b0"}
    wanted = {name} - {others.get(what)}
    assert host.observe(()).impaired == wanted

    host.perform(ConfigureTunnel(TUNNEL))
    host.perform(SetNode(node))
    assert host.observe(()).impaired == frozenset()


@pytest.mark.feature("G51")
@pytest.mark.parametrize(
    ("own", "every", "refused"),
    [("0", "0", False), ("0", "2", False), ("1", "2", False), ("1", "0", True), ("0", "1", True)],
)
def test_a_reverse_path_filter_that_cannot_be_set_does_unless_it_is_strict(
    machine: Machine,
    host: LinuxHost,
    monkeypatch: pytest.MonkeyPatch,
    own: str,
    every: str,
    *,
    refused: bool,
) -> None:
    path = machine.parameter("net.ipv4.conf.uwg-b0.rp_filter", own)
    machine.parameter("net.ipv4.conf.all.rp_filter", every)
    read_only(monkeypatch)

    if refused:
        with pytest.raises(UnoError, match=r"uwg-b0\.rp_filter to 2 \(Read-only file system\)"):
            host.perform(CreateTunnel(TUNNEL))
        return
    host.perform(CreateTunnel(TUNNEL))

    assert path.read_text().strip() == own
    assert host.observe(()).impaired == frozenset()


@pytest.mark.feature("G51")
@pytest.mark.parametrize(
    ("disabled", "fixed", "has"),
    [("0", True, True), ("1", False, True), ("1", True, False)],
)
def test_a_host_that_gives_no_interface_ipv6_has_none(
    machine: Machine,
    host: LinuxHost,
    monkeypatch: pytest.MonkeyPatch,
    disabled: str,
    *,
    fixed: bool,
    has: bool,
) -> None:
    """docker gives a container neither IPv6 nor a /proc/sys that can be written."""
    machine.parameter("net.ipv6.conf.default.disable_ipv6", disabled)
    machine.parameter("net.ipv6.conf.uno0.disable_ipv6", disabled)
    monkeypatch.setattr(programs, "require", lambda _: None)
    monkeypatch.setattr(inventory, "main_routes", lambda: ())
    monkeypatch.setattr(daemons, "version", lambda: (8, 4))
    monkeypatch.setattr(nft, "accepts", lambda _: True)
    if fixed:
        read_only(monkeypatch)

    assert host.facts().has_ipv6 is has
    host.perform(SetNode(NodeInterface(name="uno0", addresses=())))
    assert host.observe(()).impaired == frozenset()


@pytest.mark.feature("F080")
@pytest.mark.parametrize(("every", "after"), [("0", "0"), ("1", "1")])
def test_a_tunnel_forwards_by_a_setting_of_its_own_only_where_all_interfaces_forward(
    machine: Machine, host: LinuxHost, every: str, after: str
) -> None:
    """Before, the host would lose default routes from router advertisements."""
    machine.parameter("net.ipv6.conf.all.forwarding", every)
    own = machine.parameter("net.ipv6.conf.uwg-b0.forwarding", "0")

    host.perform(CreateTunnel(TUNNEL))

    assert own.read_text().strip() == after
    assert host.observe(()).impaired == frozenset()


def read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have /proc/sys be read-only, as in a container."""
    is_open = os.open

    def refusing(path: Path, flags: int, *rest: int) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR) and sysctl.PROC_SYS in Path(path).parents:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return is_open(path, flags, *rest)

    monkeypatch.setattr(sysctl, "is_fixed", lambda _: True)
    monkeypatch.setattr(os, "open", refusing)


@pytest.mark.feature("G51")
def test_the_fingerprint_changes_with_parameters_and_firewalls(
    machine: Machine, host: LinuxHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = machine.parameter(FORWARD, "0")
    host.perform(SetSysctl(FORWARD, "1"))
    before = host.fingerprint()
    assert host.fingerprint() == before

    path.write_text("0")
    assert host.fingerprint() != before
    path.write_text("1")
    assert host.fingerprint() == before
    monkeypatch.setattr(nft, "generation", lambda: b"2")
    assert host.fingerprint() != before


@pytest.mark.feature("G51")
def test_a_parameter_that_has_its_value_is_recorded_and_not_written(
    machine: Machine, host: LinuxHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.parameter(FORWARD, "1")
    monkeypatch.delattr(sysctl, "write")

    host.perform(SetSysctl(FORWARD, "1"))

    assert host.observe(()).originals == {FORWARD: "1"}


def test_a_slash_in_a_parameter_stands_for_a_dot_in_a_name() -> None:
    assert sysctl.path(ACCEPT_RA).parts[-4:] == ("ipv6", "conf", "eth0.5", "accept_ra")


@pytest.mark.parametrize(
    ("endpoint", "found"),
    [
        ("192.0.2.1:63550", ("192.0.2.1:63550",)),
        ("[2001:db8::1]:63550", ("[2001:db8::1]:63550",)),
        ("no-such-name.invalid:63550", ()),
    ],
)
def test_an_endpoint_is_looked_up_as_wg_takes_it(
    endpoint: str, found: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not found:
        monkeypatch.setattr("socket.getaddrinfo", unknown)

    assert endpoint_lookup.lookup(endpoint) == found


@pytest.mark.feature("G51")
def test_all_addresses_of_a_name_are_found_once_in_the_order_of_the_resolver(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    places = ["2001:db8::2", "192.0.2.9", "2001:db8::2", "192.0.2.1"]
    monkeypatch.setattr(
        "socket.getaddrinfo", lambda *_, **__: [(0, 0, 0, "", (place, 63550)) for place in places]
    )

    assert endpoint_lookup.resolve(["gw.example.org:63550"]) == {
        "gw.example.org:63550": ("[2001:db8::2]:63550", "192.0.2.9:63550", "192.0.2.1:63550")
    }


def unknown(*_: object, **__: object) -> object:
    raise OSError("Name or service not known")


PEER = Peer(public_key=KEY.reveal, endpoint="gw.example.org:63550")


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> Places:
    """Where names lead to."""
    found: Places = {"gw.example.org:63550": ("198.51.100.2:63550",)}
    monkeypatch.setattr(endpoint_lookup, "lookup", lambda name: found.get(name, ()))
    return found


@pytest.mark.feature("G13")
def test_a_peer_whose_name_leads_elsewhere_is_called_there_and_only_once(
    machine: Machine, host: LinuxHost, places: Places
) -> None:
    host.perform(CreateTunnel(replace(TUNNEL, peers=(PEER,))))
    assert not host.refresh_endpoint("uwg-b0", PEER)

    places["gw.example.org:63550"] = ("203.0.113.9:63550",)

    assert host.refresh_endpoint("uwg-b0", PEER)
    assert machine.called == ["203.0.113.9:63550"]
    assert not host.refresh_endpoint("uwg-b0", PEER)


@pytest.mark.feature("G51")
def test_the_addresses_of_a_name_are_called_in_turn_until_one_works(
    machine: Machine, host: LinuxHost, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    places["gw.example.org:63550"] = ("[2001:db8::2]:63550", "198.51.100.2:63550")
    handshake = 0

    def dump(names: list[str]) -> dict[str, Dump]:
        status = PeerStatus(
            public_key=PEER.public_key,
            endpoint=machine.called[-1] if machine.called else None,
            handshake=handshake,
            received=0,
            sent=0,
        )
        return {
            name: Dump(name=name, private_key=KEY, port=1, mark=0, peers=(), status=(status,))
            for name in names
        }

    monkeypatch.setattr(wireguard, "dump", dump)
    host.perform(CreateTunnel(replace(TUNNEL, peers=(PEER,))))
    assert "Endpoint = [2001:db8::2]:63550" in machine.configured[0]
    assert host.other_addresses("uwg-b0", PEER) == 1

    assert host.refresh_endpoint("uwg-b0", PEER)
    host.initiate_handshake("uwg-b0", PEER)
    assert machine.called == ["198.51.100.2:63550"] * 2
    handshake = 1000
    assert not host.refresh_endpoint("uwg-b0", PEER)
    host.initiate_handshake("uwg-b0", PEER)
    assert machine.called == ["198.51.100.2:63550"] * 3

    handshake = 0
    assert host.refresh_endpoint("uwg-b0", PEER)
    assert machine.called[-1] == "[2001:db8::2]:63550"


@pytest.mark.feature("G51")
def test_a_change_of_a_link_keeps_the_address_that_is_in_use(
    machine: Machine, host: LinuxHost, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    places["gw.example.org:63550"] = ("[2001:db8::2]:63550", "198.51.100.2:63550")
    host.perform(CreateTunnel(replace(TUNNEL, peers=(PEER,))))
    host.refresh_endpoint("uwg-b0", PEER)
    before = SimpleNamespace(tunnels=(replace(TUNNEL, peers=(PEER,)),))
    monkeypatch.setattr(host, "observe", lambda _: before)

    host.perform(ConfigureTunnel(replace(TUNNEL, mtu=1300, peers=(PEER,))))

    assert "Endpoint = 198.51.100.2:63550" in machine.configured[-1]


@pytest.mark.feature("G13")
def test_a_name_that_cannot_be_found_changes_nothing(
    machine: Machine, host: LinuxHost, places: Places
) -> None:
    host.perform(CreateTunnel(replace(TUNNEL, peers=(PEER,))))
    places.clear()

    assert not host.refresh_endpoint("uwg-b0", PEER)
    assert not host.refresh_endpoint("uwg-b0", replace(PEER, endpoint=None))
    assert not host.refresh_endpoint("uwg-b7", PEER)
    assert machine.called == []


@pytest.mark.feature("G51")
@pytest.mark.parametrize(
    "place", ["127.0.1.1:63550", "0.0.0.0:63550", "[::]:63550", "[fe80::1]:63550"]
)
def test_a_peer_is_never_called_at_an_address_of_no_other_host(
    machine: Machine, host: LinuxHost, places: Places, place: str
) -> None:
    """As of Debian's own name in /etc/hosts, or of a resolver that blocks the name."""
    known = places["gw.example.org:63550"]
    places["gw.example.org:63550"] = (place,)
    host.perform(CreateTunnel(replace(TUNNEL, peers=(PEER,))))

    assert "Endpoint" not in machine.configured[-1]
    address = place.rpartition(":")[0].strip("[]")
    (warning,) = host.warnings
    assert f"gw.example.org leads to {address}, which is no address of another host" in warning
    assert not host.refresh_endpoint("uwg-b0", PEER)
    assert machine.called == []

    places["gw.example.org:63550"] = (place, *known)
    assert host.refresh_endpoint("uwg-b0", PEER)
    assert machine.called == [*known]
    assert host.other_addresses("uwg-b0", PEER) == 0


@pytest.mark.feature("G13")
def test_a_name_that_could_not_be_found_at_first_is_called_when_it_can(
    machine: Machine, host: LinuxHost, places: Places
) -> None:
    known = places.pop("gw.example.org:63550")
    beside = replace(PEER, public_key="another", endpoint="gw.example.org:63551")
    host.perform(CreateTunnel(replace(TUNNEL, peers=(PEER, beside))))
    assert host.warnings == [
        "the name gw.example.org cannot be resolved; until it can, nothing connects to it"
    ]
    places["gw.example.org:63550"] = known

    assert host.refresh_endpoint("uwg-b0", PEER)
    assert machine.called == [*known]


def test_a_registry_does_not_observe_routes_chains_or_frr_of_a_cell_on_its_host(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    unreachable = frozenset({IPv4Network("192.168.2.0/24")})
    chain = ForeignForwardChain(family="ip", name="FORWARD", accept_interfaces=("uwg-b+",))
    monkeypatch.setattr(
        inventory,
        "own_routes",
        lambda: OwnRoutes(unreachable_routes=unreachable, into={}, aside={}),
    )
    monkeypatch.setattr(foreign_chains, "observe", lambda: (chain,))
    machine.interfaces["uwg-b0"] = f"uno {IDENTITY} 3"

    registry, cell = (LinuxHost(IDENTITY, number).observe(()) for number in (0, 3))

    assert (registry.unreachable_routes, registry.foreign_forward_chains) == (frozenset(), ())
    assert (cell.unreachable_routes, cell.foreign_forward_chains) == (unreachable, (chain,))
    assert "uwg-b0" in registry.foreign
    assert "uwg-b0" not in cell.foreign


@pytest.mark.feature("G52")
def test_what_decides_on_forwarding_is_read(
    machine: Machine, host: LinuxHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[list[str]] = []

    def run(argv: list[str], **_: object) -> Completed:
        listed.append(argv)
        rules = ruleset(chain("f", (DROP,), hook="forward", table="mine"), chain("f", table="uno"))
        return machine.done(argv, stdout=rules)

    monkeypatch.setattr(foreign_chains, "run", run)
    machine.parameter(FORWARD, "1")

    for number in (b"1", b"1", b"2"):
        monkeypatch.setattr(nft, "generation", lambda number=number: number)
        found = host.forwarding_state((FORWARD, "net.ipv4.conf.gone.forwarding"))

    assert found.ruleset == ruleset(chain("f", (DROP,), hook="forward", table="mine"))
    assert found.sysctls == {FORWARD: "1"}
    assert found.interfaces == {"lo": LinkMode.UP, "eth0": LinkMode.UP}
    assert listed == [["nft", "-j", "-s", "-t", "list", "ruleset"]] * 2


def test_without_nft_nothing_is_known_of_its_rules(
    machine: Machine, host: LinuxHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = machine.done(["nft"], stderr="nft: not found")
    monkeypatch.setattr(foreign_chains, "run", lambda *_, **__: failed)

    assert host.forwarding_state(()).ruleset == ""


def test_the_ruleset_is_listed_again_only_when_it_has_changed(
    host: LinuxHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[str] = []
    monkeypatch.setattr(nft, "listing", listed.append)
    for number in (b"1", b"1", b"2", b"2"):
        monkeypatch.setattr(nft, "generation", lambda number=number: number)
        host.observe(())

    assert listed == ["uno", "uno"]


def test_a_tunnel_with_a_table_is_seen_so_while_its_rules_are_there(
    machine: Machine, host: LinuxHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = IPv4Interface("10.255.128.1")
    routes = (IPv4Network("10.255.128.0/22"),)
    aside = OwnRoutes(unreachable_routes=frozenset(), into={}, aside={(3, 700): routes})
    found: set[Rule] = set()
    monkeypatch.setattr(inventory, "own_routes", lambda: aside)
    monkeypatch.setattr(inventory, "rules", lambda: frozenset(found))

    def change(*, add: Iterable[Rule] = (), remove: Iterable[Rule] = ()) -> None:
        found.update(add)
        found.difference_update(remove)

    monkeypatch.setattr(interface_changes, "change_rules", change)
    machine.addresses = (source,)

    host.perform(CreateTunnel(replace(TUNNEL, addresses=(source,), routes=routes, table=700)))

    (seen,) = host.observe(()).tunnels
    assert (seen.table, seen.routes, found) == (700, routes, {(source.ip, 700)})
    found.clear()
    (without,) = host.observe(()).tunnels
    assert without.table is None
    found.add((source.ip, 700))
    host.perform(RemoveTunnel("uwg-b0"))
    assert found == set()


@pytest.mark.feature("G51")
def test_a_parameter_that_has_its_value_is_not_written(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.parameter(FORWARD, "1")

    def refuse(*_: object) -> NoReturn:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "open", refuse)

    sysctl.write(FORWARD, "1")
    with pytest.raises(UnoError, match="Read-only file system") as caught:
        sysctl.write(FORWARD, "0")

    assert "--sysctl net.ipv4.ip_forward=0" in caught.value.hint


@pytest.mark.feature("G51")
def test_a_parameter_that_the_kernel_lacks_is_fixed_and_has_no_value(
    machine: Machine, host: LinuxHost
) -> None:
    machine.parameter(FORWARD, "1")
    spread = "net.ipv4.fib_multipath_hash_policy"

    observed = host.observe((FORWARD, spread))
    host.warn_of_fixed_parameters([FORWARD, spread])

    assert (observed.sysctls, observed.fixed) == ({FORWARD: "1"}, frozenset({spread}))
    assert [each for each in host.warnings if spread in each] == host.warnings != []


@pytest.mark.feature("G51")
def test_frr_can_enter_unos_folder_whatever_the_umask_is(machine: Machine, host: LinuxHost) -> None:
    before = os.umask(0o077)
    try:
        host.perform(CreateTunnel(TUNNEL))
    finally:
        os.umask(before)

    for folder in (host.folder, host.folder.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o711
    assert machine.interfaces["uwg-b0"]
