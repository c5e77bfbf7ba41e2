"""What the first implementation got wrong in its registry, each shown not to be so here."""

from __future__ import annotations

import json
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from commands import Uno
from uno.diagnostics import UnoError
from uno.model.package import Package
from uno.planning.survivability import failures
from uno.registry.changes import operations
from uno.registry.store.generation_store import Generation
from uno.render import package_file


def head(root: Path) -> Generation:
    with operations.opened(root) as registry:
        return registry.store.head()


def packages_in(root: Path) -> dict[int, Package]:
    made = (package_file.read(path.read_bytes()) for path in (root / "cells").iterdir())
    return {each.manifest.cell: each for each in made}


@pytest.mark.feature("F058")
@pytest.mark.feature("F060")
def test_w02_the_static_strategy_makes_the_links_of_its_arguments(site: Uno, root: Path) -> None:
    done = site("config", "uvn", "-U", "-S", "static", "-D", "{a: [b]}")

    assert done.status == 0, done.err
    assert [link.cells for link in head(root).plan.links] == [(1, 2)]


@pytest.mark.feature("F043")
def test_w03_a_uvn_without_root_vpn_has_cells(uno: Uno, root: Path) -> None:
    assert uno("define", "uvn", "net", "-o", "a@b.org", "-p", "x", "--disable-root-vpn").status == 0

    done = uno("define", "cell", "a", "-a", "a.example.org")

    assert done.status == 0, done.err
    assert packages_in(root)[1].plan.root is None


@pytest.mark.feature("F028")
def test_w06_ownership_changes(site: Uno, root: Path) -> None:
    site("define", "user", "jane@example.org", "-p", "x")

    for thing in ("uvn", "cell a", "particle phone"):
        done = site("config", *thing.split(), "-U", "-o", "jane@example.org")
        assert done.status == 0, done.err

    uvn = head(root).uvn
    assert {uvn.owner, uvn.cells[0].owner, uvn.particles[0].owner} == {"jane@example.org"}
    assert site("delete", "user", "john@example.org", "-y").status == 0


@pytest.mark.feature("F050")
@pytest.mark.parametrize("words", ["particle phone -c a", "uvn -R"])
def test_w07_new_keys_for_one_cell_and_twice_before_anybody_has_them(site: Uno, words: str) -> None:
    assert [site("rekey", *words.split()).status for _ in range(2)] == [0, 0]


@pytest.mark.parametrize("words", ["define particle x -J", "config uvn -J"])
def test_w08_no_option_is_taken_and_ignored(site: Uno, words: str) -> None:
    done = site(*words.split())

    assert done.status == 2 or json.loads(done.out)


@pytest.mark.feature("F037")
def test_w09_another_backbone_subnet_moves_the_links_that_there_are(site: Uno, root: Path) -> None:
    site("config", "uvn", "-U", "--backbone-vpn-subnet", "10.99.0.0/20")

    (link,) = head(root).plan.links
    assert {link.a.address4, link.b.address4} <= set(IPv4Network("10.99.0.0/20"))
    assert packages_in(root)[1].plan.links[0].local4 == link.a.address4


@pytest.mark.feature("F028")
@pytest.mark.parametrize(
    "words",
    ["define cell c -a c.example.org", "define particle x", "config cell a -U", "config uvn -U"],
)
def test_w10_an_owner_is_given_with_a_name(site: Uno, root: Path, words: str) -> None:
    done = site(*words.split(), "-o", "Jane Doe <jane@example.org>", "-y")

    assert done.status == 0, done.err
    assert {user.email: user.name for user in head(root).uvn.users}["jane@example.org"] == (
        "Jane Doe"
    )


@pytest.mark.feature("F036")
def test_w11_a_particle_is_changed(site: Uno, root: Path) -> None:
    assert site("config", "particle", "phone", "-U", "-n", "mobile").status == 0

    assert head(root).uvn.particles[0].name == "mobile"


@pytest.mark.feature("F045")
def test_w13_an_address_is_no_location(site: Uno, root: Path) -> None:
    site("config", "cell", "a", "-U", "-a", "other.example.org")

    assert head(root).uvn.cells[0].settings.location is None


@pytest.mark.feature("F019")
def test_w14_every_user_of_a_specification_keeps_their_name(uno: Uno, root: Path) -> None:
    people = "users: [{email: a@b.org, name: A, password: x}, {email: c@d.org, name: C}]"

    assert uno("define", "uvn", "net", "-s", f"{{owner: a@b.org, {people}}}").status == 0

    assert [user.name for user in head(root).uvn.users] == ["A", "C"]


@pytest.mark.feature("F059")
def test_w15_a_random_backbone_is_connected(site: Uno, root: Path) -> None:
    for name in "cdef":
        site("define", "cell", name, "-a", f"{name}.example.org", "-q")

    for _ in range(5):
        assert site("redeploy", "-S", "random").status == 0
        assert all(loss.failed for loss in failures.failure_impacts(head(root).plan))


@pytest.mark.feature("F052")
def test_w18_no_question_is_answered_yes_in_ci(
    site: Uno, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")

    refused = site("delete", "cell", "b")

    assert refused.status == 2
    assert len(head(root).uvn.cells) == 2


@pytest.mark.feature("F046")
def test_s01_who_is_banned_is_no_peer_in_any_network(site: Uno, root: Path) -> None:
    with operations.opened(root) as registry:
        before = registry.store.secrets()

    site("ban", "cell", "b")

    with operations.opened(root) as registry:
        left = registry.store.secrets()
        plan = registry.store.head().plan
    assert "root/2" in before
    assert not {"root/2", "root/2/psk", "link/1-2/psk", "hub/2"} & left.keys()
    assert "root/2" not in plan.public_keys
    assert packages_in(root).keys() == {1}
    assert [member.id for member in packages_in(root)[1].roster.members] == [1]


@pytest.mark.usefixtures("site")
def test_s03_a_package_that_was_changed_is_refused(root: Path) -> None:
    content = bytearray((root / "cells" / "net__a.uvn-agent").read_bytes())
    content[-40] ^= 1  # some bits between the parts mean nothing

    with pytest.raises(UnoError):
        package_file.read(bytes(content))


@pytest.mark.parametrize("name", ["x;touch y", "$(touch y)", "`y`", "../y", "a__b", "a'b", "a\nb"])
@pytest.mark.parametrize("words", ["define cell", "define particle", "config cell a -U -n"])
def test_s04_names_are_nothing_to_a_shell_or_path(site: Uno, words: str, name: str) -> None:
    refused = site(*words.split(), name)

    assert refused.status == 2
    assert "is not a name" in refused.err


@pytest.mark.usefixtures("site")
def test_s05_no_package_has_a_password(root: Path) -> None:
    (user,) = head(root).uvn.users
    assert user.password

    for path in (root / "cells").iterdir():
        assert (user.password or "").encode() not in path.read_bytes()


def test_s10_a_lan_that_is_removed_is_accepted_nowhere(site: Uno, root: Path) -> None:
    site("config", "cell", "b", "-U", "--remove-network", "192.168.2.0/24")

    for made in packages_in(root).values():
        assert {str(lan) for each in made.roster.members for lan in each.lans} == {"192.168.1.0/24"}


@pytest.mark.parametrize("email", ["../x@y.org", "a*b@y.org", "a:b@y.org", "a\nb@y.org", "a@b@c.d"])
def test_s12_no_email_address_is_a_path_or_a_pattern(site: Uno, email: str) -> None:
    refused = site("define", "user", email, "-p", "x")

    assert refused.status == 2
    assert "e-mail" in refused.err
