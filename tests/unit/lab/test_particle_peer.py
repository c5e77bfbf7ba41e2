"""A particle's file, and what its host does with it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from uno.diagnostics import UnoError
from uno.lab.particle_peer import parse, tunnels

CONFIGURATION = """\
[Interface]
Address = 10.254.0.2/32, fd00::2/128
PrivateKey = AAA=
DNS = 10.254.0.1
MTU = 1320

[Peer]
# through lan-a
PublicKey = BBB=
AllowedIPs = 0.0.0.0/0, ::/0
Endpoint = a.example.net:63449
"""


def test_wg_is_given_what_it_understands() -> None:
    tunnel = parse(CONFIGURATION)

    assert [line for line in tunnel.for_wg.splitlines() if "=" in line] == [
        "PrivateKey = AAA=",
        "PublicKey = BBB=",
        "AllowedIPs = 0.0.0.0/0, ::/0",
        "Endpoint = a.example.net:63449",
    ]
    assert "DNS" not in tunnel.for_wg


def test_addresses_and_mtu_are_for_ip() -> None:
    tunnel = parse(CONFIGURATION)

    assert tunnel.addresses == ("10.254.0.2/32", "fd00::2/128")
    assert tunnel.mtu == 1320


def test_a_tunnel_does_not_print_its_key() -> None:
    assert "AAA" not in repr(parse(CONFIGURATION))


def test_a_package_has_a_tunnel_for_each_cell(tmp_path: Path) -> None:
    package = tmp_path / "uvn__john.zip"
    with zipfile.ZipFile(package, "w") as archive:
        for file, cell in (("lan-a", "lan-a"), ("a-rather-long_2", "a-rather-long-name")):
            entry = zipfile.ZipInfo(f"uvn__john/{file}.conf")
            entry.comment = cell.encode()
            archive.writestr(entry, CONFIGURATION)
        archive.writestr("uvn__john/index.html", "")

    assert list(tunnels(package)) == ["lan-a", "a-rather-long-name"]


def test_a_package_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "john.zip").write_text("no zip")

    with pytest.raises(UnoError, match=r"john\.zip cannot be read"):
        tunnels(tmp_path / "john.zip")
