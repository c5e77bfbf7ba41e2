"""A network without agents: packages alone, no root VPN, and no DDS on any host."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from commands import Uno
from commands import run as run_here
from uno.agent.commit.ledger import Ledger
from uno.host.command import Completed, run
from uno.model.package import Package
from uno.render.tunnels import tunnels

STATIC = "define uvn net -o john@example.org -p x --disable-root-vpn"
# Runs a command where no module of a DDS vendor can be imported.
WITHOUT_DDS = """
import sys

class Refused:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in {"cyclonedds", "rti"}:
            raise AssertionError(f"{name} is imported")

sys.meta_path.insert(0, Refused())
from uno.cli.main import main
main(sys.argv[1:])
"""


@pytest.fixture
def static(uno: Uno) -> Uno:
    """A registry without an address, of a public and a private cell and a particle."""
    for words in (
        STATIC,
        "define cell a -a a.example.org -N 192.168.1.0/24",
        "define cell b -N 192.168.2.0/24",
        "define particle phone",
    ):
        done = uno(*words.split())
        assert done.status == 0, done.err
    return uno


def installed(root: Path, cell: str) -> Package:
    host = root.parent / f"host-{cell}"
    done = run_here("install", str(root / "cells" / f"net__{cell}.uvn-agent"), "-r", str(host))
    assert done.status == 0, done.err
    found = Ledger(host).current()
    assert found is not None
    return found


@pytest.mark.feature("F043")
@pytest.mark.feature("F094")
@pytest.mark.parametrize("cell", ["a", "b"])
def test_packages_alone_make_a_static_network(static: Uno, root: Path, cell: str) -> None:
    package = installed(root, cell)

    assert package.plan.root is None
    assert not [key for key in package.secrets if "root" in key]
    kinds = {each.name.rstrip("0123456789") for each in tunnels(package)}
    assert kinds == ({"uwg-b", "uwg-p"} if cell == "a" else {"uwg-b"})
    guide = static("guide", cell).out
    assert "63448" not in guide
    assert ("63449" in guide) is (cell == "a")


@pytest.mark.feature("F043")
@pytest.mark.parametrize("command", ["sync", "agent"])
def test_there_is_nothing_to_bring_to_cells(static: Uno, command: str) -> None:
    refused = static(command)

    assert refused.status == 2
    assert "root VPN" in refused.err
    assert "uno install" in refused.err


@pytest.mark.feature("F094")
def test_no_command_of_a_static_network_imports_dds(root: Path) -> None:
    host = root.parent / "host"
    package = root / "cells" / "net__a.uvn-agent"

    for words in (f"{STATIC} -q", "define cell a -a a.example.org -N 192.168.1.0/24 -q"):
        assert without_dds(*words.split(), "-r", str(root)).status == 0
    for words in ("guide a", "verify", "list cells", "plan -s {}"):
        assert without_dds(*words.split(), "-r", str(root)).status in {0, 3}
    assert without_dds("install", str(package), "-r", str(host)).status == 0
    if os.geteuid() == 0:
        # Whatever it finds on this host.
        without_dds("service", "status", "-r", str(host), apart=True)


def without_dds(*words: str, apart: bool = False) -> Completed:
    """Run `uno WORDS`, and with `apart` in a network namespace of its own."""
    before = ("unshare", "-n") if apart else ()
    done = run([*before, sys.executable, "-c", WITHOUT_DDS, *words], check=False, timeout=60)
    assert "is imported" not in done.stderr, done.stderr
    return done
