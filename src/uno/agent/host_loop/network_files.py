"""Files in a cell's directory that list the networks of the UVN, for scripts on the host.

    networks.known          every LAN, with an address of the cell that has it
    networks.local          the cell's own LANs that are attached, with its address in each
    networks.reachable      the LANs that can be reached from here, the cell's own among them
    networks.unreachable    those that cannot

One LAN a line; the address follows after a space, and a space ends the line. The same files are in
the directory's `log`, where the first implementation had them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from uno import files
from uno.model.net import Address, Network, written
from uno.model.package import Package
from uno.model.status import CellStatus

LOG = "log"

KINDS = ("known", "local", "reachable", "unreachable")


class NetworkFiles:
    """The files of one cell."""

    def __init__(self, directory: Path) -> None:
        """Write nothing yet; `directory` is the cell's."""
        self._directory = directory
        self._paths = tuple(
            folder / f"networks.{kind}" for folder in (directory, directory / LOG) for kind in KINDS
        )
        # What was written last, and how the files were then.
        self._source: object = None
        self._marks: tuple[object, ...] = ()

    def write(
        self,
        package: Package,
        status: CellStatus,
        others: Mapping[int, CellStatus] | None = None,
    ) -> None:
        """Write the files from the status of the cell and of the `others`, by id.

        Files that would not change are not written. Raises `UnoError` if one cannot be written.
        """
        others = others or {}
        reported = {cell: each.lans for cell, each in others.items()}
        source = (package, status.lans, status.reachable, status.unreachable, reported)
        # A file that was removed while the others were written has no mark.
        is_written = source == self._source and None not in self._marks
        if is_written and self._marks == tuple(map(files.mark, self._paths)):
            return
        texts = render(package, status, others=others)
        files.make_private_dir(self._directory / LOG)
        for path in self._paths:
            # They are written again after a power cut, so they need not be synced to the disk.
            text = texts[path.suffix.removeprefix(".")]
            files.write_if_changed(path, text.encode(), durable=False)
        self._source, self._marks = source, tuple(map(files.mark, self._paths))


def render(
    package: Package, status: CellStatus, *, others: Mapping[int, CellStatus]
) -> dict[str, str]:
    """Return what is in each file, by kind.

    A cell that reports no address in its LAN has its node address there.
    """
    here = package.plan.cell
    known: list[tuple[Network, Address]] = []
    for member in package.roster.members:
        reported = status if member.id == here else others.get(member.id)
        addresses = {lan.network: lan.address for lan in reported.lans} if reported else {}
        known += [
            (lan, addresses.get(lan) or _node(lan, member.node4, member.node6))
            for lan in member.lans
        ]
    there = {lan.network for lan in status.lans if lan.interface}
    reached = there.union(status.reachable)
    own = package.own.lans
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
