"""Particle packages: what is in them, to the letter."""

from __future__ import annotations

import io
import os
import re
import zipfile
from base64 import b64encode
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uno.diagnostics import UnoError
from uno.model.net import Network
from uno.render import particle
from uno.render.particle import Configuration

# Names of any form, some reserved, some alike.
CELL_NAMES = st.one_of(
    st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True),
    st.sampled_from(["lo", "con", "com1", "default"]),
    st.integers(0, 30).map(lambda number: f"a-very-long-site-name-{number}"),
    st.integers(0, 30).map(lambda number: f"a-very-long-{number}"),
)
GOLDEN = Path(__file__).parents[2] / "golden" / "particle"


@pytest.mark.feature("F065")
@pytest.mark.feature("F066")
@pytest.mark.feature("F071")
@pytest.mark.feature("G32")
def test_a_configuration_sends_all_traffic_through_its_cell() -> None:
    assert_golden("tunnel.conf", conf())


def test_without_a_tunnel_only_the_networks_of_the_uvn_go_through_the_cell() -> None:
    pools: tuple[Network, ...] = (
        IPv6Network("fd00:1122:3344::/48"),
        IPv4Network("192.168.2.0/24"),
        IPv4Network("10.254.0.0/16"),
        IPv4Network("192.168.2.0/24"),
    )

    assert_golden("split.conf", conf(tunnel=False, pools=pools, keepalive=0))


def test_without_a_tunnel_there_have_to_be_networks() -> None:
    with pytest.raises(ValueError, match="there have to be networks to reach"):
        conf(tunnel=False)


@pytest.mark.feature("F070")
@pytest.mark.feature("F071")
@pytest.mark.feature("F072")
@pytest.mark.feature("F073")
def test_a_package_has_a_configuration_and_its_codes_for_every_cell() -> None:
    content = particle.package("my-uvn", "john", CONFIGS)

    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        text = archive.read("my-uvn__john/lan-a.conf").decode()
        png = archive.read("my-uvn__john/lan-a.png")
        svg = archive.read("my-uvn__john/lan-a.svg").decode()
        page = archive.read("my-uvn__john/index.html").decode()

    assert names == [
        "my-uvn__john/",
        "my-uvn__john/index.html",
        "my-uvn__john/lan-a.conf",
        "my-uvn__john/lan-a.png",
        "my-uvn__john/lan-a.svg",
        "my-uvn__john/lan-b.conf",
        "my-uvn__john/lan-b.png",
        "my-uvn__john/lan-b.svg",
    ]
    assert text == conf()
    assert png.startswith(b"\x89PNG")
    assert svg.startswith("<svg ")
    assert svg in page


@pytest.mark.feature("F074")
def test_what_is_unpacked_is_private() -> None:
    with zipfile.ZipFile(io.BytesIO(particle.package("my-uvn", "john", CONFIGS))) as archive:
        modes = {entry.is_dir(): entry.external_attr >> 16 for entry in archive.infolist()}
        kinds = {entry.create_system for entry in archive.infolist()}

    assert modes == {True: 0o040700, False: 0o100600}
    assert kinds == {3}


def test_the_same_configurations_make_the_same_bytes_in_any_order() -> None:
    assert particle.package("my-uvn", "john", CONFIGS) == particle.package(
        "my-uvn", "john", reversed(CONFIGS)
    )


def test_a_package_without_cells_states_that() -> None:
    with zipfile.ZipFile(io.BytesIO(particle.package("my-uvn", "john", ()))) as archive:
        page = archive.read("my-uvn__john/index.html").decode()
        names = archive.namelist()

    assert names == ["my-uvn__john/", "my-uvn__john/index.html"]
    assert "There is nowhere to connect yet" in page


@pytest.mark.feature("F070")
@pytest.mark.feature("G51")
@pytest.mark.parametrize(
    ("cell", "number", "file"),
    [
        ("lan-a", 1, "lan-a"),
        ("fifteen-letters", 2, "fifteen-letters"),
        ("sixteen--letters", 3, "sixteen--lett_3"),
        ("field-station-north", 17, "field-statio_17"),
        ("a-station--behind", 1234, "a-station_1234"),
        ("lo", 4, "lo_4"),
        ("aux", 5, "aux_5"),
        ("com1", 6, "com1_6"),
        ("console", 7, "console"),
    ],
)
def test_files_are_named_after_their_cell_as_far_as_wireguard_takes_it(
    cell: str, number: int, file: str
) -> None:
    assert particle.file_name(cell, number) == file


@pytest.mark.feature("G51")
@given(st.lists(CELL_NAMES, unique=True, max_size=20), st.integers(1, 10_000))
def test_any_set_of_cells_has_files_that_every_program_takes(cells: list[str], first: int) -> None:
    found = [particle.file_name(cell, first + index) for index, cell in enumerate(cells)]

    assert all(re.fullmatch(r"[a-zA-Z0-9_=+.-]{1,15}", file) for file in found)
    assert len({file.lower() for file in found}) == len(cells)
    assert all(
        cell.startswith(file.partition("_")[0]) for cell, file in zip(cells, found, strict=True)
    )


def test_networks_that_touch_are_joined() -> None:
    pools: tuple[Network, ...] = (
        IPv4Network("192.168.0.0/24"),
        IPv4Network("192.168.1.0/24"),
        IPv4Network("192.168.1.128/25"),
    )

    assert "AllowedIPs = 192.168.0.0/23\n" in conf(tunnel=False, pools=pools)


def test_a_configuration_too_long_for_a_code_comes_as_a_file_alone() -> None:
    many = tuple(IPv4Network((0x0A000000 + 512 * number, 24)) for number in range(400))
    text = conf(tunnel=False, pools=many)
    config = Configuration(cell="lan-a", file="lan-a", endpoint="e:1", conf=text)

    with zipfile.ZipFile(io.BytesIO(particle.package("u", "p", [config]))) as archive:
        names = archive.namelist()
        page = archive.read("u__p/index.html").decode()

    assert names == ["u__p/", "u__p/index.html", "u__p/lan-a.conf"]
    assert "too many LANs for a QR code: import the configuration file" in page
    assert ".png" not in page
    with pytest.raises(UnoError, match="too many for a QR code"):
        particle.terminal_qr(config.conf)


@pytest.mark.feature("F072")
def test_a_terminal_of_80_columns_shows_the_code() -> None:
    lines = particle.terminal_qr(conf()).splitlines()

    bare = [line.removeprefix("\x1b[97;40m").removesuffix("\x1b[0m") for line in lines]
    assert len({len(line) for line in bare}) == 1
    assert len(bare[0]) < 80
    assert set("".join(bare)) == set(" ▀▄█")


def test_printing_a_configuration_shows_no_secret() -> None:
    assert key(1) not in repr(CONFIGS)


# Helpers


def key(number: int) -> str:
    return b64encode(bytes([number]) * 32).decode()


def conf(*, tunnel: bool = True, pools: tuple[Network, ...] = (), keepalive: int = 25) -> str:
    return particle.conf(
        private_key=key(1),
        address4=IPv4Address("10.254.0.2"),
        address6=IPv6Address("fd00:1122:3344:2::2"),
        mtu=1320,
        public_key=key(2),
        psk=key(3),
        endpoint="lan-a.example.com:63449",
        keepalive=keepalive,
        tunnel=tunnel,
        pools=pools,
    )


def assert_golden(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


CONFIGS = (
    Configuration(cell="lan-a", file="lan-a", endpoint="lan-a.example.com:63449", conf=conf()),
    Configuration(
        cell="lan-b",
        file="lan-b",
        endpoint="[2001:db8::2]:63449",
        conf=conf(),
        owner="jane@example.com",
    ),
)
