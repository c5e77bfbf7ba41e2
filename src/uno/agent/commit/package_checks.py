"""What an agent requires of a package, beside its signature, its cell and its generation."""

from __future__ import annotations

from collections.abc import Iterable

from uno.model.key_ids import cell_sealing, cell_signing
from uno.model.package import Package
from uno.ports.host import Nic
from uno.reconcile.lans import attached
from uno.render.package_file import PackageRejected


def require_keys(package: Package) -> None:
    """Raise PackageRejected for a package without the cell's keys to sign and to unseal."""
    cell = package.plan.cell
    if {cell_signing(cell), cell_sealing(cell)} <= package.secrets.keys():
        return
    raise PackageRejected(
        f"the package of {package.plan.name}, generation {package.manifest.generation}, is of a"
        " version of uno without agents: it has no keys for the bus",
        "make a new generation at the registry with this version, and install its package here",
    )


def require_new_lans(offered: Package, running: Package, nics: Iterable[Nic]) -> None:
    """Raise PackageRejected if `offered` adds a LAN that the host is not attached to.

    A LAN of the running package that is missing is a fault of the host, and refuses no package.
    """
    added = [lan for lan in offered.own.lans if lan not in running.own.lans]
    there = {each.network for each in attached(added, nics)}
    if missing := [str(lan) for lan in added if lan not in there]:
        raise PackageRejected(
            f"the host of {offered.plan.name} has no interface in {' or '.join(missing)}",
            "give the host an address in that LAN, or correct the cell's LANs",
        )
