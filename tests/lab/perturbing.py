"""Changes of one attribute of uno's on a host, as another program makes them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from watching import await_true

from uno.lab.node import Node

# In each command, {link} is the cell's first link, {vtysh} a vtysh for uno's FRR.
LINK = "uwg-b0"
VTYSH = "vtysh --vty_socket /run/uno/*/frr"
PEER = "$(wg show {link} peers)"


@dataclass(frozen=True, slots=True)
class Perturbation:
    """A command that changes one attribute, and one that shows the attribute."""

    name: str
    command: str
    show: str


def sysctl(key: str, value: str) -> Perturbation:
    return Perturbation(key, f"sysctl -qw {key}={value}", f"sysctl -n {key}")


def peer(name: str, settings: str, show: str) -> Perturbation:
    command = f"wg set {{link}} peer {PEER} {settings}"
    return Perturbation(f"peer: {name}", command, f"wg show {{link}} {show}")


def link(name: str, command: str, show: str) -> Perturbation:
    return Perturbation(f"link: {name}", command, show)


def nft(name: str, command: str) -> Perturbation:
    return Perturbation(f"nftables: {name}", f"nft {command}", "nft -s list table inet uno")


def frr(daemon: str, name: str, *commands: str) -> Perturbation:
    words = " ".join(f'-c "{each}"' for each in ("configure terminal", *commands))
    running = f"{{vtysh}} -d {daemon} -c 'show running-config' | sort"
    return Perturbation(f"{daemon}: {name}", f"{{vtysh}} -d {daemon} {words}", running)


_FLAGS = "ip -o link show {link} | grep -o '<.*>\\|mtu [0-9]*\\|alias.*'"
_ADDRESSES = "ip -br addr show {link} scope global | sort"
_ROUTES = "ip route show dev {link} proto 98; ip -6 route show dev {link} proto 98"
_ALL = f"{_FLAGS}; {_ADDRESSES}; {_ROUTES}"
_NODE = _ALL.replace("{link}", "uno0")
_ROOT = _ALL.replace("{link}", "uwg-v0")
_ROUTER = "$({vtysh} -d bgpd -c 'show running-config' | grep '^router bgp')"
_NEIGHBOR = "$({vtysh} -d bgpd -c 'show running-config' | grep -o 'neighbor [0-9.]*' | head -1)"
_PROFILE = "$({vtysh} -d bfdd -c 'show running-config' | grep '^ profile' | head -1)"
_LIST = (
    "$({vtysh} -d bgpd -c 'show running-config' | grep -o '^ip prefix-list [A-Z0-9-]*' | tail -1)"
)
_MAP = "$({vtysh} -d bgpd -c 'show running-config' | grep '^route-map IMPORT' | head -1)"


def _without_address(version: int, device: str) -> str:
    first = (
        f"ip -{version} -o addr show {device} scope global | tr -s ' ' | cut -d' ' -f4 | head -1"
    )
    return f"ip addr del $({first}) dev {device}"


PERTURBATIONS = (
    # First, at rest: the kernel does not notify of it, and a pass for another would put it back.
    sysctl("net.ipv6.conf.{link}.accept_ra", "2"),
    link("down", "ip link set {link} down", _ALL),
    link("mtu", "ip link set {link} mtu 1300", _ALL),
    link("alias", "ip link set {link} alias other", _ALL),
    link("IPv4 address removed", _without_address(4, "{link}"), _ALL),
    link("IPv6 address removed", _without_address(6, "{link}"), _ALL),
    link("address added", "ip addr add 10.99.0.1/32 dev {link}", _ALL),
    link("deleted", "ip link del {link}", f"{_ALL}; wg show {{link}} allowed-ips"),
    link("private key", "wg genkey | wg set {link} private-key /proc/self/fd/0",
         "wg show {link} private-key"),
    link("port", "wg set {link} listen-port 40404", "wg show {link} listen-port"),
    link("mark", "wg set {link} fwmark 0", "wg show {link} fwmark"),
    link("root VPN down", "ip link set uwg-v0 down", _ROOT),
    link("route into the root VPN", "ip route flush dev uwg-v0 proto 98", _ROOT),
    peer("removed", "remove", "allowed-ips"),
    peer("allowed IPs", "allowed-ips 10.99.0.0/24", "allowed-ips"),
    peer("preshared key", "preshared-key /dev/null", "preshared-keys"),
    peer("keepalive", "persistent-keepalive 77", "persistent-keepalive"),
    Perturbation("WireGuard's packets: IPv4 rule", "ip rule del priority 6344", "ip rule"),
    Perturbation("WireGuard's packets: IPv6 rule", "ip -6 rule del priority 6344", "ip -6 rule"),
    Perturbation("WireGuard's packets: routes", "ip route flush table 251658423",
                 "ip route show table 251658423"),
    Perturbation("node: MTU", "ip link set uno0 mtu 600", _NODE),
    Perturbation("node: down", "ip link set uno0 down", _NODE),
    Perturbation("node: deleted", "ip link del uno0", _NODE),
    Perturbation("node: ARP", "ip link set uno0 arp on", _NODE),
    Perturbation("node: IPv4 address", _without_address(4, "uno0"), _NODE),
    Perturbation("node: IPv6 address", _without_address(6, "uno0"), _NODE),
    Perturbation("node: blackhole route", "ip route flush dev uno0 proto 98", _NODE),
    Perturbation("unreachable routes: IPv4", "ip route flush type unreachable proto 98",
                 "ip -4 route show type unreachable proto 98 | sort"),
    Perturbation("unreachable routes: IPv6", "ip -6 route flush type unreachable proto 98",
                 "ip -6 route show type unreachable proto 98 | sort"),
    sysctl("net.ipv4.ip_forward", "0"),
    sysctl("net.ipv4.conf.all.accept_redirects", "1"),
    sysctl("net.ipv4.fib_multipath_hash_policy", "0"),
    sysctl("net.ipv6.conf.all.forwarding", "0"),
    sysctl("net.ipv6.fib_multipath_hash_policy", "0"),
    sysctl("net.ipv4.conf.{link}.rp_filter", "1"),
    sysctl("net.ipv4.conf.{link}.forwarding", "0"),
    sysctl("net.ipv6.conf.{link}.forwarding", "0"),
    Perturbation("net.ipv6.conf.{link}.disable_ipv6",
                 "sysctl -qw net.ipv6.conf.{link}.disable_ipv6=1", _ALL),
    nft("table deleted", "delete table inet uno"),
    nft("set flushed", "flush set inet uno uvn_prefixes4"),
    nft("chain flushed", "flush chain inet uno from_links"),
    nft("rule added", "insert rule inet uno from_links drop"),
    frr("bgpd", "neighbor removed", _ROUTER, f"no {_NEIGHBOR}"),
    frr("bgpd", "neighbor shut down", _ROUTER, f"{_NEIGHBOR} shutdown"),
    frr("bgpd", "list removed", f"no {_LIST}"),
    frr("bgpd", "import policy", _MAP, "set local-preference 7"),
    frr("bfdd", "detection time", "bfd", _PROFILE, "detect-multiplier 9"),
    frr("zebra", "route-map", "no ip protocol bgp"),
)  # fmt: skip


def perturb(cell: Node, each: Perturbation, *, within: float) -> float:
    """Change one attribute of a cell, and return the seconds until it is as it was."""
    before = shown(cell, each)
    began = time.monotonic()
    changed = run(cell, f"{each.command}; {each.show}")
    if before == changed:
        # It may be back already.
        assert time.monotonic() - began > 0.1, f"{each.name}: the command changed nothing"
    await_true(lambda: shown(cell, each) == before, f"{cell.name}: {each.name}", within=within)
    return time.monotonic() - began


def shown(cell: Node, each: Perturbation) -> str:
    return run(cell, each.show)


def run(cell: Node, command: str) -> str:
    filled = command.replace("{link}", LINK).replace("{vtysh}", VTYSH)
    return cell.run(["sh", "-c", filled], check=False).stdout


def share(cells: tuple[Node, ...], cell: Node) -> Iterable[Perturbation]:
    """Return the perturbations of one of several cells: all are perturbed at the same time."""
    return PERTURBATIONS[cells.index(cell) :: len(cells)]
