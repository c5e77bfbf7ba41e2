"""Files in a cell's directory that list the networks of the UVN, for scripts on the host.

    networks.known          every LAN, with an address of the cell that has it
    networks.local          the cell's own LANs that are attached, with its address in each
    networks.reachable      the LANs that can be reached from here, the cell's own among them
    networks.unreachable    those that cannot

One LAN a line; the address follows after a space, and a space ends the line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from uno import files
from uno.model.net import Address, Network, written
from uno.model.package import Package
from uno.model.status import CellStatus

KINDS = ("known", "local", "reachable", "unreachable")


def write(
    directory: Path,
    package: Package,
    status: CellStatus,
    others: Mapping[int, CellStatus] | None = None,
) -> None:
    """Bring the files up to date with what the cell and the `others`, by id, say of themselves.

    Files that are so already are not written. Raises `UnoError` where the disk refuses.
    """
    for kind, text in render(package, status, others=others or {}).items():
        # They can be made again: nothing is lost with them in a power cut.
        files.write_if_changed(directory / f"networks.{kind}", text.encode(), durable=False)


def render(
    package: Package, status: CellStatus, *, others: Mapping[int, CellStatus]
) -> dict[str, str]:
    """Return what is in each file, by kind.

    The address of a cell that has not said its own in its LAN is its node address.
    """
    here = package.plan.cell
    known: list[tuple[Network, Address]] = []
    for member in package.roster.members:
        said = status if member.id == here else others.get(member.id)
        addresses = {lan.network: lan.address for lan in said.lans} if said else {}
        known += [
            (lan, addresses.get(lan) or _node(lan, member.node4, member.node6))
            for lan in member.lans
        ]
    there = {lan.network for lan in status.lans if lan.interface}
    reached = there.union(status.reachable)
    own = next(member.lans for member in package.roster.members if member.id == here)
    lost = {*status.unreachable, *own} - there
    return {
        "known": _with_addresses(known),
        "local": _with_addresses((lan, at) for lan, at in known if lan in there),
        "reachable": _plain(lan for lan, _ in known if lan in reached),
        "unreachable": _plain(lan for lan, _ in known if lan in lost),
    }


def _node(lan: Network, node4: Address, node6: Address) -> Address:
    return node4 if lan.version == 4 else node6


def _with_addresses(pairs: Iterable[tuple[Network, Address]]) -> str:
    return "".join(f"{written(lan)} {written(address)} \n" for lan, address in pairs)


def _plain(lans: Iterable[Network]) -> str:
    return "".join(f"{written(lan)}\n" for lan in lans)
