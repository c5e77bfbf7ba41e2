"""Faults of a host, made for real and taken away again, and the check of `uno doctor` for each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import foreign
from obstacles import done_and_undone, full
from watching import await_true

from uno.host.command import Completed
from uno.lab import deploy
from uno.lab.agents import Agent
from uno.lab.deploy import in_parallel
from uno.lab.node import Node
from uno.lab.world import World

# As a router on the Internet that drops what is longer than a smaller MTU, without an error.
_NARROW = """\
nft 'table inet narrow { chain out { type filter hook output priority 0;
  oifname "wan" meta length > 1350 drop; }; }'
"""
_OVERLAP = """\
ip link add br-app type bridge
ip address add 192.168.4.9/24 dev br-app
ip link set br-app up
"""
# Where nobody is, in the networks of the lab's Internet.
NOBODY = "203.0.113.250"
_OTHER_KEY = """\
wg showconf uwg-b0 >{kept}
sed "s|^PublicKey = .*|PublicKey = $(wg genkey | wg pubkey)|" {kept} | wg setconf uwg-b0 /dev/stdin
"""
# From neighbours nothing but pings.
_INPUT_REJECTED = """\
nft 'table inet strict { chain in { type filter hook input priority 5;
  meta l4proto icmp accept; iifname "uwg-*" reject; }; }'
"""
# uno's daemons and what restarts them, but not FRR of the host's own.
_KILL_FRR = """\
for each in watchfrr bgpd bfdd zebra; do kill -9 $(cat /run/uno/*/frr/$each.pid); done
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFault:
    """A fault of a cell's host: how it is made, and what `uno doctor` names there."""

    name: str
    check: str
    named: str
    make: Callable[[World, Agent], AbstractContextManager[None]]


def by_command(do: str, undo: str) -> Callable[[World, Agent], AbstractContextManager[None]]:
    return lambda _world, agent: done_and_undone(agent.node, do, undo)


@contextmanager
def unplugged(_world: World, agent: Agent) -> Iterator[None]:
    agent.node.unplug("lan0")
    try:
        yield
    finally:
        agent.node.plug("lan0")


@contextmanager
def no_carrier(world: World, agent: Agent) -> Iterator[None]:
    cables = world.lab.layout.cables
    (cable,) = [c for c in cables if c.node == agent.name and c.far_node != "internet"]
    switch = world.nodes[cable.far_node]
    switch.run(["ip", "link", "set", cable.far_interface, "down"])
    try:
        yield
    finally:
        switch.run(["ip", "link", "set", cable.far_interface, "up"])


@contextmanager
def docker(_world: World, agent: Agent) -> Iterator[None]:
    foreign.docker(agent.node)
    try:
        yield
    finally:
        agent.node.run(["nft", "delete table ip filter; delete table ip6 filter"])


@contextmanager
def disk_full(_world: World, agent: Agent) -> Iterator[None]:
    with full(agent.node, agent.root):
        yield


@contextmanager
def clock_set_back(_world: World, agent: Agent) -> Iterator[None]:
    """A clock cannot be set in one node alone; a file from the future is what it leaves."""
    future = agent.root / "written-later"
    agent.node.run(["touch", "-d", "+3 hours", str(future)])
    try:
        yield
    finally:
        future.unlink()


@contextmanager
def without_route_back(world: World, agent: Agent) -> Iterator[None]:
    router = world.nodes[f"{agent.name}-router"]
    kept = [
        line
        for line in router.run(["ip", "route"]).stdout.splitlines()
        if " dev lan0" in line and " via " in line
    ]
    for line in kept:
        router.run(["ip", "route", "del", *line.split()])
    try:
        yield
    finally:
        for line in kept:
            router.run(["ip", "route", "add", *line.split()])


@contextmanager
def other_key(_world: World, agent: Agent) -> Iterator[None]:
    kept = agent.node.directory / "kept.conf"
    commands = _OTHER_KEY.format(kept=kept), f"wg setconf uwg-b0 {kept}"
    with done_and_undone(agent.node, *commands):
        yield


@contextmanager
def led_elsewhere(agent: Agent, name: str, *, interface: str) -> Iterator[None]:
    """Have the name of a neighbour lead to where nobody is; the agent makes the link with it anew.

    From a link that was up, WireGuard would still receive packets, and take their source.
    """
    hosts = agent.node.directory / "etc/hosts"
    before = hosts.read_text()
    (line,) = [each for each in before.splitlines() if each.split()[-1:] == [name]]
    try:
        hosts.write_text(before.replace(line, f"{NOBODY} {name}"))
        agent.node.run(["ip", "link", "del", interface])
        yield
    finally:
        hosts.write_text(before)
        agent.node.run(["ip", "link", "del", interface])


def cut(*peers: str) -> Callable[[World, Agent], AbstractContextManager[None]]:
    @contextmanager
    def made(world: World, agent: Agent) -> Iterator[None]:
        for peer in peers:
            world.cut(agent.name, peer)
        try:
            yield
        finally:
            for peer in peers:
                world.restore(agent.name, peer)

    return made


# Each round has at most one fault on each of two hosts; neither is seen from the other.
ROUNDS: tuple[tuple[HostFault, ...], ...] = (
    (
        HostFault(name="LAN down", check="lans", named="lan0 is down", make=unplugged),
        HostFault(
            name="ip_forward",
            check="forwarding",
            named="net.ipv4.ip_forward is 0",
            make=by_command("sysctl -qw net.ipv4.ip_forward=0", "sysctl -qw net.ipv4.ip_forward=1"),
        ),
    ),
    (
        HostFault(name="carrier", check="lans", named="lan0 has no carrier", make=no_carrier),
        HostFault(
            name="rp_filter",
            check="rp-filter",
            named="net.ipv4.conf.uwg-b0.rp_filter is 1",
            make=by_command(
                "sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.uwg-b0.rp_filter=1",
                "sysctl -qw net.ipv4.conf.uwg-b0.rp_filter=2",
            ),
        ),
    ),
    (
        HostFault(
            name="overlap",
            check="overlap",
            named="br-app has 192.168.4.0/24, which is also LAN 192.168.4.0/24 of lan-d",
            make=by_command(_OVERLAP, "ip link del br-app"),
        ),
        HostFault(name="docker", check="docker", named="chain FORWARD", make=docker),
    ),
    (
        HostFault(
            name="firewall",
            check="firewall",
            named="chain through of nftables table inet closed drops packets",
            make=by_command(
                f"nft -f - <<'END'\n{foreign.POLICY_DROP}END\n", "nft delete table inet closed"
            ),
        ),
        HostFault(name="clock", check="clock", named="h or more behind", make=clock_set_back),
    ),
    (
        HostFault(name="disk", check="disk", named="is full", make=disk_full),
        HostFault(
            name="policy rule",
            check="routes",
            named="a rule of this host prohibits packets to LAN",
            make=by_command("ip rule add iif lan0 priority 9 prohibit", "ip rule del priority 9"),
        ),
    ),
    (
        HostFault(
            name="forwarded packets rejected",
            check="firewall",
            named="chain zone of nftables table inet firewalld rejects packets",
            make=by_command(
                f"nft -f - <<'END'\n{foreign.FIREWALLD}END\n", "nft delete table inet firewalld"
            ),
        ),
    ),
)
"""Faults of hosts without an agent, which would end some of them."""

ALONE: tuple[HostFault, ...] = (
    HostFault(
        name="MTU",
        check="mtu",
        named="loses packets of 1320 octets",
        make=by_command(_NARROW, "nft delete table inet narrow"),
    ),
    HostFault(
        name="received packets rejected",
        check="firewall",
        named="chain in of nftables table inet strict rejects what links need",
        make=by_command(_INPUT_REJECTED, "nft delete table inet strict"),
    ),
    HostFault(
        name="wrong key",
        check="links",
        named="uwg-b0 has another key of lan-a than this cell's package",
        make=other_key,
    ),
    HostFault(name="link cut", check="links", named="lan-c", make=cut("lan-c")),
    HostFault(
        name="all links cut",
        check="links",
        named="relay",
        make=cut("lan-a", "lan-c", "relay"),
    ),
)
"""Faults that others see, too."""


def doctor(agent: Agent, *words: str) -> Completed:
    return deploy.uno(agent.node, "doctor", *words, "-r", str(agent.root), timeout=60, check=False)


def wrong(agent: Agent) -> dict[str, str]:
    """What `uno doctor` finds that is not good, by check."""
    found = json.loads(doctor(agent, "--json").stdout)
    texts: dict[str, str] = {}
    for each in found["results"]:
        if each["state"] != "good":
            texts[each["check"]] = f"{texts.get(each['check'], '')}{each['state']}: {each['what']} "
    return texts


def await_nothing_wrong(agents: Iterable[Agent]) -> None:
    """Wait until `uno doctor` finds nothing wrong on these hosts."""
    chosen = tuple(agents)
    await_true(lambda: not any(wrong_everywhere(chosen).values()), "nothing is wrong", within=120)


def wrong_everywhere(agents: Iterable[Agent]) -> dict[str, dict[str, str]]:
    """What `uno doctor` finds wrong on each of these hosts, by their names."""
    chosen = {agent.node.name: agent for agent in agents}
    nodes = [agent.node for agent in chosen.values()]
    return dict(in_parallel(lambda node: wrong(chosen[node.name]), nodes))


def explained(agent: Agent, a: str, b: str) -> dict[str, Any]:
    words = ("explain", a, b, "--json", "-r", str(agent.root))
    found = json.loads(deploy.uno(agent.node, *words, timeout=60, check=False).stdout)
    assert isinstance(found, dict)
    return found


def links(agent: Agent) -> list[dict[str, Any]]:
    """The links of a cell, as its own agent has them."""
    (own,) = [each for each in agent.view().cells if each.id == agent.cell]
    assert own.status is not None
    return [{"interface": it.interface, "cell": it.cell} for it in own.status.links]


def kill_routing(node: Node) -> None:
    node.run(["sh", "-c", _KILL_FRR])
