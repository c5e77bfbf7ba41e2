"""Which changes move what carries the registry's messages to a cell."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from commands import run
from site_of_agents import build
from uno.agent.commit.control_path import moves_control, moves_root_vpn
from uno.model.package import Package
from uno.render import package_file


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry of three cells: a and b are public, c is private."""
    return build(tmp_path_factory.mktemp("site"))


def packages(root: Path) -> dict[str, Package]:
    return {
        name: package_file.read((root / "cells" / f"net__{name}.uvn-agent").read_bytes())
        for name in "abc"
    }


@pytest.mark.feature("G05")
@pytest.mark.feature("G56")
@pytest.mark.parametrize(
    ("words", "control", "root"),
    [
        ("config uvn -U --dds-domain 12", "abc", ""),
        ("config uvn -U --middleware connext", "abc", ""),
        ("config uvn -U --root-vpn-subnet 10.98.0.0/22", "abc", ""),
        ("config uvn -U --root-vpn-pull-port 50002", "c", "c"),
        ("config uvn -U --root-vpn-push-port 50001", "ab", "ab"),
        ("config uvn -U -a other.example.org", "c", "c"),
        ("config uvn -U --root-vpn-mtu 1400", "abc", ""),
        ("config uvn -U --root-vpn-keepalive 9", "", ""),
        ("config cell a -U -a new.example.org", "a", "a"),
        ("config cell a -U --root-vpn-port 50009", "a", "a"),
        ("rekey uvn -R", "abc", ""),
        ("rekey cell a -R", "a", ""),
        ("config uvn -U --timing-profile fast", "", ""),
        ("config uvn -U --backbone-vpn-port 50004", "", ""),
        ("config cell b -U --add-network 192.168.7.0/24", "", ""),
        ("define cell d -a d.example.org", "", ""),
    ],
)
def test_a_change_moves_the_control_path_of_the_cells_that_it_concerns(
    site: Path, tmp_path: Path, words: str, control: str, root: str
) -> None:
    registry = tmp_path / "registry"
    shutil.copytree(site, registry)
    before = packages(registry)

    done = run(*words.split(), "-r", str(registry))

    assert done.status == 0, done.err
    after = packages(registry)
    assert [each for each in "abc" if moves_control(before[each], after[each])] == list(control)
    assert [each for each in "abc" if moves_root_vpn(before[each], after[each])] == list(root)
