"""`uno install` on a cell's host: what is refused leaves nothing, and no LAN has to be up."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from watching import KERNEL, UNO, differences, snapshot

from uno.host.command import Completed
from uno.lab import deploy
from uno.lab.deploy import Deployment
from uno.lab.node import Node

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def cell(installed: Deployment) -> Node:
    """lan-b, installed, without its LAN."""
    node = installed.world.nodes["lan-b"]
    node.unplug("lan0")
    return node


@pytest.mark.feature("F068")
@pytest.mark.feature("F075")
def test_a_cell_is_installed_without_its_lan_and_nothing_is_started(
    installed: Deployment, cell: Node
) -> None:
    before = snapshot(cell, KERNEL)

    done = install(cell, installed.package(cell), cell.directory / "again")

    assert done.status == 0
    assert "Installed: cell lan-b of UVN corp" in done.stdout
    assert differences(before, snapshot(cell, KERNEL)) == []


@pytest.mark.feature("F075")
@pytest.mark.feature("F074")
def test_cell_install_is_the_same_and_its_directory_is_private(
    installed: Deployment, cell: Node
) -> None:
    root = cell.directory / "as-cell"
    copied = shutil.copy(installed.package(cell), cell.directory)

    cell.run([*UNO, "cell", "install", copied, "-r", str(root)])

    modes = {path.name: path.stat().st_mode & 0o777 for path in (root, *root.iterdir())}
    assert modes.pop("as-cell") == 0o700
    assert set(modes.values()) == {0o600}


def test_a_forked_command_does_what_one_that_is_started_does(
    installed: Deployment, cell: Node
) -> None:
    """What other tests here rely on: `prefork`."""
    package = str(shutil.copy(installed.package(cell), cell.directory))
    found = []
    for number, run in enumerate((deploy.uno, started)):
        root = cell.directory / f"by-command-{number}"
        done = run(cell, "install", package, "-r", str(root), timeout=60, check=False)
        failed = run(cell, "service", "up", "-r", str(root), timeout=60, check=False)
        modes = {path.name: path.stat().st_mode for path in (root, *root.rglob("*"))}
        texts = (done.stdout, failed.stdout, failed.stderr)
        found.append(
            (
                (done.status, failed.status),
                [each.replace(root.name, "DIR") for each in texts],
                {name.replace(root.name, "DIR"): mode for name, mode in modes.items()},
            )
        )

    assert deploy.uno is not started
    assert found[0] == found[1]
    assert found[0][0] == (0, 2)
    assert "no interface on 192.168.2.0/24" in found[0][1][2]


# As it is before a fixture replaces it.
started = deploy.uno


def tampered(package: Path, _installed: Deployment) -> bytes:
    content = bytearray(package.read_bytes())
    content[-40] ^= 1  # some bits between the parts mean nothing
    return bytes(content)


def truncated(package: Path, _installed: Deployment) -> bytes:
    return package.read_bytes()[:-100]


def of_another_cell(_package: Path, installed: Deployment) -> bytes:
    return installed.package(installed.world.nodes["lan-a"]).read_bytes()


def of_another_uvn(_package: Path, installed: Deployment) -> bytes:
    root = installed.registry_root.with_name("other")
    if not root.exists():
        spec = str(installed.world.registry.directory / "uvn.yml")
        installed.registry("define", "uvn", "corp", "-s", spec, "-y", root=root)
    return (root / "cells" / "corp__lan-b.uvn-agent").read_bytes()


def no_package(_package: Path, _installed: Deployment) -> bytes:
    return b"PK this is not a package"


@pytest.mark.feature("F069")
@pytest.mark.feature("F075")
@pytest.mark.parametrize(
    ("forge", "why"),
    [
        (tampered, ""),
        (truncated, ""),
        (no_package, ""),
        (of_another_cell, "is for cell lan-a, and this is cell lan-b"),
        (of_another_uvn, "is of UVN corp, not of the UVN corp that is here"),
    ],
)
def test_a_package_that_does_not_fit_is_refused_and_changes_nothing(
    installed: Deployment, cell: Node, forge: Callable[[Path, Deployment], bytes], why: str
) -> None:
    root, package = installed.cell_root(cell), cell.directory / "forged.uvn-agent"
    package.write_bytes(forge(installed.package(cell), installed))
    before = files(cell, root)

    done = install(cell, package, root)

    assert done.status != 0
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert why in done.stderr
    assert files(cell, root) == before
    if not why:
        assert install(cell, package, cell.directory / "new").status != 0
        assert not (cell.directory / "new").exists()


@pytest.mark.feature("F075")
def test_an_older_generation_is_refused_after_a_newer_one(
    installed: Deployment, cell: Node
) -> None:
    older = cell.directory / "older.uvn-agent"
    shutil.copy(installed.package(cell), older)
    installed.registry("define", "particle", "tablet", "-o", "jane@example.org", "-y")
    root = installed.cell_root(cell)
    newer = install(cell, installed.package(cell), root)
    before = files(cell, root)

    done = install(cell, older, root)

    assert "Updated from generation 1" in newer.stdout
    assert done.status != 0
    assert "older than the generation 2 that is here" in done.stderr
    assert files(cell, root) == before


def install(cell: Node, package: Path, root: Path) -> Completed:
    if package.parent != cell.directory:
        package = Path(shutil.copy(package, cell.directory))
    return cell.run([*UNO, "install", str(package), "-r", str(root)], check=False)


def files(cell: Node, root: Path) -> str:
    """The files in a cell's directory, with their sizes and times."""
    opened = cell.run(["find", str(root), "-type", "f", "-printf", "%p %m %s %T@\\n"]).stdout
    return "".join(sorted(line for line in opened.splitlines(keepends=True) if ".lock" not in line))
