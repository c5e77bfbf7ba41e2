"""The files that list networks."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from msgspec.structs import replace

from packages import HOME, HUB, LAN, LAN6, REMOTE, package_of
from uno.agent.host_loop.network_files import NetworkFiles
from uno.model.status import CellStatus, LanState

ATTACHED = LanState(network=REMOTE, interface="eth1", address=IPv4Address("192.168.2.7"))
WELL = CellStatus(generation=1, lans=(ATTACHED,), reachable=(LAN,), unreachable=(LAN6,))
HUB_SAYS = CellStatus(
    generation=1,
    lans=(
        LanState(network=LAN, interface="eth0", address=IPv4Address("192.168.1.1")),
        LanState(network=LAN6, interface="eth0", address=IPv6Address("2001:db8:1::1")),
    ),
)


def texts(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir() if path.is_file()}


@pytest.mark.feature("F087")
def test_each_kind_of_network_has_a_file_with_a_line_for_each(tmp_path: Path) -> None:
    NetworkFiles(tmp_path).write(package_of(HOME), WELL, others={HUB: HUB_SAYS})

    assert texts(tmp_path) == {
        "networks.known": (
            "192.168.1.0/24 192.168.1.1 \n"
            "2001:db8:1::/64 2001:db8:1::1 \n"
            "192.168.2.0/24 192.168.2.7 \n"
        ),
        "networks.local": "192.168.2.0/24 192.168.2.7 \n",
        "networks.reachable": "192.168.1.0/24\n192.168.2.0/24\n",
        "networks.unreachable": "2001:db8:1::/64\n",
    }
    assert texts(tmp_path / "log") == texts(tmp_path)


def test_a_cell_without_a_status_is_listed_with_its_node_addresses(tmp_path: Path) -> None:
    home = package_of(HOME)
    hub = next(each for each in home.roster.members if each.id == HUB)

    NetworkFiles(tmp_path).write(home, WELL)

    known = texts(tmp_path)["networks.known"].splitlines()
    assert known[:2] == [f"{LAN} {hub.node4} ", f"{LAN6} {hub.node6} "]


def test_a_lan_of_its_own_that_is_not_attached_is_unreachable(tmp_path: Path) -> None:
    status = CellStatus(generation=1, lans=(LanState(network=REMOTE),), reachable=(LAN, LAN6))

    NetworkFiles(tmp_path).write(package_of(HOME), status)

    assert texts(tmp_path)["networks.local"] == ""
    assert texts(tmp_path)["networks.unreachable"] == f"{REMOTE}\n"
    assert str(REMOTE) not in texts(tmp_path)["networks.reachable"]


def test_files_that_are_right_are_left_alone(tmp_path: Path) -> None:
    NetworkFiles(tmp_path).write(package_of(HOME), WELL)
    before = {path: path.stat().st_ino for path in tmp_path.rglob("*")}

    NetworkFiles(tmp_path).write(package_of(HOME), WELL)

    assert {path: path.stat().st_ino for path in tmp_path.rglob("*")} == before


def test_a_file_that_another_program_changes_is_written_again(tmp_path: Path) -> None:
    written = NetworkFiles(tmp_path)
    written.write(package_of(HOME), WELL)
    before = texts(tmp_path)
    (tmp_path / "networks.known").write_text("")
    (tmp_path / "log" / "networks.local").unlink()

    written.write(package_of(HOME), WELL)

    assert texts(tmp_path) == texts(tmp_path / "log") == before


def test_the_files_follow_the_status_of_the_cell_and_of_the_others(tmp_path: Path) -> None:
    written = NetworkFiles(tmp_path)
    written.write(package_of(HOME), WELL)

    written.write(package_of(HOME), WELL, {HUB: HUB_SAYS})
    assert f"{LAN} 192.168.1.1 " in texts(tmp_path)["networks.known"].splitlines()
    lost = replace(WELL, reachable=(), unreachable=(LAN, LAN6))
    written.write(package_of(HOME), lost, {HUB: HUB_SAYS})

    assert texts(tmp_path)["networks.reachable"] == f"{REMOTE}\n"
