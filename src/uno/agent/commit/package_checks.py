"""What a package must have for an agent to run it, beside being newer, its own, and signed."""

from __future__ import annotations

from collections.abc import Iterable

from uno.model.key_ids import cell_sealing, cell_signing
from uno.model.net import Network
from uno.model.package import Package
from uno.ports.host import Nic
from uno.reconcile.lans import attached
from uno.render.package_file import PackageRejected


def require_keys(package: Package) -> None:
    """Raise PackageRejected for a package from before cells had keys to sign and to open with."""
    cell = package.plan.cell
    if {cell_signing(cell), cell_sealing(cell)} <= package.secrets.keys():
        return
    raise PackageRejected(
        f"the package of {package.plan.name}, generation {package.manifest.generation}, is of a"
        " version of uno without agents: it has no keys to talk with",
        "make a new generation at the registry with this version, and install its package here",
    )


def require_new_lans(offered: Package, running: Package, nics: Iterable[Nic]) -> None:
    """Raise PackageRejected if `offered` brings a LAN that the host is not in: a mistake.

    One that is missing and was there before is a fault of the host's, and keeps nothing back.
    """
    added = [lan for lan in own_lans(offered) if lan not in own_lans(running)]
    there = {each.network for each in attached(added, nics)}
    if missing := [str(lan) for lan in added if lan not in there]:
        raise PackageRejected(
            f"the host of {offered.plan.name} has no interface in {' or '.join(missing)}",
            "give the host an address in that LAN, or correct the cell's LANs",
        )


def own_lans(package: Package) -> tuple[Network, ...]:
    """Return the LANs that the cell of `package` should attach."""
    return package.own.lans
