"""Rows of `model.listening_ports` to rules of an input chain. Source: nft(8).

The rules name the set `tunnels`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from uno.model.listening_ports import ListeningPort, Place, Sender, Transport
from uno.model.net import Address, Network, written


def input_rules(rows: Iterable[ListeningPort]) -> Iterator[str]:
    """Yield a rule for each row: whatever is for its ports goes no further in the chain."""
    for row in rows:
        for destination in _destinations(row):
            yield f"{destination}{to_ports(row.transport, row.ports)} {_judgement(row)}"


def service_chains(rows: Iterable[ListeningPort]) -> Iterator[tuple[str, list[str]]]:
    """Yield the names and rules of the chains that `input_rules` uses."""
    for row in rows:
        if _judgement(row).startswith("goto"):
            yield row.service, [*_accepting(row.senders), "counter drop"]


def to_ports(transport: Transport, ports: tuple[int, ...]) -> str:
    """Return the match of a packet to one of these ports."""
    low, high = min(ports), max(ports)
    name = f"{transport.value} dport"
    if low == high:
        return f"{name} {low}"
    if len(ports) == high - low + 1:
        return f"{name} {low}-{high}"
    return f"{name} {{ {', '.join(map(str, ports))} }}"


def _judgement(row: ListeningPort) -> str:
    if not row.senders:
        return "counter drop"
    return "accept" if Sender(place=Place.ANYWHERE) in row.senders else f"goto {row.service}"


def _destinations(row: ListeningPort) -> Iterator[str]:
    """Yield the matches of the addresses at which a service listens."""
    if not row.destinations:
        yield ""
    for version, family in ((4, "ip"), (6, "ip6")):
        if found := [_text(each) for each in row.destinations if each.version == version]:
            yield f"{family} daddr {found[0] if len(found) == 1 else _set(found)} "


def _accepting(senders: Iterable[Sender]) -> Iterator[str]:
    places: dict[tuple[str, str], list[str]] = {}
    for each in senders:
        places.setdefault((_text(each.source), _text(each.local)), []).append(_place(each.place))
    pairs = {ends: found[0] for ends, found in places.items() if _is_pair(ends, found)}
    if len(pairs) > 1:
        # One lookup, however many links there are.
        elements = (f"{name} . {source} . {local}" for (source, local), name in pairs.items())
        yield f"iifname . ip saddr . ip daddr {_set(elements)} accept"
        places = {ends: found for ends, found in places.items() if ends not in pairs}
    for (source, local), found in places.items():
        words = [f"iifname {found[0] if len(found) == 1 else _set(found)}"]
        words += [f"{'ip6' if ':' in source else 'ip'} saddr {source}"] if source else []
        words += [f"ip daddr {local}"] if local else []
        yield " ".join([*words, "accept"])


def _is_pair(ends: tuple[str, str], places: list[str]) -> bool:
    """Whether two single addresses meet on one interface by its name."""
    return len(places) == 1 and places[0][0] == '"' and all(ends) and "/" not in ends[0]


def _text(item: Address | Network | None) -> str:
    return written(item).removesuffix("/32").removesuffix("/128") if item else ""


def _place(place: str | Place) -> str:
    return "!= @tunnels" if place is Place.OUTSIDE else f'"{place}"'


def _set(elements: Iterable[str]) -> str:
    return f"{{ {', '.join(elements)} }}"
