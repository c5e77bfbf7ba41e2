"""What metered cells send at rest, and how late they detect that a link has failed.

All octets are of packets on the Internet: IPv4, UDP and WireGuard included. A WireGuard packet pads
what it carries to 16 octets, and adds 32 of its own (WireGuard paper, section 5.4.6). Counted is
what one cell sends over links that work, with agents that use TCP, while nothing changes, nobody
watches, and the registry reaches all cells: its heartbeats are relayed to others.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from uno.agent.loop_timers import AgentIntervals
from uno.host.probe.probe_schedule import METERED, SMALL, ProbePace
from uno.model.plan import Plan, Roster, Timing
from uno.planning.cell_plans import roster
from uno.reconcile import forwarding_proof
from uno.statesync.timers import HELLO_INTERVAL

_HOUR = 3600.0

# IPv4 and UDP around a WireGuard packet; IPv4 and TCP with timestamps (RFC 7323, section 3.2).
_OUTER = 28
_TCP = 52

# IPv4, UDP and a control packet (RFC 5880, section 4.1), after 75 to 100 % of the interval (6.8.7).
_BFD = 20 + 8 + 24
_BFD_JITTER = 0.875

# A KEEPALIVE (RFC 4271, section 4.4).
_BGP = _TCP + 19

# A hello in its frame: sequences of seven digits.
_HELLO = _TCP + 111

# Initiation, response, and the packet that confirms it; a session is renewed after two minutes.
_HANDSHAKE = 148 + 92 + 32 + 3 * _OUTER
_REKEY_AFTER = 120.0


class MeteredCell(Struct, frozen=True, kw_only=True):
    """A metered cell: octets that it sends at rest in an hour, by kind.

    `detection` is within how many seconds the loss of one of its links is detected, which traffic
    then avoids if there is another path. `bgp_kept` are octets of an hour that come on top until
    the sessions of BGP that ran before end: they keep their timers (RFC 4271, section 4.2).
    """

    name: str
    links: int
    detection: float
    bfd: int
    bgp: int
    wireguard: int
    bus: int
    probes: int
    proofs: int
    bgp_kept: int = 0

    @property
    def total(self) -> int:
        """All octets of an hour, once no session of BGP has the timers of before."""
        return self.bfd + self.bgp + self.wireguard + self.bus + self.probes + self.proofs


def metered_cells(plan: Plan, before: Plan | None = None) -> tuple[MeteredCell, ...]:
    """Return the metered cells of a plan, in order of their ids; `before` is the plan in force."""
    members, old = roster(plan), roster(before) if before else None
    return tuple(
        _metered(plan, members, old, each.id)
        for each in members.members
        if members.timing_of(each.id).metered
    )


def _metered(plan: Plan, members: Roster, old: Roster | None, cell: int) -> MeteredCell:
    neighbors = tuple(_neighbors(members, cell))
    timings = tuple(members.link_timing(cell, each) for each in neighbors)
    links, others = len(neighbors), len(members.members) - 1
    running = [each for each in neighbors if old and tuple(sorted((cell, each))) in old.links]
    kept = [old.link_timing(cell, each) for each in running] if old else []
    ends = [members.link_timing(cell, each) for each in running]
    connected = links + (plan.root is not None)
    return MeteredCell(
        name=members.member(cell).name,
        links=links,
        detection=max((each.detection for each in timings), default=0) / 1000,
        bfd=round(sum(_bfd(each) for each in timings)),
        bgp=round(sum(map(_bgp, timings))),
        wireguard=round(connected * _HANDSHAKE / 2 * _HOUR / _REKEY_AFTER),
        bus=round(connected * (_sent(_HELLO) + _sent(_TCP)) * _HOUR / HELLO_INTERVAL),
        probes=round(_probes(METERED, links=links, others=others, mtu=plan.backbone.mtu)),
        proofs=round(_proofs(members, cell, neighbors, mtu=plan.backbone.mtu)),
        bgp_kept=round(sum(map(_bgp, kept)) - sum(map(_bgp, ends))),
    )


def _neighbors(members: Roster, cell: int) -> Iterator[int]:
    for one, other in members.links:
        if cell in {one, other}:
            yield other if one == cell else one


def _bfd(timing: Timing) -> float:
    return _sent(_BFD) * _HOUR / (timing.bfd_interval / 1000 * _BFD_JITTER)


def _bgp(timing: Timing) -> float:
    return (_sent(_BGP) + _sent(_TCP)) * _HOUR / timing.keepalive


def _probes(pace: ProbePace, *, links: int, others: int, mtu: int) -> float:
    """Return the octets of the probes of a cell, and of its replies to as many of others."""
    distant = max(pace.distant, others / pace.distant_per_second)
    small = links / pace.adjacent + others / distant
    return 2 * _HOUR * (_sent(SMALL) * small + _sent(mtu) * links / pace.full_size)


def _proofs(members: Roster, cell: int, neighbors: tuple[int, ...], *, mtu: int) -> float:
    """Return the octets of the cell's proofs that it forwards, and of its answers to others'.

    One sends two packets from each LAN to each neighbour, and one to each LAN of other cells. Other
    cells leave a metered one out of their proofs as often as that leaves out its own.
    """
    lans = {each.id: len(each.lans) for each in members.members}
    pair, small = _sent(forwarding_proof.SMALL) + _sent(mtu), _sent(forwarding_proof.SMALL)
    others = [each for each in lans if each != cell]
    own = lans[cell] * len(neighbors) * pair + bool(lans[cell]) * small * sum(
        lans[each] for each in others
    )
    answers = sum(lans[each] for each in neighbors) * pair
    answers += lans[cell] * small * sum(bool(lans[each]) for each in others)
    return _HOUR / AgentIntervals().prove_metered_every * (own + answers)


def _sent(inner: int) -> int:
    return -(-inner // 16) * 16 + 32 + _OUTER
