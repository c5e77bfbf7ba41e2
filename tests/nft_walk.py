"""Packets that are walked through the text of uno's nftables table, to see what becomes of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from uno.model.net import Network, address, network


@dataclass(frozen=True)
class Walk:
    """One cell's table; `interface` are its links by the neighbour behind them."""

    text: str
    interface: dict[int, str]

    def passes(
        self,
        came: str,
        source: str,
        destination: str,
        *,
        to: str,
        answer: bool = False,
        port: int = 443,
        routed_back: bool = False,
    ) -> bool:
        """Say whether a packet is forwarded from `came` to the interface `to`.

        `routed_back`: the host's route to the source is through `came`.
        """
        packet = Crossing(came, to, source, destination, answer, port, routed_back=routed_back)
        return verdict(self.text, "forward", packet) != "drop"

    def enters(
        self,
        came: str,
        source: str,
        *,
        port: int = 443,
        to: str = "10.255.128.2",
        protocol: str = "any",
        sport: int = 40000,
    ) -> bool:
        """Say whether a packet reaches the cell itself; `any` protocol has ports of each."""
        packet = Crossing(
            came, "", source, to, answer=False, port=port, protocol=protocol, sport=sport
        )
        return verdict(self.text, "input", packet) != "drop"

    def leaves(self, to: str, source: str, destination: str, *, mark: int = 0) -> bool:
        """Say whether what the cell itself sends goes out through the interface `to`."""
        packet = Crossing("", to, source, destination, answer=False, mark=mark)
        return verdict(self.text, "output", packet) != "drop"


@dataclass(frozen=True)
class Crossing:
    """A packet that comes through one interface, and leaves through another or stays here."""

    came: str
    to: str
    source: str
    destination: str
    answer: bool
    port: int = 443
    mark: int = 0
    protocol: str = "any"
    sport: int = 40000
    routed_back: bool = False


def chain(text: str, name: str) -> list[str]:
    body = re.search(rf"^  chain {name} \{{\n(.*?)^  \}}$", text, re.MULTILINE | re.DOTALL)
    assert body is not None
    return [line.strip() for line in body[1].splitlines()]


def verdict(text: str, name: str, packet: Crossing) -> str:
    """Say what a chain makes of a packet, that of no new connection; `return` if it leaves it."""
    for rule in chain(text, name):
        if rule.startswith(("type ", "tcp flags ")) or "maxseg" in rule:
            continue
        match _action(text, rule, packet):
            case ["jump", target]:
                if (found := verdict(text, target, packet)) != "return":
                    return found
            case ["goto", target]:
                return verdict(text, target, packet)
            case [found]:
                return found
            case _:
                continue
    return "return"


def _action(text: str, rule: str, packet: Crossing) -> list[str]:
    """Return the verdict of a rule, split; empty if the rule does not match this packet."""
    if ways := re.fullmatch(r"([io])ifname vmap \{ (.*) \}", rule):
        by = packet.came if ways[1] == "i" else packet.to
        return dict(_way(each) for each in ways[2].split(", ")).get(by, [])
    rule = re.sub(r"\{ (.*?) \}", lambda found: "{" + found[1].replace(" ", "") + "}", rule)
    words = [word for word in rule.split() if word != "counter"]
    if words[-3:] == ["with", "icmpx", "host-unreachable"]:
        words = words[:-3]
    end = -2 if words[-2:-1] in (["jump"], ["goto"]) else len(words) - 1
    return words[end:] if _matches(text, words[:end], packet) else []


def _way(element: str) -> tuple[str, list[str]]:
    name, _, verdict = element.partition(" : ")
    return name.strip('"'), verdict.split()


def _matches(text: str, rest: list[str], packet: Crossing) -> bool:
    while rest:
        size = {"iifname": 2, "oifname": 2, "fib": 6}.get(rest[0], 3)
        if rest[:2] == ["iifname", "."]:
            size = 8
        negated = rest[1] == "!=" or rest[2:3] == ["!="]
        test, rest = rest[: size + negated], rest[size + negated :]
        if _test(text, [word for word in test if word != "!="], packet) == negated:
            return False
    return True


def _test(  # noqa: C901, PLR0911 - one line for each kind of test
    text: str, test: list[str], packet: Crossing
) -> bool:
    match test:
        case ["iifname", names]:
            return packet.came in _names(text, names)
        case ["oifname", names]:
            return packet.to in _names(text, names)
        case ["ip" | "ip6" as family, "saddr" | "daddr" as side, networks]:
            here = address(packet.source if side == "saddr" else packet.destination)
            same = isinstance(here, IPv4Address if family == "ip" else IPv6Address)
            return same and any(_within(here, each) for each in _networks(text, networks))
        case ["iifname", ".", "ip", "saddr", ".", "ip", "daddr", elements]:
            key = f'"{packet.came}".{packet.source}.{packet.destination}'
            return key in elements.strip("{}").split(",")
        case ["meta", "nfproto", family]:
            return family == f"ipv{address(packet.source).version}"
        case ["meta", "iifkind" | "oifkind" as key, '"none"']:
            # Bridges have a kind. The rule does not match where there is none.
            return not (packet.came if key == "iifkind" else packet.to).startswith("br")
        case ["fib", "saddr", ".", "iif", "oif", "exists"]:
            return packet.routed_back
        case ["meta", "mark", mark]:
            return packet.mark == int(mark, 0)
        case ["tcp" | "udp" as protocol, "dport" | "sport" as side, ports]:
            port = packet.port if side == "dport" else packet.sport
            same = packet.protocol in {"any", protocol}
            return same and any(port in each for each in _ranges(ports))
        case ["ct", "state", "established,related"]:
            return packet.answer
        case ["ct", "state", "new"]:
            return not packet.answer
        case _:
            raise AssertionError(f"a test that this walk does not know: {test}")


def _ranges(ports: str) -> Iterator[range]:
    for each in ports.strip("{}").split(","):
        low, _, high = each.partition("-")
        yield range(int(low), int(high or low) + 1)


def _within(one: IPv4Address | IPv6Address, other: Network) -> bool:
    return one.version == other.version and one in other


def _names(text: str, word: str) -> list[str]:
    elements = _elements(text, word[1:]) if word.startswith("@") else word.strip("{}").split(",")
    return [each.strip('"') for each in elements]


def _networks(text: str, word: str) -> list[Network]:
    elements = _elements(text, word[1:]) if word.startswith("@") else word.strip("{}").split(",")
    return [
        network(each if "/" in each else f"{each}/{address(each).max_prefixlen}")
        for each in elements
    ]


def _elements(text: str, name: str) -> list[str]:
    body = re.search(rf"^  set {name} \{{\n(.*?)^  \}}$", text, re.MULTILINE | re.DOTALL)
    assert body is not None, f"no set {name}"
    elements = re.search(r"elements = \{ (.*) \}", body[1])
    return elements[1].split(", ") if elements else []
