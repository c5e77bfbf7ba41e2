"""What a host must have before it runs another package."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import run
from site_of_agents import build
from uno.cli.host_requirements import require_for_cell, require_for_registry
from uno.diagnostics import UnoError
from uno.model.package import Package
from uno.model.plan import Plan
from uno.ports.bus import CELL_INDEX, REGISTRY_INDEX, listening
from uno.registry.changes import operations
from uno.render import package_file


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("site"))


@pytest.fixture
def root(site: Path, tmp_path: Path) -> Path:
    """A registry of three cells, of which a is public."""
    return Path(shutil.copytree(site, tmp_path / "registry"))


@pytest.fixture
def taken() -> Iterator[int]:
    """A UDP port that another program uses."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("", 0))
        yield other.getsockname()[1]


State = tuple[Package, Plan]


def state(root: Path) -> State:
    package = package_file.read((root / "cells" / "net__a.uvn-agent").read_bytes())
    with operations.opened(root) as registry:
        return package, registry.store.head().plan


def config(root: Path, *words: str) -> None:
    done = run("config", *words, "-r", str(root))
    assert done.status == 0, done.err


@pytest.mark.parametrize(
    "option", ["--root-vpn-port", "--particles-vpn-port", "--backbone-vpn-port"]
)
def test_a_cell_refuses_a_port_that_another_program_uses(
    root: Path, taken: int, option: str
) -> None:
    assert run("define", "particle", "phone", "-r", str(root)).status == 0
    before, _ = state(root)
    config(root, "cell", "a", "-U", option, str(taken))
    after, _ = state(root)

    with pytest.raises(UnoError, match=f"UDP port {taken}, which WireGuard needs"):
        require_for_cell(before, after, (), directory=root)

    require_for_cell(after, after, (), directory=root)
    require_for_cell(before, after, (taken,), directory=root)


def test_the_registry_refuses_a_port_that_another_program_uses(root: Path, taken: int) -> None:
    _, before = state(root)
    config(root, "uvn", "-U", "--root-vpn-pull-port", str(taken))
    _, after = state(root)

    with pytest.raises(UnoError, match=f"UDP port {taken}, which the root VPN needs"):
        require_for_registry((before,), after, directory=root)

    require_for_registry((before, after), after, directory=root)
    require_for_registry((), after, directory=root)


@pytest.mark.parametrize("index", [CELL_INDEX, REGISTRY_INDEX])
@pytest.mark.parametrize(
    ("middleware", "transport", "kind"),
    [("tcp", "TCP", socket.SOCK_STREAM), ("cyclone", "UDP", socket.SOCK_DGRAM)],
)
def test_a_dds_domain_whose_port_another_program_uses_is_refused(
    root: Path, index: int, middleware: str, transport: str, kind: socket.SocketKind
) -> None:
    config(root, "uvn", "-U", "--middleware", middleware)
    before = state(root)
    config(root, "uvn", "-U", "--dds-domain", "201")
    after = state(root)
    port = listening(after[1].bus, index)[-1]
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("", port))
        if kind == socket.SOCK_STREAM:
            other.listen()

        with pytest.raises(UnoError, match=f"{transport} port {port}, which DDS domain 201 needs"):
            require(before, after, root, index=index)

    require(before, after, root, index=index)


def require(before: State, after: State, directory: Path, *, index: int) -> None:
    if index == CELL_INDEX:
        require_for_cell(before[0], after[0], (), directory=directory)
    else:
        require_for_registry((before[1],), after[1], directory=directory)


@pytest.mark.feature("F098")
def test_a_middleware_without_its_licence_is_refused(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RTI_LICENSE_FILE", raising=False)
    before = state(root)
    config(root, "uvn", "-U", "--middleware", "connext")
    after = state(root)

    for index in (CELL_INDEX, REGISTRY_INDEX):
        with pytest.raises(UnoError, match="has no licence"):
            require(before, after, tmp_path, index=index)
