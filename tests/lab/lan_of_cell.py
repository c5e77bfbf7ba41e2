"""The LANs of the example in labs, one of which a cell loses; and what people read there."""

from __future__ import annotations

import json

from watching import (
    only,
)

from uno.host.command import Completed
from uno.lab import deploy
from uno.lab.agents import Agent

LANS = {
    "lan-a": ("192.168.1.0/24",),
    "lan-b": ("192.168.2.0/24",),
    "lan-c": ("192.168.3.0/24", "2001:db8:3::/64"),
    "lan-d": ("192.168.4.0/24",),
    "relay": (),
}

# The LAN that is lost and regained. Its cell's other one is also its way to the Internet.
LOST = "2001:db8:3::/64"


def lose_lan(agent: Agent) -> None:
    """Take the cell's address in `LOST` away; by IPv4 all goes on as it was."""
    agent.node.run(["ip", "-6", "address", "flush", "dev", lan_interface(agent), "to", LOST])


def regain_lan(agent: Agent) -> None:
    agent.node.plug(lan_interface(agent))


def lan_interface(agent: Agent) -> str:
    output = agent.node.run(["ip", "-j", "-4", "address", "show", "to", LANS["lan-c"][0]]).stdout
    return str(only([each for each in json.loads(output) if each])["ifname"])


def status(agent: Agent, *arguments: str) -> Completed:
    words = ("status", "-r", str(agent.root), *arguments)
    return deploy.uno(agent.node, *words, timeout=60, check=False)


def networks(agent: Agent, kind: str) -> set[str]:
    path = agent.root / f"networks.{kind}"
    return {line.split()[0] for line in path.read_text().splitlines()}
