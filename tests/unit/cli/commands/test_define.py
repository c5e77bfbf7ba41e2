from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from commands import Uno, run
from uno.registry.changes import operations
from uno.registry.publish import package_files
from uno.registry.store import agent_rows
from uno.render import package_file

SPEC = """
owner: john@example.org
address: registry.example.org
users:
  - {email: john@example.org, name: John Doe, password: johns}
  - {email: jane@example.org, name: Jane Doe, password: janes}
cells:
  - name: cell1
    address: cell1.example.com
    allowed_lans: [192.168.1.0/24]
  - name: cell2
    allowed_lans: [192.168.2.0/24]
    owner: jane@example.org
particles:
  - name: john
  - {name: jane, owner: jane@example.org}
settings: {dds_domain: 12}
"""


def config(uno: Uno, query: str) -> object:
    return json.loads(uno("config", "uvn", "-J", "-Q", query).out)


@pytest.mark.feature("F017")
@pytest.mark.feature("F018")
def test_a_uvn_is_defined_with_its_owner_and_a_password(uno: Uno, root: Path) -> None:
    done = uno("define", "uvn", "net", "-o", "John Doe <john@example.org>", "-p", "secret")

    assert (done.status, done.err) == (0, "")
    assert "Defined UVN net." in done.out
    assert "SHA256:" in done.out
    assert config(uno, "owner") == "john@example.org"
    assert config(uno, "users[0].name") == "John Doe"
    assert (root / "registry.db").exists()


@pytest.mark.feature("F019")
def test_everything_is_defined_from_one_file(uno: Uno, root: Path, tmp_path: Path) -> None:
    (tmp_path / "uvn.yml").write_text(SPEC)

    done = uno("define", "uvn", "net", "-s", str(tmp_path / "uvn.yml"))

    assert done.status == 0, done.err
    assert sorted(path.name for path in (root / "cells").iterdir()) == [
        "net__cell1.uvn-agent",
        "net__cell2.uvn-agent",
    ]
    assert len(list((root / "particles").iterdir())) == 2
    assert config(uno, "users[jane@example.org].name") == "Jane Doe"
    assert config(uno, "cells.cell2.owner") == "jane@example.org"


@pytest.mark.feature("F020")
@pytest.mark.parametrize("spec", [SPEC, '{"owner": "a@b.org", "settings": {"dds_domain": 12}}'])
def test_a_specification_can_stand_on_the_command_line(uno: Uno, spec: str) -> None:
    done = uno("define", "uvn", "net", "-s", spec)

    assert done.status == 0, done.err
    assert config(uno, "settings.dds_domain") == 12


def test_a_problem_in_a_specification_names_its_line_and_nothing_is_made(
    uno: Uno, root: Path, tmp_path: Path
) -> None:
    path = tmp_path / "uvn.yml"
    path.write_text("owner: john@example.org\ncolour: red\ncells: [{name: UP, address: x.org}]\n")

    done = uno("define", "uvn", "net", "-s", str(path))

    assert done.status == 2
    assert f"uno: {path}:2:1: unknown key 'colour'" in done.err
    assert f"{path}:3:" in done.err
    assert done.out == ""
    assert not root.exists()


def test_options_win_over_the_specification_and_that_is_reported(uno: Uno) -> None:
    done = uno("define", "uvn", "net", "-s", SPEC, "--dds-domain", "99", "-o", "x@example.org")

    assert done.status == 0, done.err
    assert config(uno, "settings.dds_domain") == 99
    assert config(uno, "owner") == "x@example.org"
    reported = "settings.dds_domain is 99 by option, not 12 as in the specification"
    assert reported in done.err
    assert "owner is x@example.org by option, not john@example.org" in done.err


def test_a_password_beside_a_specification_is_the_owners(uno: Uno, root: Path) -> None:

    uno("define", "uvn", "net", "-s", SPEC, "-p", "mine")

    with operations.opened(root) as registry:
        hashes = {user.email: user.password or "" for user in registry.store.head().uvn.users}
    assert PasswordHasher().verify(hashes["john@example.org"], "mine")
    assert PasswordHasher().verify(hashes["jane@example.org"], "janes")


@pytest.mark.feature("F021")
def test_a_directory_that_is_not_empty_is_refused(uno: Uno, root: Path) -> None:
    root.mkdir()
    (root / "thesis.tex").write_text("x")

    done = uno("define", "uvn", "net", "-o", "a@b.org", "-p", "x", "-y")

    assert done.status == 2
    assert "is not empty: it has thesis.tex" in done.err
    assert [path.name for path in root.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("words", "reported"),
    [
        ("-o john@example.org", "the owner needs a password; use --password-file"),
        ("-p x", "-o: a UVN has an owner; add -o 'NAME <EMAIL>'"),
        ("-o john -p x", "-o: 'john' is not an e-mail address"),
        ("-o a@b.org -p x --password-file y", "there are two passwords"),
        ("-o a@b.org -p x --root-vpn-subnet 10.0.0.1/8", "--root-vpn-subnet: 10.0.0.1/8 has host"),
        ("-o a@b.org -p x -D [1]", "-D: [1] is not a mapping"),
        ("-s nowhere.yml", "cannot read nowhere.yml"),
        ("-o a@b.org -p x --dds-domain 999", "--dds-domain: dds_domain 999 is out of range"),
    ],
)
def test_what_is_wrong_is_reported_by_option_and_nothing_is_made(
    uno: Uno, root: Path, words: str, reported: str
) -> None:
    done = uno("define", "uvn", "net", *words.split())

    assert done.status in {1, 2}
    assert reported in done.err
    assert not root.exists()


def test_a_password_can_come_from_a_file(uno: Uno, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\n")

    done = uno(
        "define", "uvn", "net", "-o", "a@b.org", "--password-file", str(tmp_path / "password")
    )

    assert done.status == 0


@pytest.mark.feature("F022")
@pytest.mark.feature("F025")
@pytest.mark.feature("F044")
@pytest.mark.feature("F045")
def test_a_cell_takes_all_its_options(site: Uno) -> None:
    words = (
        "define cell c -a c.example.org -N 10.1.0.0/16 -N 10.2.0.0/16 --httpd-port 8443"
        " --location Rome --root-vpn-port 1001 --particles-vpn-port 1002 --backbone-vpn-port 1003"
        " --timing-profile metered"
    )

    done = site(*words.split())

    assert done.status == 0, done.err
    assert "generation 4 → 5" in done.out
    assert config(site, "cells.c") == {
        "id": 3,
        "name": "c",
        "owner": "john@example.org",
        "address": "c.example.org",
        "allowed_lans": ["10.1.0.0/16", "10.2.0.0/16"],
        "settings": {
            "enable_particles_vpn": True,
            "httpd_port": 8443,
            "location": "Rome",
            "root_vpn_port": 1001,
            "particles_vpn_port": 1002,
            "backbone_vpn_port": 1003,
            "timing_profile": "metered",
            "web": {"certificate": None, "key": None},
        },
        "excluded": False,
    }


@pytest.mark.feature("F045")
def test_an_address_is_no_location(site: Uno) -> None:
    assert config(site, "cells.a.settings.location") is None


@pytest.mark.feature("F068")
def test_a_new_cell_gets_a_package_of_its_own(site: Uno, root: Path) -> None:
    site("define", "cell", "c", "-a", "c.example.org")

    read = package_file.read((root / "cells" / "net__c.uvn-agent").read_bytes())
    assert (read.manifest.cell_name, read.manifest.generation) == ("c", 5)


@pytest.mark.feature("F024")
@pytest.mark.feature("F026")
def test_a_cell_that_collides_is_refused_by_option(site: Uno) -> None:
    done = site("define", "cell", "a", "-N", "192.168.1.128/25", "-N", "10.254.3.0/24")

    assert done.status == 2
    assert "uno: NAME: there is already a cell called a" in done.err
    assert "uno: -N: LAN 192.168.1.128/25 of a overlaps" in done.err
    assert "10.254.3.0/24" in done.err
    assert site("list", "cells", "--json").out.count('"id"') == 2


@pytest.mark.feature("F027")
def test_a_user_is_added(site: Uno) -> None:
    done = site("define", "user", "jane@example.org", "-n", "Jane Doe", "-p", "pw")

    assert done.status == 0, done.err
    assert "no cell is affected" in done.out
    assert config(site, "users[jane@example.org].name") == "Jane Doe"
    assert "already a user" in site("define", "user", "jane@example.org", "-p", "pw").err


@pytest.mark.feature("F028")
@pytest.mark.feature("F029")
def test_cells_and_particles_belong_to_who_is_named_either_way(site: Uno) -> None:
    site("define", "user", "jane@example.org", "-p", "pw")

    site("define", "particle", "laptop", "-o", "Jane Doe <jane@example.org>")
    site("define", "cell", "c", "-a", "c.example.org", "-o", "jane@example.org")

    assert config(site, "particles.laptop.owner") == "jane@example.org"
    assert config(site, "cells.c.owner") == "jane@example.org"


@pytest.mark.feature("F052")
def test_a_new_owner_is_asked_about_and_no_terminal_is_no_answer(
    site: Uno, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("define", "particle", "laptop", "-o", "Jane Doe <jane@example.org>")

    for refused, status in ((site(*words), 2), (site(*words, "--no"), 2)):
        assert refused.status == status
        assert "Add Jane Doe?" in refused.err
        assert "nothing was changed" in refused.err
    monkeypatch.setenv("CI", "1")
    assert site(*words).status == 2
    assert config(site, "particles[0].name") == "phone"
    assert site(*words, "-y").status == 0
    assert config(site, "users[jane@example.org].name") == "Jane Doe"


@pytest.mark.feature("F030")
def test_the_registry_has_a_public_address(site: Uno) -> None:
    assert config(site, "address") == "registry.example.org"


@pytest.mark.feature("F058")
@pytest.mark.feature("F060")
def test_static_links_come_from_the_command_line_or_a_file(site: Uno, tmp_path: Path) -> None:
    (tmp_path / "links.yml").write_text("a: [b, c]\n")
    site("define", "cell", "c", "-a", "c.example.org")

    inline = site("redeploy", "-S", "static", "-D", "{a: [b], b: [c]}")
    assert inline.status == 0, inline.err
    linked = [(one["a"]["cell"], one["b"]["cell"]) for one in links(site)]
    assert linked == [("a", "b"), ("b", "c")]

    site("redeploy", "-D", str(tmp_path / "links.yml"))
    assert [(one["a"]["cell"], one["b"]["cell"]) for one in links(site)] == [("a", "b"), ("a", "c")]


@pytest.mark.feature("F058")
def test_static_links_with_unknown_cells_are_refused(site: Uno) -> None:
    done = site("redeploy", "-S", "static", "-D", "{a: [b, zebra]}")

    assert done.status == 2
    assert "-D: there is no cell 'zebra' to link" in done.err


@pytest.mark.feature("F062")
def test_redeploy_shows_what_changes_and_that_nothing_does(site: Uno) -> None:
    assert "No change" in site("redeploy").out

    done = site("redeploy", "-S", "full-mesh")

    assert "~ strategy crossed → full-mesh" in done.out


@pytest.mark.feature("F063")
def test_links_take_ports_from_63550_and_addresses_two_by_two(site: Uno) -> None:
    (link,) = links(site)

    assert (link["a"]["port"], link["b"]["port"]) == (63550, 63550)
    assert [link["a"]["address4"], link["b"]["address4"]] == ["10.255.192.2", "10.255.192.3"]


@pytest.mark.feature("F070")
@pytest.mark.feature("F071")
def test_packages_that_were_left_are_made_by_their_command(
    site: Uno, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    monkeypatch.setattr(package_files, "_WORTH_WAITING", 1)
    done = site("define", "particle", "laptop")
    assert "1 particle package postponed; write them with: uno packages" in done.out

    assert "1 particle package written to" in site("packages").out
    assert (root / "particles" / "net__laptop.zip").exists()
    assert "all are up to date" in site("packages").out


def links(uno: Uno) -> list[dict[str, dict[str, object]]]:
    found: list[dict[str, dict[str, object]]] = json.loads(uno("list", "links", "--json").out)
    return found


@pytest.mark.parametrize(
    ("email", "reported"),
    [
        ("", "EMAIL: '' is not an e-mail address; write it as name@example.org"),
        ("\u201cjim@example.org\u201d", "its quotation marks are those of a text processor"),
    ],
)
def test_a_user_without_an_address_is_refused_before_the_password_is_asked_for(
    site: Uno, email: str, reported: str
) -> None:
    done = site("define", "user", email)

    assert done.status == 2
    assert reported in done.err
    assert "password" not in done.err


def test_an_apostrophe_is_part_of_an_address(site: Uno) -> None:
    assert site("define", "user", "o'brien@example.org", "-p", "x").status == 0
    assert "o'brien@example.org" in site("list", "users").out


@pytest.mark.feature("F032")
@pytest.mark.parametrize(
    ("words", "printed"),
    [
        ("cell z -N 10.9.0.0/24 -Q allowed_lans[0]", "10.9.0.0/24\n"),
        ("cell z -N 10.9.0.0/24 -J -Q allowed_lans", '[\n  "10.9.0.0/24"\n]\n'),
        ("particle pad -Q owner", "john@example.org\n"),
        (
            "user eve@example.org -p x -P",
            "email: eve@example.org\nname: null\nexcluded: false\n",
        ),
    ],
)
def test_what_was_defined_is_printed_when_asked_for(site: Uno, words: str, printed: str) -> None:
    done = site("define", *words.split())

    assert (done.status, done.out) == (0, printed)


@pytest.mark.feature("F032")
def test_a_new_uvn_is_printed_when_asked_for(uno: Uno) -> None:
    done = uno("define", "uvn", "net", "-o", "john@example.org", "-p", "x", "-Q", "owner")

    assert (done.status, done.out) == (0, "john@example.org\n")


@pytest.mark.feature("F014")
def test_the_registry_alone_has_what_every_package_is_made_of(
    site: Uno, root: Path, tmp_path: Path
) -> None:
    site("config", "cell", "a", "-U", "--location", "Rome", "--particles-vpn-port", "40001")
    site("define", "user", "jane@example.org", "-p", "x")
    exported = site("export").out
    made = {path.relative_to(root): path.read_bytes() for path in root.rglob("*.uvn-agent")}
    assert made
    copy = tmp_path / "copy"
    copy.mkdir()

    # The database and the secrets beside it, without any package.
    for path in root.iterdir():
        if path.is_file():
            shutil.copy(path, copy)
    shutil.rmtree(root)

    assert run("export", "-r", str(copy)).out == exported
    assert run("packages", "-r", str(copy)).status == 0
    assert {path.relative_to(copy): path.read_bytes() for path in copy.rglob("*.uvn-agent")} == made
    assert [path.name for path in copy.rglob("*.zip")] == ["net__phone.zip"]
    assert json.loads(run("show", "cell", "a", "-J", "-r", str(copy)).out)["ports"]


def test_the_next_step_is_sync_once_something_was_released(site: Uno, root: Path) -> None:
    """Until then no cell can have its package: packages are installed by hand first."""
    by_hand = "next: copy each package to its host and run there: uno install PACKAGE -r DIR"
    first = site("config", "cell", "a", "-U", "--location", "attic").out
    assert f"{by_hand}; once agents run there, here: uno sync" in " ".join(first.split())

    with operations.opened(root, for_change=True) as registry, registry.store.transaction():
        agent_rows.put_release(registry.store.database, "{}")

    changed = site("config", "uvn", "-U", "--timing-profile", "fast").out
    assert "next: uno sync; or for cells without" in changed
    added = site("define", "cell", "z", "-N", "10.77.0.0/24").out
    assert "next: copy the package of z to its host" in added
    assert "and here: uno sync" in " ".join(added.split())
