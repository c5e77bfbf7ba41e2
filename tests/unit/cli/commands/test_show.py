from __future__ import annotations

import json
import time
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from ruamel.yaml import YAML

from commands import Uno
from uno.model import web_access
from uno.registry.changes import operations
from uno.registry.publish import keygen
from uno.render import package_file
from uno.web import login_ticket


@pytest.mark.feature("F031")
def test_the_definition_is_shown_as_a_specification(site: Uno, root: Path, tmp_path: Path) -> None:
    shown = site("config", "uvn").out

    found = YAML(typ="safe", pure=True).load(shown)
    assert found["cells"][1] == {
        "name": "b",
        "address": "b.example.org",
        "allowed_lans": ["192.168.2.0/24"],
    }
    root.rename(tmp_path / "other")
    assert site("define", "uvn", "net", "-s", shown).status == 0
    assert site("config", "uvn").out == shown


@pytest.mark.feature("F031")
@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        ("cell a", "address", "a.example.org"),
        ("particle phone", "owner", "john@example.org"),
        ("user john@example.org", "excluded", False),
    ],
)
def test_one_thing_is_shown_as_yaml(site: Uno, words: str, key: str, value: object) -> None:
    found = YAML(typ="safe", pure=True).load(site("config", *words.split()).out)

    assert found[key] == value


@pytest.mark.feature("F032")
@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("name", "net"),
        ("uvn.cells[0].name", "a"),
        ("cells.b.address", "b.example.org"),
        ("cells[b].allowed_lans[0]", "192.168.2.0/24"),
        ("users[john@example.org].email", "john@example.org"),
        ("settings.dds_domain", "46"),
        ("settings.enable_root_vpn", "true"),
        ("cells[0].settings.location", "null"),
    ],
)
def test_a_query_finds_one_value(site: Uno, query: str, shown: str) -> None:
    assert site("config", "uvn", "-Q", query).out == f"{shown}\n"


@pytest.mark.feature("F032")
def test_a_query_gives_json_for_programs(site: Uno) -> None:
    assert json.loads(site("config", "uvn", "-Q", "cells[0].allowed_lans", "-J").out) == [
        "192.168.1.0/24"
    ]
    assert json.loads(site("config", "cell", "a", "-J").out)["name"] == "a"


@pytest.mark.parametrize(
    ("query", "reported"),
    [
        ("colour", "instead of 'colour' there is name, identity"),
        ("cells[7]", "there are 2 items"),
        ("cells.x", "no item is called 'x'"),
        ("name.first", "there is nothing below it"),
        ("", "write it as cells[0].name"),
        ("cells[", "write it as cells[0].name"),
    ],
)
def test_a_query_that_finds_nothing_shows_what_there_is(
    site: Uno, query: str, reported: str
) -> None:
    done = site("config", "uvn", "-Q", query)

    assert done.status == 2
    assert reported in done.err


def test_no_hash_of_a_password_is_shown(site: Uno) -> None:
    commands = (
        "config uvn",
        "config uvn -J",
        "config user john@example.org",
        "list users -J",
        "show uvn -J",
    )
    for words in commands:
        assert "argon2" not in site(*words.split()).out


@pytest.mark.parametrize("kind", ["users", "cells", "particles", "links"])
def test_lists_are_tables_for_people_and_json_for_programs(site: Uno, kind: str) -> None:
    table, values = site("list", kind), json.loads(site("list", kind, "--json").out)

    assert len(table.out.splitlines()) == len(values) + 1
    assert max(map(len, table.out.splitlines())) <= 80


def test_an_empty_list_shows_what_to_do(uno: Uno) -> None:
    uno("define", "uvn", "net", "-o", "a@b.org", "-p", "x")

    assert "Define one with: uno define cell NAME" in uno("list", "cells").out
    assert uno("list", "cells", "-J").out == "[]\n"


def test_long_names_fit_in_80_columns(site: Uno) -> None:
    name = "a-name-that-is-as-long-as-names-can-be-" + "x" * 24
    site("define", "cell", name, "-a", f"{name}.example.org", "-N", "fd00:1234:5678::/64")

    for words in ("list cells", "list links", "show plan", "show backbone", f"show cell {name}"):
        lines = site(*words.split()).out.splitlines()
        assert max(map(len, lines)) <= 80, words


def test_show_uvn_has_the_fingerprint_that_cells_are_given(site: Uno, root: Path) -> None:

    made = package_file.read((root / "cells" / "net__a.uvn-agent").read_bytes())

    text, found = site("show", "uvn").out, json.loads(site("show", "uvn", "-J").out)

    assert found["fingerprint"] == package_file.fingerprint(made.manifest.registry_key)
    assert found["fingerprint"] in text
    assert (found["generation"], found["cells"], found["links"]) == (4, 2, 1)


def test_show_cell_lists_the_ports_to_forward(site: Uno) -> None:
    text, found = site("show", "cell", "a").out, json.loads(site("show", "cell", "a", "-J").out)

    assert [port["port"] for port in found["ports"]] == [63448, 63449, 63550]
    assert "UDP 63550  b" in text


@pytest.mark.feature("F064")
def test_the_backbone_is_shown_as_a_map(site: Uno) -> None:
    shown = site("show", "backbone").out

    assert "net: 2 cells, 1 link, crossed" in shown
    assert "10.255.192.2    63550 ↔ 63550 10.255.192.3    b" in shown
    assert shown in site("show", "plan").out


def test_the_plan_for_programs_has_no_private_key(site: Uno, root: Path) -> None:

    shown = site("show", "plan", "-J").out

    with operations.opened(root) as registry:
        secrets = registry.store.secrets().values()
    assert not any(keygen.text(secret.private) in shown for secret in secrets)


@pytest.mark.feature("F072")
def test_codes_are_shown_in_the_terminal(site: Uno) -> None:
    both = site("show", "particle", "phone", "--qr").out
    one = site("show", "particle", "phone", "--qr", "-c", "b").out

    assert "phone at a, a.example.org:63449" in both
    assert "phone at b, b.example.org:63449" in both
    assert "phone at a" not in one
    assert one.count("▄") > 100


def test_show_particle_lists_its_cells(site: Uno) -> None:
    found = json.loads(site("show", "particle", "phone", "-J").out)

    assert [cell["name"] for cell in found["cells"]] == ["a", "b"]
    assert found["package"].endswith("net__phone.zip")
    assert "63449" in site("show", "particle", "phone").out


@pytest.mark.parametrize("words", ["show cell bb", "config cell bb", "show particle phne"])
def test_what_is_not_there_is_reported_with_a_similar_name(site: Uno, words: str) -> None:
    done = site(*words.split())

    assert done.status == 2
    assert "did you mean" in done.err


def test_looking_heals_what_an_interrupted_command_left(site: Uno, root: Path) -> None:
    (root / "cells" / "net__a.uvn-agent").unlink()

    site("list", "cells")

    assert (root / "cells" / "net__a.uvn-agent").exists()


@pytest.mark.feature("F106")
def test_the_certificate_for_browsers_is_shown_with_its_fingerprint(site: Uno, root: Path) -> None:
    shown = site("show", "ca")
    found = json.loads(site("show", "ca", "-J").out)

    assert shown.out == found["certificate"]
    assert f"SHA-256 {found['sha256']}" in shown.err
    read = x509.load_pem_x509_certificate(shown.out.encode())
    assert read.fingerprint(hashes.SHA256()).hex(":").upper() == found["sha256"]
    package = package_file.read((root / "cells" / "net__a.uvn-agent").read_bytes())
    access = web_access.of_package(package)
    assert access is not None
    assert read.public_bytes(Encoding.DER) == access.root


def test_the_token_of_a_cells_metrics_is_that_of_its_package(site: Uno, root: Path) -> None:
    found = site("show", "cell", "a", "--metrics-token")

    package = package_file.read((root / "cells" / "net__a.uvn-agent").read_bytes())
    access = web_access.of_package(package)
    assert access is not None
    assert found.out == f"{access.metrics_token}\n"
    assert site("show", "cell", "nowhere", "--metrics-token").status == 2
    site("ban", "cell", "b")
    refused = site("show", "cell", "b", "--metrics-token")
    assert (refused.status, refused.out) == (2, "")
    assert "cell b has no page" in refused.err


@pytest.mark.feature("F116")
def test_a_ticket_of_the_registry_opens_the_page_of_one_cell(site: Uno, root: Path) -> None:
    found = site("web", "login", "a")

    package = package_file.read((root / "cells" / "net__a.uvn-agent").read_bytes())
    address = urlsplit(found.out.strip())
    assert (address.scheme, address.hostname) == ("https", str(package.own.node4))
    assert address.path == "/login"
    ((name, ticket),) = parse_qsl(address.query)
    assert name == "ticket"
    key, now = package.manifest.registry_key, time.time()  # noqa: TID251 - tickets end
    opened = login_ticket.verified(ticket, registry_key=key, cell=package.plan.cell, now=now)
    assert opened.email == json.loads(site("config", "uvn", "-J").out)["owner"]
    with pytest.raises(login_ticket.TicketError, match="another cell"):
        login_ticket.verified(ticket, registry_key=key, cell=99, now=now)
    assert site("web", "login", "nowhere").status == 2
    site("ban", "cell", "b")
    assert "no page" in site("web", "login", "b").err
