"""The table of what uno needs of a host names what the code runs, loads and sets."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from uno.host.command import PACKAGES
from uno.host.firewall import nft
from uno.host.netlink.interface_changes import RULE_PRIORITY, UNDERLAY_TABLE
from uno.host.routing_frr import daemons
from uno.model.routing_policy import BGP_PORT
from uno.model.tunnel import UNDERLAY_MARK
from uno.render import nftables

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "uno"
PAGE = ROOT / "docs" / "reference" / "on-the-host.md"

# Modules that name programs and kernel parameters of hosts; the fake is not one of them.
ADAPTERS = tuple(
    path for path in sorted((SOURCE / "host").rglob("*.py")) if "fake" not in path.parts
)
_PARAMETER = re.compile(r"net\.ipv(?:[46]|\{\})\.[a-z_]+(?:\.[a-z0-9_{}]+)*")


def section(title: str) -> str:
    """The text of a section of the page, up to the next heading."""
    _, _, rest = PAGE.read_text().partition(f"\n### {title}\n")
    assert rest, title
    return rest.partition("\n#")[0]


def rows(title: str) -> list[list[str]]:
    """The cells of the rows of the one table in a section, without its head."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def named(cell: str) -> list[str]:
    """What a cell of a table names as code."""
    return re.findall(r"`([^`]+)`", cell)


def started_programs() -> Iterator[str]:
    """The programs that adapters start by a name in the code."""
    for path in ADAPTERS:
        for node in ast.walk(ast.parse(path.read_text())):
            commands = node.args[:1] if isinstance(node, ast.Call) else []
            commands += [node.value] if isinstance(node, ast.Assign | ast.Return) else []
            for command in commands:
                if isinstance(command, ast.List) and command.elts:
                    first = command.elts[0]
                    if isinstance(first, ast.Constant) and isinstance(first.value, str):
                        yield first.value


@pytest.mark.feature("G51")
def test_every_program_is_in_the_table_with_its_package() -> None:
    listed = {name: row[1] for row in rows("Programs") for name in named(row[0])}

    assert listed == PACKAGES


@pytest.mark.feature("G51")
def test_every_program_that_is_started_is_known() -> None:
    found = set(started_programs())
    words = {each for each in found if re.fullmatch(r"[a-z][a-z0-9.-]+", each)}

    assert {"ip", "nft", "wg", "tc", "sh", "nice", "systemctl", "vtysh"} <= words
    assert words <= PACKAGES.keys()
    assert {Path(each).name for each in daemons.required_programs()} <= PACKAGES.keys()


@pytest.mark.feature("G51")
def test_every_kernel_parameter_that_is_set_is_in_the_table() -> None:
    listed = {name for row in rows("Kernel parameters") for name in named(row[0])}
    # The code has one template for both versions of IP.
    listed = {re.sub(r"ipv[46](?=\.conf\.NIC\.forwarding)", "ipv{}", name) for name in listed}
    sources = (*ADAPTERS, SOURCE / "reconcile" / "kernel_parameters.py")

    assert {re.sub("NIC|TUNNEL", "{}", each) for each in listed} == parameters(sources)


def parameters(sources: tuple[Path, ...]) -> set[str]:
    """The parameters in the code; `{}` stands for the name of an interface."""
    texts = (re.sub(r"\{[^{}]*\}", "{}", path.read_text()) for path in sources)
    found = {each for text in texts for each in _PARAMETER.findall(text)}
    # The directory of the parameters of IPv6 shows whether the kernel has it.
    return found - {"net.ipv6.conf"}


@pytest.mark.feature("G51")
def test_every_module_of_nftables_is_in_the_table() -> None:
    listed = {name for row in rows("Kernel") for name in named(row[0])}

    assert set(nft.MODULES) <= listed
    assert ("fib" in nftables.LOOKUP_RULES) == ("nft_fib_inet" in listed)


@pytest.mark.feature("G51")
def test_every_chain_and_set_of_unos_table_is_on_the_page() -> None:
    text = PAGE.read_text()
    tables = [path.read_text() for path in (ROOT / "tests" / "golden").rglob("uno.nft")]
    found = {
        name
        for each in tables
        for name in re.findall(r"^\s+(?:chain|set) (\S+)", each, re.MULTILINE)
    }
    # One for each link, and one for each IP version.
    names = {re.sub(r"uwg-b\d+", "X", each).rstrip("_46") for each in found}
    hooks = {"forward", "input", "output", "postrouting"}

    assert len(tables) > 1
    assert {each for each in names - hooks if each not in text} == set()


@pytest.mark.feature("G51")
def test_the_numbers_on_the_page_are_those_of_the_code() -> None:
    text = PAGE.read_text()
    numbers = {
        f"`{UNDERLAY_MARK:#x}`",
        f"priority {RULE_PRIORITY}",
        f"TCP port {BGP_PORT}",
        f"table {UNDERLAY_TABLE}",
    }

    assert {each for each in numbers if each not in text} == set()
