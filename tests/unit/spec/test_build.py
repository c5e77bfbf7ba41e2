from __future__ import annotations

import pytest

from uno.model import codec
from uno.model.key_ids import Secret
from uno.model.syntax import Mailbox
from uno.model.uvn import BACKBONE_VPN, ROOT_VPN, Cell, CellSettings, Settings, User, Uvn
from uno.spec.build import order_of_users, uvn_from
from uno.spec.written_values import (
    CellSettingsSpec,
    CellSpec,
    DeploymentSpec,
    ParticleSpec,
    SettingsSpec,
    Spec,
    UserSpec,
    VpnSpec,
)

JOHN = Mailbox("john@example.org", "John Doe")
IDENTITY = "ab" * 16


def build(spec: Spec) -> Uvn:
    return uvn_from(spec, name="net", identity=IDENTITY, hash_password=lambda text: f"#{text}")


@pytest.mark.feature("F023")
def test_ids_follow_the_order_in_which_things_stand() -> None:
    spec = Spec(
        owner=JOHN,
        cells=(CellSpec(name="b"), CellSpec(name="a")),
        particles=(ParticleSpec(name="y"), ParticleSpec(name="x")),
    )

    uvn = build(spec)

    assert [(cell.id, cell.name) for cell in uvn.cells] == [(1, "b"), (2, "a")]
    assert [(each.id, each.name) for each in uvn.particles] == [(1, "y"), (2, "x")]
    assert (uvn.next_cell, uvn.next_particle) == (3, 3)


@pytest.mark.feature("F028")
def test_what_names_no_owner_belongs_to_the_owner_of_all() -> None:
    uvn = build(
        Spec(owner=JOHN, cells=(CellSpec(name="a"), CellSpec(name="b", owner=Mailbox("x@y.z"))))
    )

    assert [cell.owner for cell in uvn.cells] == ["john@example.org", "x@y.z"]


def test_an_owner_is_a_user_where_no_users_are_listed() -> None:
    assert build(Spec(owner=JOHN)).users == (User(email="john@example.org", name="John Doe"),)
    assert build(Spec(owner=JOHN, users=())).users == ()


@pytest.mark.feature("F019")
def test_users_are_sorted_and_keep_their_names_and_passwords() -> None:
    hashed = "$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA"
    spec = Spec(
        owner=JOHN,
        users=(
            UserSpec(email="john@example.org", password=Secret("secret")),
            UserSpec(email="jane@example.org", name="Jane", password=Secret(hashed), excluded=True),
        ),
    )

    assert build(spec).users == (
        User(email="jane@example.org", name="Jane", password=hashed, excluded=True),
        User(email="john@example.org", name="John Doe", password="#secret"),  # noqa: S106
    )
    assert order_of_users(spec) == (1, 0)


def test_the_name_of_a_user_beats_the_name_of_an_owner() -> None:
    spec = Spec(owner=JOHN, users=(UserSpec(email="john@example.org", name="J"),))

    assert build(spec).users[0].name == "J"


def test_defaults_fill_in_missing_keys() -> None:
    spec = Spec(
        owner=JOHN,
        settings=SettingsSpec(
            dds_domain=3,
            root_vpn=VpnSpec(keepalive=0, masquerade=False),
            deployment=DeploymentSpec(private_uplinks=2),
        ),
    )

    settings = build(spec).settings

    assert (settings.dds_domain, settings.deployment.private_uplinks) == (3, 2)
    assert (settings.root_vpn.keepalive, settings.root_vpn.masquerade) == (0, False)
    assert settings.root_vpn.port == ROOT_VPN.port
    assert settings.backbone_vpn == BACKBONE_VPN


def test_defaults_that_are_written_out_change_no_byte() -> None:
    written = Spec(
        owner=JOHN,
        cells=(CellSpec(name="a", settings=CellSettingsSpec(httpd_port=443)),),
        settings=SettingsSpec(
            dds_domain=46,
            deployment=DeploymentSpec(private_uplinks=1),
            root_vpn=VpnSpec(port=63447),
        ),
    )
    unwritten = Spec(owner=JOHN, cells=(CellSpec(name="a"),))

    assert build(written).settings == Settings()
    assert build(written).cells == (
        Cell(id=1, name="a", owner=JOHN.email, settings=CellSettings(httpd_port=443)),
    )
    assert codec.encode(build(written)) == codec.encode(build(unwritten))
