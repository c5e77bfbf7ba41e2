"""Static routes in the syntax of common routers.

Sources: ip-route(8), systemd.network(5); OpenWrt's "Static routes" and "UCI networking"; RouterOS'
"IP Routing", "Firewall" (raw, notrack); the manuals of FRITZ!OS, UniFi Network, pfSense
("Static Routes", "Bypass Firewall Rules for Traffic on Same Interface") and OPNsense ("Routes").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from uno.model.net import Network
from uno.render.handout import Block, Items, Lines, Rows, Section, Text


class Route(Struct, frozen=True, kw_only=True):
    """A network behind the cell. `gateway` is the cell's address in the LAN, or a placeholder.

    `label` names the network's cell, in characters that any router accepts in a comment.
    """

    network: Network
    gateway: str
    label: str


def sections(routes: Sequence[Route], lans: Sequence[Network]) -> tuple[Section, ...]:
    """Return how to add `routes` to the router of `lans`, one folded section for each router."""
    kinds = (
        ("Linux", _linux(routes)),
        ("OpenWrt", _openwrt(routes)),
        ("FRITZ!Box and other home routers", _home(routes)),
        ("MikroTik RouterOS", _mikrotik(routes, lans)),
        ("UniFi", _unifi(routes)),
        ("pfSense and OPNsense", _sense(routes)),
    )
    return tuple(Section(name, tuple(blocks), folded=True) for name, blocks in kinds)


def _linux(routes: Sequence[Route]) -> Iterator[Block]:
    yield Text("At once, until the next start:")
    yield Lines([f"ip {_dash6(it)}route add {it.network} via {it.gateway}" for it in routes])
    yield Text(
        "For good, where systemd-networkd configures the LAN's interface: add these to its "
        "`.network` file, then `networkctl reload`."
    )
    yield Lines(
        [
            line
            for it in routes
            for line in ("[Route]", f"Destination={it.network}", f"Gateway={it.gateway}")
        ]
    )
    yield Text(
        "If its firewall drops packets of the connection state `invalid`, accept what goes from "
        "the LAN to these networks before that rule."
    )


def _openwrt(routes: Sequence[Route]) -> Iterator[Block]:
    yield Text(
        "In LuCI: **Network**, **Routing**, tab **Static IPv4 Routes** or **Static IPv6 Routes**, "
        "**Add**. Interface `lan`, route type `unicast`, target and gateway as below; then **Save "
        "& Apply**. Or as root on the router, OpenWrt 21.02 and later:"
    )
    yield Lines([*(line for it in routes for line in _uci(it)), *_UCI_END])
    yield Text(
        "Under **Network**, **Firewall**, leave **Drop invalid packets** off, and **Forward** of "
        "the zone `lan` at **accept**, as both are by default."
    )


def _uci(route: Route) -> Iterator[str]:
    kind = "route6" if route.network.version == 6 else "route"
    yield f"uci add network {kind}"
    yield f"uci set network.@{kind}[-1].interface='lan'"
    yield f"uci set network.@{kind}[-1].target='{route.network}'"
    yield f"uci set network.@{kind}[-1].gateway='{route.gateway}'"


_UCI_END = ("uci commit network", "service network reload")


def _home(routes: Sequence[Route]) -> Iterator[Block]:
    yield Text(
        "FRITZ!Box: **Home Network**, **Network**, **Network Settings**, **Static routing table** "
        "(“additional settings” have to be shown), **IPv4 Routes** or **IPv6 Routes**, **New "
        "route**. Others call it “static routes” or “advanced routing”. A router that has no such "
        "page cannot do it: let this host, or another router, be the LAN's default gateway."
    )
    for version, third in ((4, "Subnet mask"), (6, "Prefix length")):
        chosen = [it for it in routes if it.network.version == version]
        if chosen:
            yield Rows(
                (f"IPv{version} network", third, "Gateway"),
                [
                    tuple(f"`{value}`" for value in (*_two_parts(it.network), it.gateway))
                    for it in chosen
                ],
            )


def _two_parts(network: Network) -> tuple[object, object]:
    length = network.netmask if network.version == 4 else network.prefixlen
    return network.network_address, length


def _mikrotik(routes: Sequence[Route], lans: Sequence[Network]) -> Iterator[Block]:
    yield Text(
        "In a terminal. The last lines keep its firewall from taking answers for `invalid`: it "
        "sees only one direction of these connections, since this host delivers to the LAN itself."
    )
    adds = [
        f"/{_ip(it.network)} route add dst-address={it.network} gateway={it.gateway}"
        f' comment="uno: {it.label}"'
        for it in routes
    ]
    lists = [
        f"/{_ip(it.network)} firewall address-list add list=uno address={it.network}"
        for it in routes
    ]
    untracked = [
        f"/{_ip(lan)} firewall raw add chain=prerouting action=notrack src-address={lan}"
        " dst-address-list=uno comment=uno"
        for lan in lans
        if any(it.network.version == lan.version for it in routes)
    ]
    yield Lines([*adds, *lists, *untracked])


def _unifi(routes: Sequence[Route]) -> Iterator[Block]:
    yield Text(
        "UniFi Network: **Settings**, **Routing**, **Static Routes** (in newer versions **Policy "
        "Engine**, **Routes**), **Create**, one for each row: type **Next Hop**, distance `1`."
    )
    yield Rows(
        ("Destination network", "Next hop", "Name"),
        [(f"`{it.network}`", f"`{it.gateway}`", f"`uno {it.label}`") for it in routes],
    )


def _sense(routes: Sequence[Route]) -> Iterator[Block]:
    gateway = (
        "pfSense: **System**, **Routing**, **Gateways**, **Add**: interface `LAN`, name `UNO` "
        f"(`UNO6` for IPv6), gateway {_gateways(routes)}. OPNsense: **System**, **Gateways**, "
        "**Configuration**."
    )
    static = (
        "pfSense: **System**, **Routing**, **Static Routes**, **Add**, one for each row. "
        "OPNsense: **System**, **Routes**, **Configuration**."
    )
    bypass = (
        "Both: tick **Bypass firewall rules for traffic on the same interface** (pfSense: "
        "**System**, **Advanced**, **Firewall & NAT**; OPNsense: **Firewall**, **Settings**, "
        "**Advanced**), since they see only one direction of these connections."
    )
    yield Items((gateway, static, bypass), numbered=True)
    yield Rows(
        ("Destination network", "Gateway", "Description"),
        [
            (f"`{it.network}`", "`UNO`" if it.network.version == 4 else "`UNO6`", f"uno {it.label}")
            for it in routes
        ],
    )


def _gateways(routes: Iterable[Route]) -> str:
    return " and ".join(f"`{gateway}`" for gateway in dict.fromkeys(it.gateway for it in routes))


def _dash6(route: Route) -> str:
    return "-6 " if route.network.version == 6 else ""


def _ip(network: Network) -> str:
    return "ip" if network.version == 4 else "ipv6"
