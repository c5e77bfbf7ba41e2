"""How much one node may send to the bus of another: rules of a chain of their own. Source: nft(8).

DDS takes what it receives, and does not tell senders apart. So the firewall drops what a node sends
above a rate that none needs for long: a node that floods loses its own messages, also those of
others that it relays, and costs others next to nothing. A burst passes: a node that joins receives
the state of all cells, and packages are relayed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address

CHAIN = "bus_rate"
# Before the chain that decides who may send at all.
HOOK = "filter hook input priority filter - 1; policy accept;"

# Kilobytes in a second, and at once: for any UVN, and for each of its cells. A cell refreshes some
# kilobytes of status twice a minute, and each neighbour relays it.
_RATE, _RATE_PER_CELL = 8, 2
_BURST, _BURST_PER_CELL = 256, 10


def of_links(interfaces: Iterable[str], *, ports: tuple[int, ...], cells: int) -> Iterator[str]:
    """Yield a rule for each link of a cell. `ports` are the UDP ports of its bus."""
    for each in interfaces if ports else ():
        yield f'iifname "{each}" {_to(ports)} {_too_much(cells)}'


def of_nodes(
    interface: str, nodes: Iterable[IPv4Address], *, ports: tuple[int, ...]
) -> Iterator[str]:
    """Yield a rule for each node that is behind one interface: the cells in the root VPN."""
    found = tuple(nodes)
    for each in found:
        yield f'iifname "{interface}" ip saddr {each} {_to(ports)} {_too_much(len(found))}'


def _to(ports: tuple[int, ...]) -> str:
    return f"udp dport {{ {', '.join(map(str, sorted(ports)))} }}"


def _too_much(cells: int) -> str:
    rate, burst = _RATE + _RATE_PER_CELL * cells, _BURST + _BURST_PER_CELL * cells
    return f"limit rate over {rate} kbytes/second burst {burst} kbytes counter drop"
