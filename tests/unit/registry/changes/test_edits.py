from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network

import pytest

from uno.model.syntax import Mailbox, mailbox
from uno.model.uvn import Strategy, Uvn
from uno.registry.changes import edits
from uno.registry.changes.edits import NewCell, Setting

HASH = "$argon2id$…"


@pytest.mark.feature("F018")
@pytest.mark.parametrize(
    ("text", "email", "name"),
    [
        ("John Doe <john@example.org>", "john@example.org", "John Doe"),
        (" John Doe  < john@example.org > ", "john@example.org", "John Doe"),
        ("<john@example.org>", "john@example.org", None),
        ("john@example.org", "john@example.org", None),
        ("John <john@example.org> Doe", "John <john@example.org> Doe", None),
    ],
)
def test_owners_are_named_with_or_without_a_name(text: str, email: str, name: str | None) -> None:
    assert mailbox(text) == Mailbox(email=email, name=name)


@pytest.mark.feature("F022")
@pytest.mark.feature("F023")
@pytest.mark.feature("F025")
def test_a_cell_has_all_that_was_defined(definition: Callable[..., Uvn]) -> None:
    wanted = NewCell(
        name="new",
        address="new.example.org",
        networks=("192.168.20.0/24", "fd00:1::/64", "192.168.10.0/24"),
        settings=(
            Setting(option="--httpd-port", path=("settings", "httpd_port"), value=8443),
            Setting(option="--location", path=("settings", "location"), value="Rome"),
        ),
    )

    edited = edits.add_cell(definition(), wanted)

    cell = edited.uvn.cells[-1]
    assert (cell.id, cell.name, cell.owner) == (4, "new", "john@example.org")
    assert cell.allowed_lans == (
        IPv4Network("192.168.10.0/24"),
        IPv4Network("192.168.20.0/24"),
        IPv6Network("fd00:1::/64"),
    )
    assert (cell.settings.httpd_port, cell.settings.location) == (8443, "Rome")
    assert edited.options["cells", 3, "settings", "httpd_port"] == "--httpd-port"
    assert edited.problems == ()


@pytest.mark.feature("F024")
def test_a_name_that_is_taken_is_reported_with_how_to_show_it(
    definition: Callable[..., Uvn],
) -> None:
    edited = edits.add_cell(definition(), NewCell(name="c1"))

    (problem,) = edited.problems
    assert str(problem) == (
        "NAME: there is already a cell called c1; "
        "choose another name; show it with: uno show cell c1"
    )


@pytest.mark.feature("F028")
def test_an_unknown_owner_is_reported_with_a_similar_one(definition: Callable[..., Uvn]) -> None:
    similar = edits.add_particle(definition(), "p9", "jon@example.org").problems
    other = edits.add_particle(definition(), "p9", "somebody.else@example.com").problems

    assert "did you mean john@example.org?" in str(similar[0])
    assert "uno define user somebody.else@example.com" in str(other[0])


@pytest.mark.feature("F028")
def test_an_unknown_owner_becomes_a_user_where_that_is_wanted(
    definition: Callable[..., Uvn],
) -> None:
    edited = edits.add_particle(definition(), "p9", "Jane Doe <jane@example.org>", new_owners=True)

    assert edited.uvn.particles[-1].owner == "jane@example.org"
    assert [(user.email, user.name) for user in edited.uvn.users] == [
        ("jane@example.org", "Jane Doe"),
        ("john@example.org", None),
    ]


@pytest.mark.feature("F028")
def test_the_owner_of_the_uvn_can_change_hands(definition: Callable[..., Uvn]) -> None:
    edited = edits.set_owner(definition(), "Jane <jane@example.org>", password=HASH)

    assert edited.uvn.owner == "jane@example.org"
    assert [user.password for user in edited.uvn.users] == [HASH, None]


def test_a_user_who_is_known_is_not_added_again(definition: Callable[..., Uvn]) -> None:
    edited = edits.add_user(definition(), Mailbox(email="john@example.org"), password=None)

    assert "john@example.org is already a user" in str(edited.problems[0])


@pytest.mark.feature("F058")
def test_under_static_a_new_cell_names_its_peers(definition: Callable[..., Uvn]) -> None:
    uvn = edits.set_strategy(definition(), Strategy.STATIC, {"c1": ["c2", "c3"]}, seed=0).uvn

    edited = edits.add_cell(uvn, NewCell(name="new", links=("c1",)))

    args = edited.uvn.settings.deployment.strategy_args
    assert args == {"c1": ["c2", "c3"], "new": ["c1"]}


def test_links_are_refused_where_the_strategy_chooses_them(definition: Callable[..., Uvn]) -> None:
    edited = edits.add_cell(definition(), NewCell(name="new", links=("c1",)))

    assert str(edited.problems[0]).startswith("-L: the crossed strategy chooses the links")


def test_another_strategy_does_not_inherit_arguments(definition: Callable[..., Uvn]) -> None:
    static = edits.set_strategy(definition(), Strategy.STATIC, {"c1": ["c2"]}, seed=0).uvn

    again = edits.set_strategy(static, None, None, seed=0).uvn
    crossed = edits.set_strategy(static, Strategy.CROSSED, None, seed=0).uvn

    assert again.settings.deployment.strategy_args == {"c1": ["c2"]}
    assert crossed.settings.deployment.strategy_args == {}


def test_settings_land_in_their_places(definition: Callable[..., Uvn]) -> None:
    path = ("settings", "root_vpn", "subnet")

    edited = edits.apply(
        definition(), [Setting(option="--root-vpn-subnet", path=path, value="10.9.0.0/16")]
    )

    assert edited.uvn.settings.root_vpn.subnet == IPv4Network("10.9.0.0/16")
    assert edited.options == {path: "--root-vpn-subnet"}


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("10.9.0.1/16", "has host bits set"),
        ("10.9", "'10.9' is not a network"),
        ("fd00::/48", "fd00::/48 is not an IPv4 network"),
    ],
)
def test_an_invalid_subnet_is_reported_with_its_option(
    definition: Callable[..., Uvn], text: str, reported: str
) -> None:
    setting = Setting(
        option="--root-vpn-subnet", path=("settings", "root_vpn", "subnet"), value=text
    )

    edited = edits.apply(definition(), [setting])

    assert edited.uvn == definition()
    assert edited.problems[0].option == "--root-vpn-subnet"
    assert reported in edited.problems[0].what


def test_a_setting_of_a_new_particle_is_relative_to_it(definition: Callable[..., Uvn]) -> None:
    excluded = Setting(option="--excluded", path=("excluded",), value=True)

    edited = edits.add_particle(definition(), "p9", None, settings=(excluded,))

    assert edited.uvn.particles[-1].excluded
    at = len(edited.uvn.particles) - 1
    assert edited.options["particles", at, "excluded"] == "--excluded"
