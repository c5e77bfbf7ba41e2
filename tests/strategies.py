"""Hypothesis strategies for whole definitions, shared by all property tests.

`uvns()` draws definitions that `model.checks` accepts: public, private, roaming and excluded cells,
gaps between ids, public addresses that several cells share, every strategy and switch.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network
from itertools import combinations
from typing import TypeVar

from hypothesis import strategies as st
from msgspec.structs import replace

from uno.model.net import Network
from uno.model.uvn import (
    Cell,
    CellSettings,
    DeploymentSettings,
    Particle,
    Settings,
    Strategy,
    TimingProfile,
    User,
    Uvn,
    WebSettings,
)

OWNER = "owner@example.org"
GUEST = "guest@example.org"
BANNED = "banned@example.org"

_Static = dict[str, list[str]]
_Choice = TypeVar("_Choice")

_IDENTITIES = st.integers(0, 2**128 - 1).map("{:032x}".format)
_REGISTRIES = st.sampled_from(["registry.example.org", "203.0.113.1", "2001:db8::1"])


class Choices:
    """Choices that one drawn number makes, in turn, as digits of mixed radix; 0 makes the first.

    A draw costs more than what it chooses: one for all choices takes a fraction of the time.
    """

    def __init__(self, number: int) -> None:
        """Make choices with a number of which all are used if it is below their product."""
        self._rest = number

    def of(self, options: Sequence[_Choice]) -> _Choice:
        """Return one of these."""
        self._rest, index = divmod(self._rest, len(options))
        return options[index]


_SHARED = ("Shared.example.org", "203.0.113.1")
_SEEDS = range(1001)
# As many as a cell, a particle, or settings have combinations of choices.
_CELLS = st.integers(0, 5 * 2 * 2 * 4 * 2 * 3 * (3 + len(TimingProfile)) * 2 * 4 - 1)
_SETTINGS = st.integers(0, len(TimingProfile) * 2 * 2 * 3 * len(_SEEDS) - 1)
_PARTICLES = st.dictionaries(st.integers(1, 30), st.integers(0, 3 * 2 - 1).map(Choices), max_size=4)


@st.composite
def uvns(
    draw: st.DrawFn,
    *,
    strategies: tuple[Strategy, ...] = tuple(Strategy),
    max_cells: int = 12,
) -> Uvn:
    """Draw a definition with at least one public cell that takes part."""
    cells = draw(cell_lists(max_cells=max_cells))
    particles = draw(particle_lists())
    return Uvn(
        name="net",
        identity=draw(_IDENTITIES),
        owner=OWNER,
        address=draw(_REGISTRIES),
        users=(User(email=BANNED, excluded=True), User(email=GUEST), User(email=OWNER)),
        cells=cells,
        particles=particles,
        settings=draw(settings(cells, strategies)),
        next_cell=cells[-1].id + 1,
        next_particle=particles[-1].id + 1 if particles else 1,
    )


@st.composite
def cell_lists(draw: st.DrawFn, *, max_cells: int) -> tuple[Cell, ...]:
    """Draw cells in order of their ids, the first public cell among them taking part."""
    count = draw(st.integers(1, max_cells))
    ids = sorted(draw(st.sets(st.integers(1, 3 * max_cells), min_size=count, max_size=count)))
    drawn = [draw(cells(number)) for number in ids]
    at = draw(st.integers(0, count - 1))
    drawn[at] = replace(drawn[at], address=public_name(ids[at]), excluded=False)
    return tuple(drawn)


@st.composite
def cells(draw: st.DrawFn, number: int) -> Cell:
    """Draw a cell with id `number`, with ports that are its own where its address is not."""
    chosen = Choices(draw(_CELLS))
    address = chosen.of((None, public_name(number), f"2001:db8::{number}", *_SHARED))
    own_ports = address in _SHARED
    return Cell(
        id=number,
        name=f"c{number}",
        owner=chosen.of((OWNER, GUEST)),
        address=chosen.of((address, address.upper())) if address else None,
        allowed_lans=chosen.of(((), *_lans(number))),
        settings=CellSettings(
            enable_particles_vpn=chosen.of((False, True)),
            root_vpn_port=1000 + number if own_ports else None,
            particles_vpn_port=2000 + number if own_ports else None,
            backbone_vpn_port=chosen.of((None, 50000, 50001 + number)),
            timing_profile=chosen.of((None, None, None, *TimingProfile)),
            web=chosen.of((WebSettings(), WebSettings(certificate="/c", key="/k"))),
        ),
        excluded=chosen.of((False, False, False, True)),
    )


@st.composite
def particle_lists(draw: st.DrawFn) -> tuple[Particle, ...]:
    """Draw particles in order of their ids."""
    return tuple(
        Particle(
            id=number,
            name=f"p{number}",
            owner=chosen.of((OWNER, GUEST, BANNED)),
            excluded=chosen.of((False, True)),
        )
        for number, chosen in sorted(draw(_PARTICLES).items())
    )


@st.composite
def settings(
    draw: st.DrawFn, cells: tuple[Cell, ...], strategies: tuple[Strategy, ...] = tuple(Strategy)
) -> Settings:
    """Draw settings that suit `cells`."""
    strategy = draw(st.sampled_from(strategies))
    chosen = Choices(draw(_SETTINGS))
    return Settings(
        timing_profile=chosen.of(tuple(TimingProfile)),
        enable_root_vpn=chosen.of((False, True)),
        enable_particles_vpn=chosen.of((False, True)),
        deployment=DeploymentSettings(
            strategy=strategy,
            strategy_args=draw(static_links(cells)) if strategy is Strategy.STATIC else {},
            private_uplinks=chosen.of((1, 2, 3)),
            seed=chosen.of(_SEEDS),
        ),
    )


@st.composite
def static_links(draw: st.DrawFn, cells: tuple[Cell, ...]) -> _Static:
    """Draw arguments of the static strategy that leave no active cell alone."""
    active = [cell for cell in cells if not cell.excluded]
    hub = next(cell for cell in active if cell.is_public)
    legal = [(a.name, b.name) for a, b in combinations(cells, 2) if a.is_public or b.is_public]
    chosen = draw(st.sets(st.sampled_from(legal))) if legal else set()
    chosen |= {(cell.name, hub.name) for cell in active if cell is not hub}
    peers: _Static = {}
    for one, other in sorted(chosen):
        peers.setdefault(one, []).append(other)
    return peers


def public_name(number: int) -> str:
    """Return the public name of a cell that shares it with no other."""
    return f"c{number}.example.org"


def _lans(number: int) -> list[tuple[Network, ...]]:
    lan4 = IPv4Network(f"192.168.{number}.0/24")
    lan6 = IPv6Network(f"2001:db8:0:{number:x}::/64")
    return [(lan4,), (lan6,), (lan6, lan4)]
