"""Observations of lab tests: a host, the status of a cell, and waiting for a state."""

from __future__ import annotations

import difflib
import json
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import Any

from uno.host.command import Completed
from uno.host.routing_frr import vty
from uno.lab import deploy
from uno.lab.deploy import Deployment, in_parallel
from uno.lab.evidence import lan_pairs
from uno.lab.node import Node
from uno.lab.ping_matrix import PingMatrix, PingPath, PingStream
from uno.model.net import Address, address

UNO = (sys.executable, "-m", "uno")

# What the kernel has, and what `up` must not touch when nothing differs.
KERNEL = {
    "links": "ip -d link | sed 's/ [a-z_]*_timer *[0-9.]*//g'",
    "addresses": "ip address",
    "routes": "ip route show table all | sort",
    "routes6": "ip -6 route show table all | sed 's/ expires [0-9a-z]*//' | sort",
    "rules": "ip rule; ip -6 rule",
    "nftables": "nft -s list ruleset",
    "wireguard": """for each in $(wg show interfaces); do
        wg showconf $each | awk 'BEGIN { RS = "" } { gsub("\\n", " "); print }' | sort
    done""",
    "sysctls": "grep -r . /proc/sys/net 2>/dev/null | grep -v nf_conntrack_count | sort",
}
# What else there is on a host that could be made or ended.
AROUND = {
    "next hops": "ip nexthop | sort",
    "files": """find /run /etc/frr /var/log \\( -path {labs} -o -path /run/mount \\) -prune \\
        -o -printf '%p %y %m %U\\n' | sort""",
    # A process in brackets has ended, and is not waited for yet.
    "processes": """ps ax -o args |
        grep -v -e 'ps ax' -e '^sh -c' -e grep -e '^sort' -e nsenter -e '^\\[' | sort""",
}

ROUTES = {
    "routes": "ip -o route | sed 's/nhid [0-9]* //' | sort",
    "routes6": "ip -6 -o route | sed 's/nhid [0-9]* //' | sort",
}


def snapshot(node: Node, parts: Mapping[str, str] | None = None) -> dict[str, str]:
    """All of a host that uno could change, or only some parts, as text."""
    chosen = parts or KERNEL | AROUND
    mark = "==== "
    script = "\n".join(f"echo '{mark}{name}'\n{command}" for name, command in chosen.items())
    script = script.replace("{labs}", shlex.quote(str(node.directory.parents[2])))
    output = node.run(["sh", "-c", script]).stdout
    found = (part.partition("\n") for part in output.split(mark)[1:])
    return {name: content for name, _, content in found}


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """What changed between two snapshots, as lines of a diff; nothing if nothing did."""
    return [
        f"{name}: {line}"
        for name in before
        for line in difflib.unified_diff(
            before[name].splitlines(), after[name].splitlines(), lineterm="", n=0
        )
        if not line.startswith(("---", "+++", "@@"))
    ]


def uno(
    deployment: Deployment, cell: Node, *arguments: str, env: Mapping[str, str] | None = None
) -> Completed:
    """Run `uno service WORDS` on a cell, whatever its exit status."""
    root = str(deployment.cell_root(cell))
    words = ("service", *arguments, "-r", root)
    return deploy.uno(cell, *words, timeout=60, env=env, check=False)


class Tables:
    """The routing tables of some cells, as they were."""

    def __init__(self, cells: list[Node]) -> None:
        self.cells = cells
        self._before = self._snapshot()

    def assert_unchanged(self, *, during: float) -> None:
        end = time.monotonic() + during
        while time.monotonic() < end:
            assert self.changes() == []
            pause(0.1)

    def await_unchanged(self) -> None:
        await_true(lambda: not self.changes(), "all is as before", within=20)

    def changes(self) -> list[str]:
        found = self._snapshot()
        return [
            f"{name}: {change}"
            for name, before in self._before.items()
            for change in differences(before, found[name])
        ]

    def _snapshot(self) -> dict[str, dict[str, str]]:
        return dict(in_parallel(lambda cell: snapshot(cell, ROUTES), self.cells))


def tables_at_rest(cells: Iterable[Node]) -> Tables:
    """Wait until no routing table of these cells changes any more; return the tables."""
    found = Tables([*cells])
    while pause(1.5) or found.changes():
        found = Tables([*cells])
    return found


def status(deployment: Deployment, cell: Node) -> dict[str, Any]:
    """The output of `uno service status` on a cell."""
    found = json.loads(uno(deployment, cell, "status", "--json").stdout)
    assert isinstance(found, dict)
    return found


def await_healthy(
    deployment: Deployment, cells: Iterable[Node] | None = None, *, within: float = 30
) -> None:
    """Wait until these cells, or all, are healthy."""
    left = deployment.cells if cells is None else tuple(cells)

    def all_healthy() -> bool:
        nonlocal left
        found = in_parallel(lambda cell: status(deployment, cell)["healthy"], left)
        left = tuple(cell for cell in left if not found[cell.name])
        return not left

    await_true(all_healthy, f"all is well with {[c.name for c in left]}", within=within)


def restore(deployment: Deployment) -> None:
    """Bring everything up, and wait until all LAN hosts reach each other and all cells are well."""
    deployment.world.restore_all()
    deployment.up()
    assert unreached(deployment) == []
    await_healthy(deployment)


def unreached(deployment: Deployment, *, within: float = 30) -> list[str]:
    """The pairs of LAN hosts that do not reach each other in time."""
    paths = [pair.path for pair in lan_pairs(deployment.world)]
    with PingMatrix(paths) as prober:
        return [
            f"{path.namespace} to {path.target}" for path in prober.reach(within=within).missing
        ]


def line(source: Node, target: Node, version: int = 4) -> PingPath:
    """The way from one node to another."""
    return PingPath(source.namespace, address_of(target, version))


def address_of(node: Node, version: int = 4) -> Address:
    """A node's address, which it must have."""
    found = node.address(version)
    assert found is not None
    return found


def node_addresses(cell: Node) -> tuple[Address, ...]:
    """The addresses of the cell itself in its UVN."""
    (shown,) = json.loads(cell.run(["ip", "-j", "address", "show", "uno0"]).stdout)
    found = (address(each["local"]) for each in shown["addr_info"])
    return tuple(each for each in found if not each.is_link_local)


def host_addresses(node: Node) -> tuple[Address, ...]:
    """The addresses of a node of both IP versions, without loopback and link-local ones."""
    shown = json.loads(node.run(["ip", "-j", "address", "show", "scope", "global"]).stdout)
    found = (each["local"] for link in shown for each in link.get("addr_info", ()) if each)
    return tuple(map(address, dict.fromkeys(found)))


def stream(paths: Iterable[PingPath]) -> tuple[PingMatrix, PingStream]:
    """A prober and its stream of 100 pings a second, to be entered in this order."""
    prober = PingMatrix(paths)
    return prober, prober.stream(rate=100)


def bgp_routes(cell: Node) -> str:
    """What a cell has in the kernel from BGP, of both IP versions."""
    output = cell.run(["sh", "-c", "ip route show proto bgp; ip -6 route show proto bgp"])
    return output.stdout


def bgp_peers(cell: Node) -> dict[str, dict[str, Any]]:
    """A cell's BGP neighbours, by address, as bgpd has them in its summary."""
    peers: dict[str, dict[str, Any]]
    peers = json.loads(vtysh(cell, "show bgp ipv4 unicast summary json"))["peers"]
    return peers


_DAEMONS = {"show bgp": "bgpd", "show bfd": "bfdd", "show zebra": "zebra"}


def vtysh(cell: Node, *commands: str) -> str:
    """Return the output of commands to uno's FRR on a cell.

    A single query goes to the daemon itself: vtysh takes a hundred times as long to start.
    """
    asked = _DAEMONS.get(" ".join(commands[0].split()[:2])) if len(commands) == 1 else None
    for folder in _frr_folders(cell) if asked else ():
        return vty.query(folder, str(asked), commands[0])
    options = " ".join(f"-c {shlex.quote(each)}" for each in commands)
    return cell.run(["sh", "-c", f"vtysh --vty_socket /run/uno/*/frr {options}"]).stdout


def pids(cell: Node) -> dict[str, int]:
    """The process ids of uno's FRR on a cell, as the cell sees them."""
    found = (file for folder in _frr_folders(cell) for file in folder.glob("*.pid"))
    read = {file.stem: file.read_text().strip() for file in found}
    return {name: int(pid) for name, pid in read.items() if pid.isdecimal()}


def _frr_folders(cell: Node) -> list[Path]:
    """The folders of uno's FRR on a machine, as seen from outside of it."""
    return [*cell.directory.glob("run/uno/*/frr")]


def alive(cell: Node, name: str, *, besides: int = 0) -> bool:
    """Whether one of uno's FRR daemons runs, under another process id than `besides`."""
    pid = pids(cell).get(name, 0)
    if pid in {0, besides}:
        return False
    return name in cell.run(["ps", "-o", "args=", "-p", str(pid)], check=False).stdout


def power_cut(cell: Node) -> None:
    """End all that a power cut ends, and have the kernel as it is after a start."""
    cell.kill()
    cell.run(["sh", "-c", _POWER_CUT], check=False)


_POWER_CUT = """
for each in $(ip -o link | grep -o -e 'uwg-[a-z0-9]*' -e uno0); do ip link delete $each; done
ip route flush proto 98
ip -6 route flush proto 98
nft flush ruleset
sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0 \\
  net.ipv4.fib_multipath_hash_policy=0 net.ipv6.fib_multipath_hash_policy=0
rm -rf /run/uno /run/wireguard/*
"""


def await_same(
    before: Mapping[str, str], sample: Callable[[], Mapping[str, str]], what: str, *, within: float
) -> float:
    """Wait until a snapshot is as it was; return the seconds that it took."""
    found: list[str] = []

    def same() -> bool:
        found[:] = differences(before, sample())
        return not found

    try:
        return await_true(same, what, within=within)
    except AssertionError as error:
        raise AssertionError(f"{error}: {found}") from error


def await_true(condition: Callable[[], object], what: str, *, within: float = 10) -> float:
    """Wait until something is so; return the seconds that it took.

    Half of the time is left to what is waited for: conditions may take as much processor time.
    """
    began = begun = time.monotonic()
    while not condition():
        now = time.monotonic()
        assert now < began + within, f"not within {within} s: {what}"
        pause(min(max(0.02, now - begun), 0.5))
        begun = time.monotonic()
    return time.monotonic() - began


def holds(condition: Callable[[], object], *, during: float) -> bool:
    """Whether something stays so for some seconds, looked at again and again."""
    end = time.monotonic() + during
    while time.monotonic() < end:
        if not condition():
            return False
        pause(0.05)
    return True


def note(text: str) -> None:
    """Print a measured figure (pytest -s, -rP)."""
    sys.stdout.write(f"{text}\n")


def pause(seconds: float) -> None:
    Event().wait(seconds)


def only(found: Sequence[Any]) -> Any:
    """The one element that there has to be."""
    (one,) = found
    return one
