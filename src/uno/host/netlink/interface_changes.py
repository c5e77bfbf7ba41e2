"""Changes of interfaces, addresses and routes, through iproute2.

Sources: ip-link(8), ip-route(8), ip-rule(8).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from uno.host import sysctl
from uno.host.command import CommandFailed, run
from uno.model.net import Address, Network
from uno.model.tunnel import UNDERLAY_MARK, InterfaceAddress
from uno.ports.host import HostRoute, Underlay

# The protocol of uno's own routes; FRR's have bgp. /etc/iproute2/rt_protos has no name for it.
PROTOCOL = "98"

# The highest byte is the distance that zebra gives a kernel route (FRR manual, Administrative
# Distance): every other route is preferred to one with 255.
UNREACHABLE_METRIC = "4278198272"

# Preferred to an unreachable route for the same prefix; zebra gives both the same distance.
BLACKHOLE_METRIC = "4278198271"

MAIN_TABLE = 254

# The table for packets of WireGuard itself; the registries' tables begin after it.
UNDERLAY_TABLE = 0x0F00_00B7

# Before the rules of VPNs that take all traffic (wg-quick: 32764), after those of the kernel.
RULE_PRIORITY = 6344


def batch(lines: Iterable[str], *, force: bool = False, family: str | None = None) -> None:
    """Run `ip -batch`, the commands in order; with `force` go on after one that fails.

    `family` is the option of ip(8) for commands whose addresses do not determine it.
    """
    text = "".join(f"{line}\n" for line in lines)
    if not text:
        return
    argv = ["ip", *([family] if family else []), *(["-force"] if force else []), "-batch", "-"]
    done = run(argv, stdin=text, check=False)
    if done.status != 0 and not force:
        raise CommandFailed(["ip", "-batch", "-"], _failed_line(done.stderr, text))


def delete(name: str) -> None:
    """Delete an interface, if it exists."""
    done = run(["ip", "link", "delete", "dev", name], check=False)
    if done.status != 0 and "Cannot find device" not in done.stderr:
        raise CommandFailed(done.argv, f"ended with status {done.status}", stderr=done.stderr)


def change_rules(
    *, add: Iterable[tuple[Address, int]] = (), remove: Iterable[tuple[Address, int]] = ()
) -> None:
    """Add and remove rules, each of which selects a table for a source address.

    Rules to add must not exist yet; rules to remove may be missing.
    """
    for version, family in ((4, "-4"), (6, "-6")):
        gone = [rule("del", *each) for each in remove if each[0].version == version]
        batch(gone, force=True, family=family)
        batch((rule("add", *each) for each in add if each[0].version == version), family=family)


def change_underlay(before: Underlay | None, after: Underlay | None) -> None:
    """Change the routes of WireGuard's own packets, and the rules that select them."""
    old, new = before or Underlay(families=()), after or Underlay(families=())
    # There may be routes without a rule: of a command that was killed.
    routed = {each.destination.version for each in (*old.routes, *new.routes)}
    for family in sorted({*old.families, *new.families, *routed}):
        option = f"-{family}"
        if family in old.families and family not in new.families:
            batch([_marked_rule("del")], force=True, family=option)
        gone = (r for r in old.routes if r not in new.routes and r.destination.version == family)
        batch((_underlay_route("del", each) for each in gone), force=True, family=option)
        added = (r for r in new.routes if r not in old.routes and r.destination.version == family)
        # An interface may have gone since: the next pass compares again.
        batch((_underlay_route("replace", each) for each in added), force=True, family=option)
        if family in new.families and family not in old.families:
            batch([_marked_rule("add")], family=option)


def add_unreachable_routes(networks: Iterable[Network]) -> None:
    """Add an unreachable route with the worst metric for each prefix, if there is none."""
    batch(unreachable_route("replace", each) for each in networks)


def remove_unreachable_routes(networks: Iterable[Network]) -> None:
    """Remove the routes of `add_unreachable_routes`."""
    batch((unreachable_route("del", each) for each in networks), force=True)


def has_routes(protocols: frozenset[str], *, except_on: frozenset[str]) -> bool:
    """Whether there are routes of these protocols into other interfaces than those named."""
    return any(
        route.get("protocol") in protocols and route.get("dev") not in except_on
        for family in (("-4", "-6") if sysctl.exists("net.ipv6.conf") else ("-4",))
        for route in _json([family, "route", "show"])
    )


def add_route(name: str, prefix: Network, *, table: int | None = None) -> str:
    """Return the batch line that routes `prefix` into an interface."""
    return f"route replace {prefix} dev {name} table {table or MAIN_TABLE} proto {PROTOCOL}"


def remove_route(name: str, prefix: Network, *, table: int | None = None) -> str:
    """Return the batch line that removes the route of `add_route`."""
    return f"route del {prefix} dev {name} table {table or MAIN_TABLE} proto {PROTOCOL}"


def add_blackhole_route(name: str, prefix: Network) -> str:
    """Return the batch line of a route into a dummy interface, which discards the packets."""
    return f"route replace {prefix} dev {name} metric {BLACKHOLE_METRIC} proto {PROTOCOL}"


def remove_blackhole_route(name: str, prefix: Network) -> str:
    """Return the batch line that removes the route of `add_blackhole_route`."""
    return f"route del {prefix} dev {name} metric {BLACKHOLE_METRIC} proto {PROTOCOL}"


def unreachable_route(verb: str, prefix: Network) -> str:
    """Return the batch line that adds (`replace`) or removes (`del`) an unreachable route."""
    return f"route {verb} unreachable {prefix} metric {UNREACHABLE_METRIC} proto {PROTOCOL}"


def add_address(name: str, address: InterfaceAddress) -> str:
    """Return the batch line that gives an interface an address."""
    # nodad: duplicate address detection would take 1 s, and both ends of a tunnel are planned.
    return f"addr add {address} dev {name}{' nodad' if address.version == 6 else ''}"


def rule(verb: str, source: Address, table: int) -> str:
    """Return the batch line that adds (`add`) or removes (`del`) the rule of a source address."""
    where = f"from {source} lookup {table} priority {RULE_PRIORITY}"
    return f"rule {verb} {where} protocol {PROTOCOL}"


def _marked_rule(verb: str) -> str:
    where = f"fwmark {UNDERLAY_MARK:#x} lookup {UNDERLAY_TABLE} priority {RULE_PRIORITY}"
    return f"rule {verb} {where} protocol {PROTOCOL}"


def _underlay_route(verb: str, route: HostRoute) -> str:
    gateway = route.gateway
    inet6 = "inet6 " if gateway and gateway.version != route.destination.version else ""
    by = f" via {inet6}{gateway}" if gateway else ""
    to = f"{route.destination}{by} dev {route.interface}{' onlink' if route.onlink else ''}"
    return f"route {verb} {to} table {UNDERLAY_TABLE} proto {PROTOCOL}"


def _json(arguments: list[str]) -> list[dict[str, Any]]:
    found = json.loads(run(["ip", "-j", *arguments]).stdout or "[]")
    return [each for each in found if each]


def _failed_line(stderr: str, text: str) -> str:
    """Return the command that failed; after the reason ip prints `Command failed -:LINE`."""
    number = stderr.rpartition("Command failed -:")[2].strip()
    lines = text.splitlines()
    if not number.isdigit() or not 0 < int(number) <= len(lines):
        return f"failed: {stderr.strip()}"
    reason = stderr.partition("Command failed")[0].strip()
    return f"failed at `ip {lines[int(number) - 1]}`: {reason}"
