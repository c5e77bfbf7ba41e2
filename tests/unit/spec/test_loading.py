from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from uno.diagnostics import Problem, Rejected, Severity
from uno.model.checks import check
from uno.model.key_ids import Secret
from uno.model.syntax import Mailbox
from uno.model.uvn import Uvn
from uno.spec import Spec, load
from uno.spec.written_values import SettingsSpec, UserSpec, VpnSpec

EXAMPLES = Path(__file__).parents[3] / "examples"
SOUND = """\
name: net
owner: john@example.org
users:
  - email: john@example.org
    password: secret
  - email: jane@example.org
    password: secret2
cells:
  - name: lan-a
    address: a.example.org
    allowed_lans: [192.168.1.0/24]
"""


def loaded(
    text: str, *, name: str | None = None, options: Spec | None = None
) -> tuple[Uvn, tuple[Problem, ...]]:
    return load(
        text,
        file="uvn.yml",
        identity="0" * 32,
        hash_password=lambda password: f"#{password}",
        name=name,
        options=options,
    )


def refused(text: str, **more: object) -> list[str]:
    with pytest.raises(Rejected) as caught:
        loaded(text, **more)  # type: ignore[arg-type]
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.feature("F019")
@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*/uvn.yml")), ids=lambda p: p.parent.name)
def test_the_examples_load_without_a_warning(example: Path) -> None:
    text = example.read_text()
    uvn, warnings = loaded(text, name=None if "\nname:" in f"\n{text}" else "my-uvn")

    assert warnings == ()
    assert check(uvn) == ()


@pytest.mark.feature("F002")
@pytest.mark.feature("F006")
@pytest.mark.feature("F009")
def test_the_four_sites_are_loaded_as_written() -> None:
    uvn, _ = loaded((EXAMPLES / "four-sites" / "uvn.yml").read_text())

    assert [cell.name for cell in uvn.cells if cell.is_public] == [
        "lan-a",
        "lan-b",
        "lan-c",
        "relay",
    ]
    assert [cell.name for cell in uvn.cells if cell.is_roaming] == ["relay"]
    assert [str(lan) for lan in uvn.cells[2].allowed_lans] == ["192.168.3.0/24", "2001:db8:3::/64"]


@pytest.mark.feature("F017")
def test_the_name_comes_from_the_text_or_from_the_command() -> None:
    assert loaded(SOUND)[0].name == "net"
    assert loaded(SOUND, name="net")[0].name == "net"
    assert loaded(SOUND.replace("name: net\n", ""), name="other")[0].name == "other"


def test_two_names_have_to_agree() -> None:
    (problem,) = refused(SOUND, name="other")

    assert problem == (
        "uvn.yml:1:7: the UVN is called 'net' here and 'other' by the command; "
        "remove the key, or make the two agree"
    )


def test_a_name_from_the_command_has_no_place_in_the_text() -> None:
    (problem,) = refused(SOUND.replace("name: net\n", ""), name="My Net")

    assert problem.startswith("'My Net' is not a name")


@pytest.mark.feature("F018")
@pytest.mark.feature("F030")
def test_options_win_over_the_text() -> None:
    options = Spec(
        owner=Mailbox("jane@example.org"),
        address="registry.example.org",
        settings=SettingsSpec(root_vpn=VpnSpec(port=5000)),
    )

    uvn, _ = loaded(f"{SOUND}settings: {{root_vpn: {{port: 1, keepalive: 7}}}}\n", options=options)

    assert (uvn.owner, uvn.address) == ("jane@example.org", "registry.example.org")
    assert (uvn.settings.root_vpn.port, uvn.settings.root_vpn.keepalive) == (5000, 7)


@pytest.mark.feature("F018")
def test_users_of_options_are_laid_over_those_of_the_text_or_added() -> None:
    options = Spec(
        users=(
            UserSpec(email="john@example.org", name="John"),
            UserSpec(email="ann@example.org", password=Secret("secret3")),
        )
    )

    uvn, _ = loaded(SOUND, options=options)

    assert [(user.email, user.name, user.password) for user in uvn.users] == [
        ("ann@example.org", None, "#secret3"),
        ("jane@example.org", None, "#secret2"),
        ("john@example.org", "John", "#secret"),
    ]


def test_a_value_of_an_option_has_no_position_in_the_text() -> None:
    (problem,) = refused(SOUND, options=Spec(address="x:1"))

    assert problem.startswith("'x:1' is not a host name")


@pytest.mark.feature("G46")
def test_problems_of_text_and_definition_are_reported_together() -> None:
    problems = refused(SOUND.replace("password: secret\n", "pass: x\n").replace("lan-a", "Lan A"))

    assert [problem.split(":")[1] for problem in problems] == ["5", "9"]


@pytest.mark.parametrize(
    ("good", "bad", "line"),
    [
        ("address: a.example.org", "address: [a.example.org]", 10),
        ("address: a.example.org", "adress: a.example.org", 10),
        ("owner: john@example.org", "owner: 7", 2),
        ("owner: john@example.org", "owner:", 1),
        ("  - email: john@example.org", "  - mail: john@example.org", 4),
        ("  - name: lan-a", "  - nam: lan-a", 9),
    ],
)
def test_nothing_is_concluded_from_what_could_not_be_read(good: str, bad: str, line: int) -> None:
    problems = refused(SOUND.replace(good, bad))

    assert {int(problem.split(":")[1]) for problem in problems} == {line}


def test_the_place_of_a_user_survives_the_sorting() -> None:
    problems = refused(SOUND.replace("email: jane@example.org", "email: jane"))

    assert problems == [
        "uvn.yml:6:12: 'jane' is not an e-mail address; write it as name@example.org"
    ]


def test_a_bad_owner_without_users_is_placed_at_the_owner() -> None:
    assert refused("name: net\nowner: john\n")[0].startswith("uvn.yml:2:8:")


def test_no_password_is_hashed_for_nothing(
    hashing: tuple[list[str], Callable[[str], str]],
) -> None:
    hashed, hash_password = hashing

    with pytest.raises(Rejected):
        load(f"{SOUND}x: y", file="f", identity="0" * 32, hash_password=hash_password)
    assert hashed == []

    load(SOUND, file="f", identity="0" * 32, hash_password=hash_password)
    assert hashed == ["secret", "secret2"]


def test_warnings_come_with_the_definition() -> None:
    uvn, (warning,) = loaded(f"{SOUND}settings: {{deployment: {{private_uplinks: 2}}}}")

    assert uvn.settings.deployment.private_uplinks == 2
    assert warning.severity is Severity.WARNING


def test_passwords_are_in_no_message() -> None:
    for password in ("[hunter2]", "{hunter2: x}", "12345678", "$argon2hunter2", "htdigest:hunter2"):
        for problem in refused(SOUND.replace("secret2", password)):
            assert "hunter2" not in problem
            assert "12345678" not in problem


@pytest.fixture
def hashing() -> tuple[list[str], Callable[[str], str]]:
    hashed: list[str] = []

    def hash_password(password: str) -> str:
        hashed.append(password)
        return "#"

    return hashed, hash_password
