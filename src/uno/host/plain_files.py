"""A cell as plain files, for a host without uno: configurations of wg, nft and FRR, and scripts.

What `LinuxHost` does with the same desired state, a shell script does here. It has no diff: to
apply other files, stop with the old ones and start with the new ones.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from uno.host.netlink import interface_changes as changes
from uno.host.routing_frr import daemons
from uno.host.wireguard import interfaces, observed_tunnels
from uno.model.net import Address
from uno.model.tunnel import Tunnel
from uno.ports.host import Desired, NodeInterface
from uno.render.frr import startup
from uno.render.nftables import TABLE

RUN = Path("/run/uno-files")
"""Where FRR's sockets are while a cell runs from plain files."""

_FRR = RUN / "frr"

# As `LinuxHost` sets them.
_NODE, _TUNNEL = ("disable_ipv6",), ("disable_ipv6", "accept_ra", "rp_filter")


class PlainFile(Struct, frozen=True, kw_only=True):
    """A file to write: its path in the directory, its text and its mode."""

    name: str
    text: str
    mode: int = 0o600


def plain_files(wanted: Desired, *, cell: str, generation: int) -> tuple[PlainFile, ...]:
    """Return the files of the cell named `cell` that is to own `wanted`."""
    routing = wanted.routing.daemons if wanted.routing else ()
    tunnels = sorted(wanted.tunnels, key=lambda each: (each.port is None, each.name))
    about = f"Cell {cell}, generation {generation}. Made by `uno export cell {cell} --files`."
    daemon = daemons.daemons_script(_FRR, daemons.SWEEP_SECONDS)
    return (
        PlainFile(name="start", text=_start(wanted, tunnels, about), mode=0o700),
        PlainFile(name="stop", text=_stop(wanted, tunnels, about), mode=0o700),
        PlainFile(name="uno.nft", text=wanted.firewall or ""),
        *(
            PlainFile(name=f"wg/{each.name}.conf", text=interfaces.configuration(each, {}))
            for each in tunnels
        ),
        *(PlainFile(name=f"frr/{name}.startup", text=startup(text)) for name, text in routing),
        PlainFile(name="frr/daemon.sh", text=daemon, mode=0o700),
    )


def _start(wanted: Desired, tunnels: Sequence[Tunnel], about: str) -> str:
    head = f"""\
# {about}
#
#   ./start             connects this host: ip, wg (or wireguard-go), nft and FRR
#   ./start endpoints   resolves the names of neighbours again; run it by cron if they change"""
    networks = wanted.unreachable_routes
    return _script(
        head,
        [
            *_functions(),
            *_endpoints(tunnels),
            f'[ ! -e {RUN} ] || {{ echo "it runs: ./stop first" >&2; exit 1; }}',
            f"mkdir -m 755 {RUN}",
            "# What must not leave in clear text never follows the default route.",
            *(f"ip {changes.unreachable_route('replace', each)}" for each in networks),
            "nft -f uno.nft",
            *(_node(wanted.node) if wanted.node else ()),
            *(line for each in tunnels for line in _tunnel(each)),
            *(f"parameter {key.replace('.', '/')} {value}" for key, value in wanted.sysctls),
            "set_endpoints",
            *_routing(wanted),
        ],
    )


def _stop(wanted: Desired, tunnels: Sequence[Tunnel], about: str) -> str:
    """Return the script that removes what `start` made, but for kernel parameters."""
    head = f"""\
# {about}
#
#   ./stop              disconnects this host; packets to the other sites are rejected here
#   ./stop --forget     removes the routes that reject them, too"""
    router = "\"$(grep '^router bgp' frr/bgpd.startup)\""
    names = [each.name for each in tunnels] + ([wanted.node.name] if wanted.node else [])
    rules = (f"ip {family} {changes.rule('del', *each)}" for family, each in _rules(tunnels))
    routes = (f"ip {changes.unreachable_route('del', each)}" for each in wanted.unreachable_routes)
    return _script(
        head,
        [
            f'pid=$(cat {_FRR}/watchfrr.pid 2>/dev/null) && kill "$pid" || true',
            "# Neighbours stop sending at once: without it they assume a graceful restart.",
            (
                f"shut() {{ HOME={_FRR} vtysh --vty_socket {_FRR} -d bgpd"
                " -c 'configure terminal' \"$@\"; }"
            ),
            f"shut -c {router} -c 'bgp shutdown' || true",
            *(f"sh {_FRR}/daemon.sh stop {name}" for name in reversed(daemons.DAEMONS)),
            *(f"ip link delete dev {each} || true" for each in names),
            *(f"{each} || true" for each in rules),
            f"nft delete table inet {TABLE} || true",
            f"rm -rf {RUN}",
            '[ "${1:-}" = --forget ] || exit 0',
            *(f"{each} || true" for each in routes),
        ],
    )


def _script(head: str, lines: Iterable[str]) -> str:
    body = "\n".join(lines)
    head = f'{head}\nset -eu\nPATH=$PATH:/usr/sbin:/sbin\ncd "$(dirname "$0")"'
    return f"#!/bin/sh\n{head}\n\n{body}\n"


def _functions() -> Iterator[str]:
    yield "# A parameter that this kernel lacks is left out; one that cannot be set is named."
    yield (
        'parameter() { [ ! -e "/proc/sys/$1" ] || echo "$2" >"/proc/sys/$1" ||'
        ' echo "cannot set $1 to $2" >&2; }'
    )
    yield (
        'tunnel() { ip link add dev "$1" type wireguard 2>/dev/null || wireguard-go "$1"; '
        'wg setconf "$1" "wg/$1.conf"; }'
    )
    yield (
        'endpoint() { wg set "$1" peer "$2" endpoint "$3" ||'
        ' echo "$1: the name in $3 cannot be resolved: ./start endpoints" >&2; }'
    )


def _endpoints(tunnels: Iterable[Tunnel]) -> Iterator[str]:
    yield "set_endpoints() {"
    yield "  :"
    for each in tunnels:
        for peer in each.peers:
            if peer.endpoint:
                words = (each.name, peer.public_key, peer.endpoint)
                yield f"  WG_ENDPOINT_RESOLUTION_RETRIES=2 endpoint {shlex.join(words)}"
    yield "}"
    yield '[ "${1:-}" != endpoints ] || { set_endpoints; exit 0; }'


def _node(node: NodeInterface) -> Iterator[str]:
    name = node.name
    yield f"ip link add dev {name} type dummy 2>/dev/null || ip link add dev {name} type bridge"
    yield from _parameters(name, _NODE)
    yield f"ip link set dev {name} arp off up"
    yield from (f"ip {changes.add_address(name, each)}" for each in node.addresses)
    yield from (f"ip {changes.add_blackhole_route(name, each)}" for each in node.blackhole_routes)


def _tunnel(tunnel: Tunnel) -> Iterator[str]:
    name = tunnel.name
    yield f"tunnel {name}"
    yield from _parameters(name, _TUNNEL)
    yield f"ip link set dev {name} mtu {tunnel.mtu} up"
    yield from (f"ip {changes.add_address(name, each)}" for each in tunnel.addresses)
    yield from (f"ip {line}" for line in observed_tunnels.route_lines(tunnel, None))
    for family, each in _rules([tunnel]):
        yield f"ip {family} {changes.rule('add', *each)}"


def _rules(tunnels: Iterable[Tunnel]) -> Iterator[tuple[str, tuple[Address, int]]]:
    for tunnel in tunnels:
        for source, table in sorted(observed_tunnels.rules_of(tunnel), key=str):
            yield f"-{source.version}", (source, table)


def _parameters(name: str, keys: tuple[str, ...]) -> Iterator[str]:
    if "disable_ipv6" in keys:
        yield f"parameter net/ipv6/conf/{name}/disable_ipv6 0"
    if "accept_ra" in keys:
        yield f"parameter net/ipv6/conf/{name}/accept_ra 0"
    if "rp_filter" in keys:
        yield f"parameter net/ipv4/conf/{name}/rp_filter 2"


def _routing(wanted: Desired) -> Iterator[str]:
    if wanted.routing is None:
        return
    yield f"mkdir -m 750 {_FRR}"
    yield f"cp frr/*.startup frr/daemon.sh {_FRR}/"
    yield f"chown -R frr:frr {_FRR}"
    for name, _ in wanted.routing.daemons:
        yield f"sh {_FRR}/daemon.sh start {name}"
    words = daemons.Frr(_FRR).watchdog(wanted.routing)
    yield f"{shlex.join(words)} >{RUN}/watchfrr.log 2>&1 </dev/null &"
