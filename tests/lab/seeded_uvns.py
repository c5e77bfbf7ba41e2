"""Definitions of two to five cells, drawn from a seed, and hand-made ones for `uno verify`."""

from __future__ import annotations

import random
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network
from itertools import combinations

from uno.diagnostics import Severity
from uno.model.checks import check
from uno.model.net import Network
from uno.model.uvn import (
    Cell,
    CellSettings,
    DeploymentSettings,
    Settings,
    Strategy,
    TimingProfile,
    User,
    Uvn,
)

OWNER = "owner@example.org"


def drawn(seed: int) -> Uvn:
    """Return a definition that is valid and has at least two cells; the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311 - for tests, not for keys
    while True:
        uvn = _draw(chance)
        if not any(found.severity is Severity.ERROR for found in check(uvn)):
            return uvn


def hand_made() -> dict[str, Uvn]:
    """Return one definition for each thing that `uno verify` assumes or counts, by what it is."""
    two_uplinks = DeploymentSettings(private_uplinks=2)
    star = _static({"c1": ["c2", "c3", "c4"]})
    return {
        "two uplinks go to two addresses": _uvn(
            [_cell(1, shared=True), _cell(2, shared=True), _cell(3), _cell(4, public=False)],
            two_uplinks,
        ),
        "a site parts a ring": _uvn(
            [_cell(1, shared=True), _cell(2), _cell(3, shared=True), _cell(4)],
            DeploymentSettings(strategy=Strategy.CIRCULAR),
        ),
        "IPv4 alone and IPv6 alone": _uvn(
            [_cell(1), _cell(2, versions=(6,)), _cell(3, versions=(4, 6)), _cell(4, versions=(6,))],
            _static({"c1": ["c2", "c3"], "c2": ["c4"]}),
        ),
        "a star, of which every LAN is cut off": _uvn([_cell(n) for n in range(1, 5)], star),
        "in two parts": _uvn(
            [_cell(n) for n in range(1, 6)], _static({"c1": ["c2"], "c3": ["c4"], "c4": ["c5"]})
        ),
    }


def ring_of_five() -> Uvn:
    """Return a ring in which the first cell reaches the third through the second, and else not."""
    return _uvn([_cell(n) for n in range(1, 6)], DeploymentSettings(strategy=Strategy.CIRCULAR))


def _draw(chance: random.Random) -> Uvn:
    count = chance.choice([2, 2, 3, 3, 3, 4, 5])
    cells = [
        _cell(
            number,
            public=number == 1 or chance.random() < 0.6,
            shared=chance.random() < 0.3,
            versions=chance.choice([(), (4,), (4,), (4, 6), (4, 6), (6,)]),
            particles=chance.random() < 0.5,
        )
        for number in range(1, count + 1)
    ]
    strategy = chance.choice(list(Strategy))
    args = _some_links(chance, cells) if strategy is Strategy.STATIC else {}
    deployment = DeploymentSettings(
        strategy=strategy,
        strategy_args=args,
        private_uplinks=chance.choice([1, 2]),
        seed=chance.randrange(100),
    )
    return _uvn(cells, deployment)


def _some_links(chance: random.Random, cells: list[Cell]) -> dict[str, list[str]]:
    legal = [(a.name, b.name) for a, b in combinations(cells, 2) if a.is_public or b.is_public]
    links: dict[str, list[str]] = {}
    for one, other in chance.sample(legal, chance.randint(1, min(len(legal), 6))):
        links.setdefault(one, []).append(other)
    return links


def _static(links: dict[str, list[str]]) -> DeploymentSettings:
    return DeploymentSettings(strategy=Strategy.STATIC, strategy_args=links)


def _cell(
    number: int,
    *,
    public: bool = True,
    shared: bool = False,
    versions: tuple[int, ...] = (4,),
    particles: bool = True,
) -> Cell:
    address = "site.example.org" if shared else f"c{number}.example.org"
    own = CellSettings(
        enable_particles_vpn=particles,
        root_vpn_port=50000 + number,
        particles_vpn_port=50010 + number,
        backbone_vpn_port=51000 + 100 * number,
    )
    return Cell(
        id=number,
        name=f"c{number}",
        owner=OWNER,
        address=address if public else None,
        allowed_lans=tuple(_lans(number, versions)),
        settings=own,
    )


def _lans(number: int, versions: tuple[int, ...]) -> Iterator[Network]:
    if 4 in versions:
        yield IPv4Network(f"192.168.{number}.0/24")
    if 6 in versions:
        yield IPv6Network(f"2001:db8:{number}::/64")


def _uvn(cells: list[Cell], deployment: DeploymentSettings) -> Uvn:
    return Uvn(
        name="net",
        identity="0123456789abcdef" * 2,
        owner=OWNER,
        address="registry.example.org",
        users=(User(email=OWNER),),
        cells=tuple(cells),
        settings=Settings(timing_profile=TimingProfile.FAST, deployment=deployment),
        next_cell=len(cells) + 1,
    )
