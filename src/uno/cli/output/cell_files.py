"""A cell's package as plain files, for a host without uno: `uno export cell`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uno import files
from uno.cli.output import list_views
from uno.diagnostics import ActionNeeded, Problem, Rejected
from uno.host.plain_files import plain_files
from uno.model.attached_lan import AttachedLan
from uno.ports.host import Facts
from uno.reconcile.desired import desired
from uno.registry.publish import cell_packages
from uno.render import package_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from uno.model.net import Network
    from uno.model.package import Package
    from uno.registry.store.directory import Registry


def write(
    registry: Registry, name: str, directory: Path, *, lan_interfaces: Sequence[str]
) -> tuple[str, ...]:
    """Write the files of the cell `name` to a directory, and return their names.

    `lan_interfaces` are the host's interfaces to its LANs: `NAME` for all, `LAN=NAME` for one. What
    an earlier export left in the directory goes. Raises `UnoError`.
    """
    package = _package(registry, name)
    lans = tuple(_attached(package.own.lans, lan_interfaces))
    # The host has to be a router: what it is beside that is not known here.
    wanted = desired(package, lans=lans, facts=Facts())
    made = plain_files(wanted, cell=name, generation=package.manifest.generation)
    _prepare(directory)
    for each in made:
        path = directory / each.name
        if path.parent != directory:
            files.make_private_dir(path.parent)
        files.write_atomic(path, each.text.encode(), mode=each.mode, durable=False)
    return tuple(each.name for each in made)


def _package(registry: Registry, name: str) -> Package:
    head = registry.store.head()
    declared = list_views.cell(head.uvn, name)
    if declared.excluded:
        raise ActionNeeded(f"cell {name} is banned", "there is nothing to export")
    path = registry.layout.cells / cell_packages.file_name(head.uvn.name, name)
    return package_file.read(files.read(path, limit=package_file.PACKED_LIMIT))


def _attached(lans: Iterable[Network], given: Sequence[str]) -> Iterable[AttachedLan]:
    """Yield each LAN with the interface that is given for it. Raises `Rejected`."""
    lans = tuple(lans)
    of_all = [each for each in given if "=" not in each]
    of_one = dict(_pair(each, lans) for each in given if "=" in each)
    for lan in lans:
        nic = of_one.get(lan) or (of_all[-1] if of_all else None)
        if nic is None:
            raise Rejected(
                Problem(
                    what=f"which interface of the host leads to {lan}?",
                    option="-i",
                    hint=f"-i eth1 for all LANs, or -i {lan}=eth1",
                )
            )
        yield AttachedLan(network=lan, nic=nic)


def _pair(given: str, lans: Sequence[Network]) -> tuple[Network, str]:
    text, _, nic = given.partition("=")
    lan = next((each for each in lans if str(each) == text), None)
    if lan is None or not nic:
        raise Rejected(
            Problem(
                what=f"{given} names no LAN of the cell",
                option="-i",
                hint=f"its LANs: {', '.join(map(str, lans)) or 'none'}",
            )
        )
    return lan, nic


def _prepare(directory: Path) -> None:
    """Make the directory, or clear it of an earlier export. Raises `UnoError` for any other."""
    start = directory / "start"
    is_ours = start.is_file() and "Made by `uno export cell" in start.read_text(errors="replace")
    if directory.exists() and not is_ours and any(directory.iterdir()):
        raise ActionNeeded(
            f"{directory} is not empty, and no export of a cell",
            "name a directory that is empty or does not exist",
        )
    files.make_private_dir(directory)
    for stale in (directory / "wg").glob("*.conf"):
        files.remove(stale)
