"""nftables rules of the lab's own nodes: NAT in routers, and the Internet's faults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from uno.diagnostics import ActionNeeded
from uno.model.net import Address


def router(
    forwarded: Mapping[Address, Iterable[str]] | None = None, *, loopback: Address | None = None
) -> str:
    """A home router: masquerades its LANs, lets nothing in but answers and forwarded UDP ports.

    `forwarded` are the ports by the address that they are forwarded to. `loopback` is the router's
    own public address where one LAN of it gets to these ports in another (RFC 4787, section 6).

    There is no `ct state invalid drop`: hosts of the LAN reach the UVN through the router, but
    are answered by the cell directly, so the router sees one direction of their connections only.
    """
    lines = "".join(
        f"\n    {place} udp dport {{ {', '.join(ports)} }} dnat to {to}"
        for to, ports in (forwarded or {}).items()
        for place in ("iifname wan", *((f"ip daddr {loopback}",) if loopback else ()))
    )
    return f"""\
table ip nat {{
  chain prerouting {{ type nat hook prerouting priority dstnat;{lines}
  }}
  chain postrouting {{ type nat hook postrouting priority srcnat; oifname wan masquerade
  }}
}}
table inet filter {{
  chain forward {{ type filter hook forward priority filter; policy drop
    ct state established,related accept
    ct status dnat accept
    iifname != wan accept
  }}
  chain input {{ type filter hook input priority filter; policy accept
    iifname wan meta l4proto {{ tcp, udp }} ct state new drop
  }}
}}
"""


def internet() -> str:
    """The Internet: forwards everything, except what `cut` and `loss` drop.

    `cut` holds pairs of public addresses, `cut_port` an address, a UDP port on it, and the other
    address; either is matched in both directions.
    """
    return """\
table inet lab {
  set cut { type ipv4_addr . ipv4_addr; }
  set cut_port { type ipv4_addr . inet_service . ipv4_addr; }
  chain loss { }
  chain forward { type filter hook forward priority filter; policy accept
    meta l4proto udp ip saddr . ip daddr @cut counter drop
    meta l4proto udp ip daddr . ip saddr @cut counter drop
    meta l4proto udp ip saddr . udp sport . ip daddr @cut_port counter drop
    meta l4proto udp ip daddr . udp dport . ip saddr @cut_port counter drop
    jump loss
  }
}
"""


def cut(verb: str, one: Address, other: Address, *, port: int | None = None) -> str:
    """`add` or `delete` a cut between two public addresses: of all UDP, or of `port` on `one`."""
    if one.version != 4 or other.version != 4:
        raise ActionNeeded(
            "the lab can cut links between IPv4 endpoints only", "use IPv4 endpoints"
        )
    if port is None:
        return f"{verb} element inet lab cut {{ {one} . {other} }}\n"
    return f"{verb} element inet lab cut_port {{ {one} . {port} . {other} }}\n"


def restore_all() -> str:
    """Take every cut and all loss back."""
    return "flush set inet lab cut\nflush set inet lab cut_port\n" + loss(0)


def loss(percent: float) -> str:
    """Drop this share of all UDP packets that cross the Internet, at random."""
    if not 0 <= percent <= 100:
        raise ActionNeeded(
            f"{percent:g} % is not a share of packets", "give a number from 0 to 100"
        )
    per_mille = round(percent * 10)
    rule = f"meta l4proto udp numgen random mod 1000 < {per_mille} counter drop"
    return "flush chain inet lab loss\n" + (f"add rule inet lab loss {rule}\n" if per_mille else "")
