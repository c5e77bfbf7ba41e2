"""LANs and address pools: what they are, and that none overlaps another."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from uno.model.checks.finding import Finding, Findings, Path
from uno.model.net import network_order, overlap
from uno.model.syntax import shown

if TYPE_CHECKING:
    from uno.model.net import Network
    from uno.model.uvn import Uvn


def check(uvn: Uvn) -> Findings:
    """Find networks that cannot be a LAN or pool, and networks that overlap."""
    claims = [*_lans(uvn), *_pools(uvn)]
    unfit = [finding for claim in claims for finding in _check_kind(claim)]
    yield from unfit
    refused = {finding.path for finding in unfit}
    yield from _check_overlaps([claim for claim in claims if claim.path not in refused])


class _Claim(NamedTuple):
    """A network that a LAN or a pool takes. `cell` is the cell's index, None for a pool."""

    network: Network
    path: Path
    what: str
    cell: int | None


def _lans(uvn: Uvn) -> list[_Claim]:
    return [
        _Claim(
            network=lan,
            path=("cells", number, "allowed_lans", index),
            what=f"LAN {lan} of {shown(cell.name)}",
            cell=number,
        )
        for number, cell in enumerate(uvn.cells)
        if not cell.excluded
        for index, lan in enumerate(cell.allowed_lans)
    ]


def _pools(uvn: Uvn) -> list[_Claim]:
    pools = {
        "root_vpn": uvn.settings.root_vpn.subnet,
        "particles_vpn": uvn.settings.particles_vpn.subnet,
        "backbone_vpn": uvn.settings.backbone_vpn.subnet,
    }
    return [
        *(
            _Claim(pool, ("settings", key, "subnet"), f"the {key} subnet {pool}", None)
            for key, pool in pools.items()
        ),
        # Links pass such sources from everywhere, so that they must not be those of a LAN.
        *(
            _Claim(
                network,
                ("settings", "backbone_vpn", "allowed_ips", index),
                f"{network} of the backbone_vpn allowed_ips",
                None,
            )
            for index, network in enumerate(uvn.settings.backbone_vpn.allowed_ips)
        ),
    ]


def _check_kind(claim: _Claim) -> Findings:
    network, kind = claim.network, ""
    if network.prefixlen == 0:
        kind = "is every address there is"
    elif network.is_multicast or network.is_loopback or network.is_link_local:
        kind = "is multicast, loopback or link-local, which no router forwards"
    elif network.network_address.is_unspecified:
        kind = "holds the unspecified address"
    if kind:
        yield Finding(
            path=claim.path,
            what=f"{claim.what} {kind}",
            hint="write the network of the site's hosts, such as 192.168.1.0/24"
            if claim.cell is not None
            else "use a private network (RFC 1918) that no site uses",
        )


def _check_overlaps(claims: list[_Claim]) -> Findings:
    # In address order a network that overlaps an earlier one overlaps one of those still open:
    # two networks are apart or one holds the other, so the open ones are a chain.
    open_claims: list[_Claim] = []
    for claim in sorted(claims, key=lambda claim: network_order(claim.network)):
        while open_claims and not overlap(open_claims[-1].network, claim.network):
            open_claims.pop()
        if open_claims:
            yield _overlap(open_claims[-1], claim)
        open_claims.append(claim)


def _overlap(one: _Claim, other: _Claim) -> Finding:
    # The finding names the LAN rather than the pool, and of two LANs the later one.
    first, second = sorted((one, other), key=lambda claim: (claim.cell is not None, claim.path))
    if first.cell is None:
        settings = _setting(first) if second.cell is not None else "one of them"
        hint = f"give {settings} a network that no site uses"
    elif first.cell == second.cell:
        hint = "remove one of them"
    else:
        hint = "renumber one of the two sites, or attach the LAN to one cell alone"
    how = "is also" if one.network == other.network else "overlaps"
    return Finding(
        path=second.path, what=f"{second.what} {how} {first.what}", hint=hint, also=(first.path,)
    )


def _setting(claim: _Claim) -> str:
    return ".".join(map(str, claim.path))
