"""Evaluates nftables rules for a packet: accepted, dropped by which rule, or unknown. Pure.

Reads what `nft -j -t list ruleset` prints (libnftables-json(5)). Logic has three values: what
depends on something that a `Packet` leaves open, or that this module does not evaluate, is unknown,
and so is what follows from it. A packet counts as dropped only if every possible path ends in a
drop. Source of the semantics: nft(8).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import Any, TypeAlias

from msgspec import Struct

from uno.model.net import Network, address, network

FORWARDED = ("ingress", "prerouting", "forward", "postrouting", "egress")
"""The hooks that a forwarded packet passes."""

RECEIVED = ("ingress", "prerouting", "input")
"""The hooks that a packet to this host passes."""

# nft allows 16 jumps (NFT_JUMP_STACK_SIZE in the kernel).
_MOST_JUMPS = 16

_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "ipv6-icmp"}
_FAMILIES = {"ip": (4,), "ip6": (6,), "inet": (4, 6), "netdev": (4, 6)}
# Statements that neither decide nor can end a rule.
_PASSIVE = frozenset({"counter", "log", "mangle", "notrack", "flow", "secmark", "ct helper"})
_PASSIVE |= {"ct timeout", "ct expectation", "reset", "comment", "set", "map", "last"}
# Statements that translate addresses: the chain ends, and the packet goes on.
_SOURCE_TRANSLATING = frozenset({"snat", "masquerade"})
_TRANSLATING = _SOURCE_TRANSLATING | {"dnat", "redirect", "queue", "tproxy", "fwd"}
_VERDICTS = frozenset({"accept", "drop", "reject", "return", "continue", "jump", "goto"})
_KNOWN = _PASSIVE | _TRANSLATING | _VERDICTS | {"vmap", "xt"}
# Targets of iptables' extensions (iptables-extensions(8)) that do not end a chain.
_PASSIVE_TARGETS = frozenset(
    {"LOG", "NFLOG", "MARK", "CONNMARK", "TCPMSS", "CT", "TRACE", "CLASSIFY", "DSCP", "TOS", "SET"}
)


class Packet(Struct, frozen=True, kw_only=True):
    """The first packet of a new connection. None is anything.

    `version` is of IP, `iif` and `oif` are interfaces. `source` and `destination` are networks that
    contain the addresses. `port` is the destination port of `protocol`, `tcp` or `udp`. `local`:
    for this host itself. `returns`: the host's route to the source leads out by `iif`.
    """

    version: int
    iif: str | None = None
    oif: str | None = None
    source: Network | None = None
    destination: Network | None = None
    protocol: str = "tcp"
    port: int | None = None
    local: bool = False
    returns: bool | None = None


class PacketDrop(Struct, frozen=True, kw_only=True):
    """Where a packet ends: a rule of a chain, or with `handle` None the policy of a base chain.

    `base` is the base chain from which `chain` was reached; `rejects`: the sender gets an error.
    """

    family: str
    table: str
    base: str
    chain: str
    handle: int | None = None
    rejects: bool = False


class SourceTranslation(Struct, frozen=True, kw_only=True):
    """The rule that gives a packet another source (NAT); `base` and `chain` as of `PacketDrop`."""

    family: str
    table: str
    base: str
    chain: str
    handle: int


class Passage(Enum):
    """A packet is not dropped for certain: it is accepted, or may be."""

    ACCEPTED = "accepted"
    UNKNOWN = "unknown"


class _Rule(Struct, frozen=True):
    handle: int
    statements: tuple[Mapping[str, Any], ...]


class _Chain(Struct, frozen=True):
    family: str
    table: str
    name: str
    hook: str
    priority: int
    policy: str
    devices: frozenset[str]
    rules: list[_Rule]


_Key: TypeAlias = tuple[str, str, str]
_Chains: TypeAlias = dict[_Key, _Chain]


class _End(Enum):
    """How a path through a chain ends, other than with a drop."""

    ACCEPT = "accept"
    RETURN = "return"


class _Undetermined(Enum):
    """A field that the packet does not have, or whose value is not known."""

    ABSENT = "absent"
    UNKNOWN = "unknown"


_Ending: TypeAlias = _End | PacketDrop | SourceTranslation
_Field: TypeAlias = str | int | Network | frozenset[str] | tuple[Any, ...] | _Undetermined


def evaluate(ruleset: str, packet: Packet, hooks: Sequence[str]) -> PacketDrop | Passage:
    """Return what the chains at `hooks` do with a packet. `ruleset` is JSON, or empty.

    Every base chain has to accept it. The result is the first certain drop.
    """
    chains = _read(ruleset)
    certain = True
    for chain in _base_chains(chains, packet, hooks):
        endings = _Walk(chains, chain, packet).endings()
        drops = [each for each in endings if isinstance(each, PacketDrop)]
        if drops and len(drops) == len(endings):
            return drops[-1]
        certain = certain and not drops
    return Passage.ACCEPTED if certain else Passage.UNKNOWN


def translation(ruleset: str, packet: Packet) -> SourceTranslation | None:
    """Return the rule that certainly gives a forwarded packet another source, None without one."""
    chains = _read(ruleset)
    for chain in _base_chains(chains, packet, ("postrouting",)):
        endings = _Walk(chains, chain, packet).all_endings()
        found = [each for each in endings if isinstance(each, SourceTranslation)]
        if found and len(found) == len(endings):
            return found[0]
    return None


def has_chains(ruleset: str, hooks: Sequence[str]) -> bool:
    """Whether a ruleset has a base chain at one of these hooks."""
    return any(chain.hook in hooks for chain in _read(ruleset).values())


def without_tables(ruleset: str, tables: Iterable[tuple[str, str]]) -> str:
    """Return a ruleset without the tables with these families and names."""
    left_out = set(tables)
    kept = [
        {kind: value}
        for each in _objects(ruleset)
        for kind, value in each.items()
        if kind in {"chain", "rule"} and (value.get("family"), value.get("table")) not in left_out
    ]
    return json.dumps({"nftables": kept}) if kept else ""


def source_translations(ruleset: str) -> dict[int, str]:
    """Return the IP versions of which a ruleset translates source addresses.

    Each with the first table that has such a rule, as `ip nat`. Only a host that forwards has a
    use for it: containers, virtual machines and VPNs that others have set up reach the network so.
    """
    found: dict[int, str] = {}
    for rule in (each["rule"] for each in _objects(ruleset) if "rule" in each):
        kinds = {kind for statement in rule.get("expr", ()) for kind in statement}
        # Rules of iptables-nft (iptables-extensions(8)).
        targets = {it["xt"].get("name", "").lower() for it in rule["expr"] if "xt" in it}
        if _SOURCE_TRANSLATING & (kinds | targets):
            for version in _FAMILIES.get(rule["family"], ()):
                found.setdefault(version, f"{rule['family']} {rule['table']}")
    return found


def _objects(ruleset: str) -> list[dict[str, Any]]:
    try:
        found = json.loads(ruleset or "{}")
    except ValueError:
        # A version of nft that prints what is no JSON: nothing is known.
        return []
    return list(found.get("nftables", ()))


@lru_cache(maxsize=4)
def _read(ruleset: str) -> _Chains:
    chains: _Chains = {}
    objects = _objects(ruleset)
    for each in objects:
        if found := each.get("chain"):
            devices = found.get("dev", ())
            chain = _Chain(
                family=found["family"],
                table=found["table"],
                name=found["name"],
                hook=found.get("hook", ""),
                priority=found.get("prio", 0),
                policy=found.get("policy", "accept"),
                devices=frozenset([devices] if isinstance(devices, str) else devices),
                rules=[],
            )
            chains[chain.family, chain.table, chain.name] = chain
    for each in objects:
        if (found := each.get("rule")) and (
            there := chains.get((found["family"], found["table"], found["chain"]))
        ):
            there.rules.append(_Rule(found.get("handle", 0), tuple(found.get("expr", ()))))
    return chains


def _base_chains(chains: _Chains, packet: Packet, hooks: Sequence[str]) -> list[_Chain]:
    found = [
        chain
        for chain in chains.values()
        if chain.hook in hooks
        and packet.version in _FAMILIES.get(chain.family, ())
        and (not chain.devices or _device(chain.hook, packet) in chain.devices)
    ]
    return sorted(found, key=lambda chain: (hooks.index(chain.hook), chain.priority))


def _device(hook: str, packet: Packet) -> str | None:
    return packet.oif if hook == "egress" else packet.iif


class _Walk:
    """The paths of one packet through one base chain."""

    def __init__(self, chains: _Chains, base: _Chain, packet: Packet) -> None:
        self._chains = chains
        self._base = base
        self._packet = packet
        self._known: dict[str, list[_Ending]] = {}

    def endings(self) -> tuple[PacketDrop | None, ...]:
        """Return how the possible paths end, in order: with a drop, or None for a pass."""
        drops_by_policy = self._base.policy == "drop"
        by_policy = self._drop(self._base, None, rejects=False) if drops_by_policy else None
        return tuple(
            by_policy
            if ending is _End.RETURN
            else ending
            if isinstance(ending, PacketDrop)
            else None
            for ending in self.all_endings()
        )

    def all_endings(self) -> list[_Ending]:
        """Return how the possible paths end, before the policy of the chain."""
        return self._chain(self._base, 0)

    def _chain(self, chain: _Chain, depth: int) -> list[_Ending]:
        """Return the possible ends of paths through a chain, each once."""
        if (known := self._known.get(chain.name)) is not None:
            return known
        found: dict[_Ending, None] = {}
        for rule in chain.rules:
            endings, goes_on = self._rule(chain, rule, depth)
            found |= dict.fromkeys(endings)
            if not goes_on:
                break
        else:
            found[_End.RETURN] = None
        self._known[chain.name] = list(found)
        return list(found)

    def _rule(self, chain: _Chain, rule: _Rule, depth: int) -> tuple[list[_Ending], bool]:
        """Return the possible ends of paths at a rule, and whether a path can go past it."""
        certain = True
        for statement in rule.statements:
            (kind, value), *_ = statement.items()
            applies = self._applies(kind, value)
            if applies is False:
                return [], True
            if applies is None:
                certain = False
                continue
            branches = list(self._branches(kind, value))
            if branches:
                return self._take(chain, rule, branches, certain=certain, depth=depth)
        return [], True

    def _applies(self, kind: str, value: Any) -> bool | None:
        """Whether a statement lets the rule go on, None where that is unknown."""
        if kind == "match":
            return _matches(value, self._packet)
        if kind == "xt" and value and value.get("type") == "match":
            return True if value.get("name") == "comment" else None
        return True if kind in _KNOWN else None

    def _branches(self, kind: str, value: Any) -> Iterator[tuple[str, Any, bool]]:
        """Yield the verdicts of a statement, each with whether it is certain."""
        if kind in _SOURCE_TRANSLATING:
            yield "translate", None, True
        elif kind in _TRANSLATING:
            yield "accept", None, True
        elif kind == "xt":
            yield from _target(value)
        elif kind == "vmap":
            yield from self._verdict_map(value)
        elif kind in _VERDICTS:
            yield kind, value, True

    def _verdict_map(self, value: Any) -> Iterator[tuple[str, Any, bool]]:
        key, pairs = _field(value.get("key"), self._packet), value.get("data")
        if key is _Undetermined.ABSENT:
            return
        if not isinstance(pairs, Mapping):
            # A named map, whose elements are not listed: any verdict.
            yield "accept", None, False
            return
        for element, verdict in pairs.get("set", ()):
            equal = _equals(key, element)
            if equal is not False:
                ((kind, target),) = verdict.items()
                yield kind, target, equal is True
            if equal:
                return

    def _take(
        self,
        chain: _Chain,
        rule: _Rule,
        branches: list[tuple[str, Any, bool]],
        *,
        certain: bool,
        depth: int,
    ) -> tuple[list[_Ending], bool]:
        found: list[_Ending] = []
        goes_on = not certain or not any(sure for _, _, sure in branches)
        for kind, value, _ in branches:
            if kind == "continue":
                goes_on = True
            elif kind in {"jump", "goto"}:
                below = self._below(chain, value, depth)
                if kind == "jump":
                    goes_on = goes_on or _End.RETURN in below
                    below = [each for each in below if each is not _End.RETURN]
                found += below
            elif kind == "translate":
                found.append(self._translation(chain, rule.handle))
            elif kind in {"drop", "reject"}:
                found.append(self._drop(chain, rule.handle, rejects=kind == "reject"))
            else:
                found.append(_End.RETURN if kind == "return" else _End.ACCEPT)
        return found, goes_on

    def _below(self, chain: _Chain, value: Any, depth: int) -> list[_Ending]:
        target = self._chains.get((chain.family, chain.table, value.get("target", "")))
        if target is None or depth >= _MOST_JUMPS:
            return [_End.ACCEPT, _End.RETURN]
        return self._chain(target, depth + 1)

    def _translation(self, chain: _Chain, handle: int) -> SourceTranslation:
        return SourceTranslation(
            family=chain.family,
            table=chain.table,
            base=self._base.name,
            chain=chain.name,
            handle=handle,
        )

    def _drop(self, chain: _Chain, handle: int | None, *, rejects: bool) -> PacketDrop:
        return PacketDrop(
            family=chain.family,
            table=chain.table,
            base=self._base.name,
            chain=chain.name,
            handle=handle,
            rejects=rejects,
        )


def _target(value: Any) -> Iterator[tuple[str, Any, bool]]:
    """Yield the verdict of an iptables target, by its name alone; older versions print none."""
    if value and value.get("type") == "match":
        return
    name = value.get("name") if value else None
    if name in {"REJECT", "DROP"}:
        yield ("reject" if name == "REJECT" else "drop"), None, True
    elif name in {"MASQUERADE", "SNAT"}:
        yield "translate", None, True
    elif name not in _PASSIVE_TARGETS:
        yield "accept", None, False


def _matches(value: Mapping[str, Any], packet: Packet) -> bool | None:
    field = _field(value.get("left"), packet)
    if field is _Undetermined.ABSENT:
        return False
    equal = _equals(field, value.get("right"))
    match value.get("op"):
        case "==" | "in" | None:
            return equal
        case "!=":
            return None if equal is None else not equal
        case _:
            return None


def _equals(field: _Field, right: Any) -> bool | None:
    """Whether a field's value is, or is in, the right side; None where that is unknown."""
    if field is _Undetermined.ABSENT:
        return False
    if isinstance(field, frozenset):
        return _flags_equal(field, right)
    if isinstance(right, list):
        return _any(_equals(field, each) for each in right)
    if isinstance(right, Mapping) and "set" in right:
        return _any(_equals(field, each) for each in _listed(right["set"]))
    if isinstance(right, Mapping) and "elem" in right:
        return _equals(field, right["elem"].get("val"))
    return _element_equals(field, right)


def _element_equals(field: _Field, right: Any) -> bool | None:
    if isinstance(field, tuple):
        return _concatenation_equals(field, right)
    if isinstance(field, _Undetermined) or (isinstance(right, str) and right.startswith("@")):
        # The elements of a named set are not listed.
        return None
    if isinstance(field, int):
        return _number_equals(field, right)
    if isinstance(field, str):
        return _name_equals(field, right)
    if isinstance(field, frozenset):
        return _flags_equal(field, right)
    return _network_equals(field, right)


def _concatenation_equals(field: tuple[Any, ...], right: Any) -> bool | None:
    parts = right.get("concat") if isinstance(right, Mapping) else None
    if not isinstance(parts, list) or len(parts) != len(field):
        return None
    return _all(_equals(one, other) for one, other in zip(field, parts, strict=True))


def _flags_equal(field: frozenset[str], right: Any) -> bool | None:
    if isinstance(right, Mapping) and "|" in right:
        right = right["|"]
    listed = _listed(right)
    if listed == [0]:
        return not field
    return field == set(listed) if all(isinstance(each, str) for each in listed) else None


def _number_equals(field: int, right: Any) -> bool | None:
    if isinstance(right, str) and right.isdecimal():
        return field == int(right)
    if isinstance(right, int):
        return field == right
    if isinstance(right, Mapping) and "range" in right:
        low, high = right["range"]
        if isinstance(low, int) and isinstance(high, int):
            return low <= field <= high
    return None


def _name_equals(field: str, right: Any) -> bool | None:
    if isinstance(right, int):
        return field == _PROTOCOLS.get(right, str(right))
    if not isinstance(right, str):
        return None
    return field.startswith(right[:-1]) if right.endswith("*") else field == right


def _network_equals(field: Network, right: Any) -> bool | None:
    """Whether all addresses of a network are in the right side, None for some of them."""
    try:
        if isinstance(right, Mapping) and "range" in right:
            low, high = (int(address(each)) for each in right["range"])
        elif isinstance(right, Mapping) and "prefix" in right:
            prefix = right["prefix"]
            low, high = _span(network(f"{prefix['addr']}/{prefix['len']}"))
        else:
            low = high = int(address(right))
    except (KeyError, TypeError, ValueError):
        return None
    first, last = _span(field)
    if low <= first and last <= high:
        return True
    return False if last < low or high < first else None


def _span(whole: Network) -> tuple[int, int]:
    return int(whole.network_address), int(whole.broadcast_address)


def _field(left: Any, packet: Packet) -> _Field:
    """Return the value of an expression for a packet."""
    if not isinstance(left, Mapping) or len(left) != 1:
        return _Undetermined.UNKNOWN
    ((kind, about),) = left.items()
    read = _READERS.get(kind)
    return read(about, packet) if read else _Undetermined.UNKNOWN


def _meta(about: Any, packet: Packet) -> _Field:
    known: dict[str, str | None] = {
        "iif": packet.iif,
        "iifname": packet.iif,
        "oif": packet.oif,
        "oifname": packet.oif,
        "nfproto": f"ipv{packet.version}",
        "protocol": "ip" if packet.version == 4 else "ip6",
        "l4proto": packet.protocol,
    }
    return known.get(about.get("key")) or _Undetermined.UNKNOWN


def _ct(about: Any, _packet: Packet) -> _Field:
    # No connection that something translates: DNAT is for other addresses.
    known = {"state": "new", "direction": "original", "status": ""}
    return known.get(about.get("key"), _Undetermined.UNKNOWN)


def _payload(about: Any, packet: Packet) -> _Field:
    protocol, name = about.get("protocol"), about.get("field")
    if protocol in {"ip", "ip6"}:
        if packet.version != (4 if protocol == "ip" else 6):
            return _Undetermined.ABSENT
        known: dict[str, _Field | None] = {
            "saddr": packet.source,
            "daddr": packet.destination,
            "protocol": packet.protocol,
            "nexthdr": packet.protocol,
        }
        return known.get(name) or _Undetermined.UNKNOWN
    if protocol in {"tcp", "udp", "icmp", "icmpv6", "sctp", "dccp", "esp", "ah", "igmp", "arp"}:
        if protocol != packet.protocol:
            return _Undetermined.ABSENT
        if (protocol, name) == ("tcp", "flags"):
            return frozenset({"syn"})
    if protocol in {"tcp", "udp", "th"} and name == "dport" and packet.port is not None:
        return packet.port
    return _Undetermined.UNKNOWN


def _fib(about: Any, packet: Packet) -> _Field:
    if about.get("result") == "oif":
        # nft(8), FIB EXPRESSIONS: 0 where no route leads there by the interface, printed as such or
        # as `missing`.
        is_strict = {"saddr", "iif"} <= set(_listed(about.get("flags")))
        return 0 if is_strict and packet.returns is False else _Undetermined.UNKNOWN
    if about.get("result") != "type":
        return _Undetermined.UNKNOWN
    match _listed(about.get("flags")):
        case ["daddr"]:
            return "local" if packet.local else "unicast"
        case ["saddr"]:
            return "unicast"
        case _:
            return _Undetermined.UNKNOWN


def _masked(about: Any, packet: Packet) -> _Field:
    field = _field(about[0], packet) if isinstance(about, list) and len(about) == 2 else None
    if field is _Undetermined.ABSENT:
        return field
    if not isinstance(field, frozenset):
        return _Undetermined.UNKNOWN
    mask = about[1]["|"] if isinstance(about[1], Mapping) and "|" in about[1] else about[1]
    return field & {each for each in _listed(mask) if isinstance(each, str)}


def _concatenated(about: Any, packet: Packet) -> _Field:
    fields = tuple(_field(each, packet) for each in about)
    return _Undetermined.ABSENT if _Undetermined.ABSENT in fields else fields


_READERS: dict[str, Callable[[Any, Packet], _Field]] = {
    "meta": _meta,
    "ct": _ct,
    "payload": _payload,
    "fib": _fib,
    "concat": _concatenated,
    "&": _masked,
}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _any(truths: Iterable[bool | None]) -> bool | None:
    found = list(truths)
    return True if True in found else None if None in found else False


def _all(truths: Iterable[bool | None]) -> bool | None:
    found = list(truths)
    return False if False in found else None if None in found else True
