"""Limits of what a neighbour may advertise, with what bgpd refuses of it. Pure.

bgpd keeps what its filters refuse (soft reconfiguration), some 0.5 kB for each prefix, and counts
against `maximum-prefix` what it accepts. With `force` it would count what it refuses too, but that
of all neighbours against the one whose route it accepts next (`bgp_filtered_routes_count` in
bgpd/bgp_route.c of FRR 8.4). So no configuration of bgpd limits what one neighbour has refused.

Source: FRR 8.4 user manual, chapter BGP; its output is that of FRR 8.4.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from msgspec import Struct

_LIMIT = re.compile(r"  neighbor (\S+) (maximum-prefix (\d+) .+)")

# Of all neighbours and both IP versions; bgpd has these numbers without a walk of its tables.
COUNT = "show bgp memory"


class PrefixLimit(Struct, frozen=True, kw_only=True):
    """The prefixes of one IP version that a neighbour may advertise, and the line that limits."""

    neighbor: str
    version: int
    limit: int
    line: str

    @property
    def query(self) -> str:
        """The command that shows how many it advertises; bgpd walks its whole table for it."""
        family = f"ipv{self.version} unicast"
        return f"show bgp {family} neighbors {self.neighbor} prefix-counts json"

    def is_exceeded(self, output: bytes | None) -> bool:
        """Whether the neighbour advertises more, by the output of `query`; not without a session.

        Of a neighbour that has just been removed bgpd prints a sentence, and no JSON.
        """
        try:
            found = json.loads(output or b"{}")
        except ValueError:
            return False
        counts = found.get("ribTableWalkCounters", {})
        return int(counts.get("Adj-in", 0)) > self.limit

    def ending(self, router: str) -> tuple[str, ...]:
        """Return the commands that end the session, as the limit of bgpd itself does.

        `router` enters the router block. bgpd compares the count when the limit is set, and tries
        the session again after the time in `line`. The configuration is the same afterwards.
        """
        line = f"neighbor {self.neighbor} {self.line}"
        family = f"address-family ipv{self.version} unicast"
        return (router, family, f"{line} force", line, "exit-address-family", "exit")


def prefix_limits(text: str) -> Iterator[PrefixLimit]:
    """Yield the limits in a configuration of bgpd that uno has rendered."""
    version = 0
    for each in text.splitlines():
        if each.startswith(" address-family ipv"):
            version = int(each.split()[1].removeprefix("ipv"))
        elif found := _LIMIT.fullmatch(each):
            neighbor, line, limit = found.groups()
            yield PrefixLimit(neighbor=neighbor, version=version, limit=int(limit), line=line)


def prefix_count(output: bytes | None) -> int:
    """Return how many prefixes bgpd has, by the output of `COUNT`; 0 where it does not answer.

    Inner nodes of its tables are counted too, so there are not more prefixes than that.
    """
    found = re.search(rb"^(\d+) RIB nodes", output or b"", re.MULTILINE)
    return int(found[1]) if found else 0
