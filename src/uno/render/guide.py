"""The installation guide of a cell: packages, ports, routes, commands.

All of it follows from the plan, but for the address that the host has in its own LAN.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from uno.diagnostics import Problem, Rejected
from uno.model.listening_ports import BFD_PORT, bus_transport
from uno.model.net import Address, Network
from uno.model.plan import LinkEnd, Member, Plan, PlannedCell
from uno.model.routing_policy import BGP_PORT
from uno.model.syntax import same_host
from uno.render import guide_routers
from uno.render.guide_routers import Route
from uno.render.handout import Block, Handout, Lines, Rows, Section, Text, plain

# What Debian and Ubuntu call what a cell needs; scripts/setup installs the same.
PACKAGES = (
    "frr",
    "frr-pythontools",
    "wireguard-tools",
    "iproute2",
    "nftables",
    "iputils-ping",
    "procps",
    "python3-venv",
)
# A placeholder that is no valid address, so that it is not copied by mistake.
_GATEWAYS = {4: "HOST-ADDRESS", 6: "HOST-ADDRESS-6"}
# A link that is added later needs no visit to the router.
_SPARE_PORTS = 4
_DIRECTORY = "/opt/uvn"
_LAN_OF = "LAN of "
# In bytes: 40 of IPv6, 8 of UDP, 32 of WireGuard (its paper, section 5.4.6).
_OVERHEAD = 80


class Forward(Struct, frozen=True, kw_only=True):
    """UDP ports that have to reach the host, `last` among them, and what comes in there."""

    first: int
    last: int
    purpose: str

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}–{self.last}"


def guide(
    plan: Plan,
    cell: str,
    *,
    fingerprint: str,
    bus_ports: tuple[int, ...],
    gateways: Sequence[Address] = (),
) -> Handout:
    """Return the install guide of the cell called `cell`, which `plan` has.

    `fingerprint` is that of the registry's key, `bus_ports` are the ports of the cell's agent.
    `gateways` are the host's addresses in its LANs, one of each family at most. Raises `Rejected`
    for an address that no LAN of the cell has.
    """
    planned = next(each for each in plan.cells if each.member.name == cell)
    given = _gateways(planned, gateways)
    return Handout(
        above=plan.uvn,
        title=f"Install cell {cell}",
        lead=_lead(plan, planned),
        blocks=(
            Section("This host", tuple(_host(plan, planned, fingerprint))),
            Section("1. Packages", tuple(_packages())),
            Section("2. Ports to forward", tuple(_ports(plan, planned, bus_ports))),
            Section("3. Routes on the LAN's router", tuple(_routes(plan, planned, given))),
            Section("4. Commands", tuple(_commands(plan, planned, fingerprint))),
            Section("5. Does it work?", tuple(_checks(plan, planned))),
            Section("If it does not", tuple(_remedies(plan, planned))),
        ),
    )


def forwards(plan: Plan, cell: PlannedCell) -> tuple[Forward, ...]:
    """Return what the router in front of `cell` has to forward: nothing to a private one."""
    if cell.member.endpoint is None:
        return ()
    found = []
    if cell.root_port is not None:
        found.append((cell.root_port, cell.root_port, "the registry, which pushes configurations"))
    if cell.particles_port is not None:
        found.append((cell.particles_port, cell.particles_port, "particles: phones and laptops"))
    ports = sorted(ours.port for ours, _ in _ends(plan, cell.member.id) if ours.port is not None)
    if ports:
        found.append((ports[0], ports[-1], "links with other cells"))
    return tuple(Forward(first=low, last=high, purpose=what) for low, high, what in found)


def prefixes(plan: Plan, cell: PlannedCell) -> tuple[tuple[Network, str], ...]:
    """Return the networks that `cell`'s LANs reach through it, and whose they are.

    Of the families that the LANs have, since a host without an IPv6 address has no use for routes.
    """
    versions = {lan.version for lan in cell.member.lans}
    vpn = plan.particles_vpn
    found: list[tuple[Network, str]] = [
        (lan, f"{_LAN_OF}{each.member.name}")
        for each in plan.cells
        if each is not cell
        for lan in each.member.lans
    ]
    found.append((plan.pools.root, "cells, and particles that come in through other cells"))
    found.append((plan.pools.backbone, "links, for traceroute"))
    if vpn is not None and not vpn.masquerade:
        found.append((plan.pools.particles, "particles"))
    found.append((plan.pools.ula, "cells, links and particles"))
    return tuple((network, whose) for network, whose in found if network.version in versions)


def _lead(plan: Plan, cell: PlannedCell) -> str:
    what = "public" if cell.member.endpoint else "private"
    role = "a gateway to its LANs" if cell.member.lans else "a router without a LAN of its own"
    count = len(plan.cells) - 1
    others = f"{count} other cell{'' if count == 1 else 's'}" if count else "no other cell yet"
    return f"A {what} cell, {role}, with {others}. Made from the plan by `uno guide`; print it."


def _host(plan: Plan, cell: PlannedCell, fingerprint: str) -> Iterator[Block]:
    member = cell.member
    neighbours = [_name(plan, theirs.cell) for _, theirs in _ends(plan, member.id)]
    rows = [
        ("Cell", f"`{member.name}`, number {member.id}"),
        ("Owner", plain(cell.owner)),
        ("Where", plain(cell.location or "")),
        ("Reached at", f"`{member.endpoint}`" if member.endpoint else "nothing: it dials out"),
        ("LANs", ", ".join(f"`{lan}`" for lan in member.lans) or "none"),
        ("Own addresses", f"`{member.node4}`, `{member.node6}`"),
        ("Links with", ", ".join(f"`{name}`" for name in neighbours) or "none yet"),
        ("Registry's key", f"`{fingerprint}`"),
    ]
    yield Rows(("What", "Value"), [row for row in rows if row[1]])
    if member.lans:
        yield Text(
            "It needs Linux, and an address in "
            + ("the LAN" if len(member.lans) == 1 else "each of the LANs")
            + ": better a fixed one, or one that the DHCP server reserves for it."
        )


def _packages() -> Iterator[Block]:
    yield Text("On Debian 12, Ubuntu 22.04 or later, as root:")
    yield Lines(["apt update", f"apt install --no-install-recommends {' '.join(PACKAGES)}"])
    yield Text(
        "FRR's own service is not needed; if nothing else uses it: `systemctl disable --now frr`. "
        "Where the kernel has no WireGuard (some containers), add `wireguard-go`. Then uno, from "
        "its source in `/opt/uno/src`, with what it depends on; pip refuses what has another hash "
        "than the one in the source:"
    )
    yield Lines(
        [
            "python3 -m venv /opt/uno/venv",
            "cd /opt/uno/src/requirements",
            "/opt/uno/venv/bin/pip install --require-hashes -r run.txt -r build.txt",
            "/opt/uno/venv/bin/pip install --no-deps --no-build-isolation /opt/uno/src",
            "ln -s /opt/uno/venv/bin/uno /usr/local/bin/uno",
        ]
    )


def _ports(plan: Plan, cell: PlannedCell, bus_ports: tuple[int, ...]) -> Iterator[Block]:
    wanted = forwards(plan, cell)
    if cell.member.endpoint is None:
        yield Text("None. This cell dials out; any Internet access will do, behind any NAT.")
        yield from _firewall(plan, wanted, bus_ports)
        return
    yield Text(
        f"`{cell.member.endpoint}` has to lead to this host. If a router has that address, forward "
        "these ports from it to this host, with the same numbers; if the host has it itself, there "
        "is nothing to forward."
    )
    rows = [(f"UDP {each}", each.purpose) for each in wanted]
    if (registry := _registry_port(plan, cell)) is not None:
        rows.append((f"UDP {registry}", "private cells; to the registry's machine, not to this"))
    yield Rows(("Port", "For"), rows)
    if inside := _at_same_address(plan, cell):
        yield Text(
            f"This is also the public address of {', '.join(f'`{name}`' for name in inside)}. "
            "Between two hosts at this site, a link goes to that address and comes back: the "
            "router has to do so (NAT loopback, also called hairpin NAT; RFC 4787, section 6). "
            "Without it that link stays down, and traffic takes other links."
        )
    links = next((each for each in wanted if each.purpose.startswith("links")), None)
    if links:
        last = min(links.last + _SPARE_PORTS, 65535)
        yield Text(
            f"Forward UDP {links.first}–{last} while you are at it: new links take the next "
            "numbers, and the router will not need you again."
        )
    yield from _firewall(plan, wanted, bus_ports)


def _firewall(plan: Plan, wanted: Iterable[Forward], bus_ports: tuple[int, ...]) -> Iterator[Block]:
    links, bus = plan.backbone.interface.replace("{}", "+"), ":".join(map(str, bus_ports))
    kind = bus_transport(plan.bus).value
    places = [links, plan.root.cell_interface] if plan.root else [links]
    yield Text(
        "If the host has a firewall that drops what is not allowed, such as ufw: WireGuard, and in "
        "the tunnels BFD, BGP and the agents."
    )
    yield Lines(
        [
            *(f"ufw allow {str(each).replace('–', ':')}/udp" for each in wanted),
            f"ufw allow in on {links} proto udp to any port {BFD_PORT}",
            f"ufw allow in on {links} proto tcp to any port {BGP_PORT}",
            *(f"ufw allow in on {place} proto {kind} to any port {bus}" for place in places),
        ]
    )


def _routes(plan: Plan, cell: PlannedCell, gateways: dict[int, str]) -> Iterator[Block]:
    lans = cell.member.lans
    if not lans:
        yield Text("None: this cell has no LAN.")
        return
    networks = prefixes(plan, cell)
    yield Text(
        "Hosts of the LAN send what is for other sites to their router, which has to know that "
        "this host takes it. If this host **is** the LAN's router, there is nothing to do."
    )
    missing = sorted({lan.version for lan in lans} - gateways.keys())
    if missing:
        words = " and ".join(f"`{_GATEWAYS[version]}`" for version in missing)
        yield Text(
            f"Write the host's own address in the LAN for {words}: `ip -br address` shows it on "
            "the host. `uno guide` fills it in with `-g ADDRESS`."
        )
    if len(lans) > 1:
        yield Text("If the LANs have routers of their own, each of them needs these routes.")
    yield Rows(("Network", "Whose"), [(f"`{network}`", whose) for network, whose in networks])
    yield Text(
        "If all sites have their networks out of one block that nothing else uses, one route for "
        "the block does as well as one for each."
    )
    routes = [
        Route(
            network=network,
            gateway=gateways.get(network.version, _GATEWAYS[network.version]),
            label=whose.removeprefix(_LAN_OF).partition(",")[0],
        )
        for network, whose in networks
    ]
    yield from guide_routers.sections(routes, lans)


def _commands(plan: Plan, cell: PlannedCell, fingerprint: str) -> Iterator[Block]:
    package = f"{plan.uvn}__{cell.member.name}.uvn-agent"
    yield Text("On the registry's machine, in the registry's directory:")
    yield Lines([f"scp cells/{package} root@HOST:"])
    yield Text("On this host, as root:")
    yield Lines(
        [
            f"uno install {package} -r {_DIRECTORY} \\",
            f"  --registry-key {fingerprint}",
            f"rm {package}",
            f"uno service install -r {_DIRECTORY} {'-a -b -s' if plan.root else '-b -s'}",
        ]
    )
    yield Text(
        "The last command connects the host, now and at every boot. Without systemd, have the "
        f"host's own init run `uno {'agent' if plan.root else 'service up'} -r {_DIRECTORY}`."
    )
    yield Text(
        "`uno install` prints the fingerprint of the registry's key. It has to be the one above: "
        "from then on this host accepts packages of that registry alone."
    )
    yield Text(
        "The package holds the keys of this cell only; it changes with every change of the "
        "network that concerns this cell. A newer one is installed with the same commands, and "
        "touches only what differs."
    )


def _checks(plan: Plan, cell: PlannedCell) -> Iterator[Block]:
    neighbours = [_member(plan, theirs.cell) for _, theirs in _ends(plan, cell.member.id)]
    yield Text("On this host; it ends with status 0 if all is well:")
    yield Lines([f"uno service status -r {_DIRECTORY}"])
    if neighbours:
        yield Text("Its neighbours answer, once they are up too:")
        yield Lines([f"ping -c 3 {each.node4}   # {each.name}" for each in neighbours[:4]])
    far = next((pair for pair in prefixes(plan, cell) if pair[1].startswith(_LAN_OF)), None)
    if far:
        yield Text(
            f"And from any other computer of the LAN, a computer in `{far[0]}` ({far[1]}) answers; "
            "`traceroute` to it shows this host first or second."
        )


def _remedies(plan: Plan, cell: PlannedCell) -> Iterator[Block]:
    rows = [
        (
            "`uno service status` misses a LAN",
            "The host has no address in it: `ip -br address`; bring the interface up.",
        )
        if cell.member.lans
        else ("", ""),
        ("A link never had a handshake", _link_remedy(plan, cell)),
        (
            "Links are up, a LAN is missing",
            "The cell at its site is down, or has a package from before it had that LAN.",
        ),
        (
            "This host reaches other sites, its LAN does not",
            "The router lacks the routes of step 3, or takes the answers for invalid.",
        )
        if cell.member.lans
        else ("", ""),
        (
            "`ping` works, large transfers hang",
            f"Some hop takes less than {plan.backbone.mtu + _OVERHEAD:,} bytes: lower `peer_mtu`.",
        ),
        (
            "You want it gone",
            f"`uno service down --forget -r {_DIRECTORY}` removes what uno made, and nothing else.",
        ),
    ]
    yield Rows(("What you see", "What to do"), [row for row in rows if row[0]])


def _link_remedy(plan: Plan, cell: PlannedCell) -> str:
    if cell.member.endpoint is None:
        names = [_name(plan, theirs.cell) for _, theirs in _ends(plan, cell.member.id)]
        whose = ", ".join(f"`{name}`" for name in names) or "the other cell"
        return f"See that UDP may leave this site, and that the ports of {whose} are forwarded."
    return (
        "See that its port arrives: `tcpdump -ni any udp port NUMBER` on this host shows packets, "
        "or the router does not forward them. Both cells need packages that have the link."
    )


def _registry_port(plan: Plan, cell: PlannedCell) -> int | None:
    """Return the registry's port, if it is behind the same public address as `cell`."""
    root, endpoint = plan.root, cell.member.endpoint
    if root is None or root.endpoint is None or endpoint is None:
        return None
    return root.port if same_host(root.endpoint) == same_host(endpoint) else None


def _at_same_address(plan: Plan, cell: PlannedCell) -> list[str]:
    """Return the names of the neighbours that have the public address of `cell`."""
    neighbours = [_member(plan, theirs.cell) for _, theirs in _ends(plan, cell.member.id)]
    return [
        each.name
        for each in neighbours
        if each.endpoint
        and cell.member.endpoint
        and same_host(each.endpoint) == same_host(cell.member.endpoint)
    ]


def _gateways(cell: PlannedCell, given: Iterable[Address]) -> dict[int, str]:
    found: dict[int, str] = {}
    for address in given:
        if not any(address in lan for lan in cell.member.lans):
            lans = ", ".join(map(str, cell.member.lans)) or "it has none"
            raise Rejected(
                Problem(
                    what=f"{address} is in no LAN of {cell.member.name}",
                    hint=f"write the host's address in one of its LANs: {lans}",
                    option="-g",
                )
            )
        if address.version in found:
            raise Rejected(
                Problem(
                    what=f"there are two IPv{address.version} gateways",
                    hint="give one for each family, and make a guide for each LAN's router",
                    option="-g",
                )
            )
        found[address.version] = str(address)
    return found


def _ends(plan: Plan, cell: int) -> list[tuple[LinkEnd, LinkEnd]]:
    """Return the links of a cell in order of their slots, with its own end first."""
    both = [ends for it in plan.links for ends in ((it.a, it.b), (it.b, it.a))]
    return sorted((pair for pair in both if pair[0].cell == cell), key=lambda pair: pair[0].slot)


def _member(plan: Plan, cell: int) -> Member:
    return next(each.member for each in plan.cells if each.member.id == cell)


def _name(plan: Plan, cell: int) -> str:
    return _member(plan, cell).name
