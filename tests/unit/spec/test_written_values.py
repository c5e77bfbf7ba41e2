from __future__ import annotations

from uno.model.key_ids import Secret
from uno.model.syntax import Mailbox
from uno.spec.written_values import (
    DeploymentSpec,
    SettingsSpec,
    Spec,
    UserSpec,
    VpnSpec,
    overlaid,
    written,
)


def test_what_is_above_wins_and_the_rest_stays() -> None:
    below = Spec(name="net", owner=Mailbox("a@b.c", "A"), address="x")
    above = Spec(owner=Mailbox("d@e.f"))

    assert overlaid(below, above) == Spec(name="net", owner=Mailbox("d@e.f"), address="x")


def test_settings_are_merged_key_by_key() -> None:
    below = SettingsSpec(
        dds_domain=1,
        root_vpn=VpnSpec(port=1, keepalive=5),
        deployment=DeploymentSpec(strategy_args={"a": 1}),
    )
    above = SettingsSpec(
        root_vpn=VpnSpec(port=2),
        backbone_vpn=VpnSpec(port=3),
        deployment=DeploymentSpec(strategy_args={"b": 2}),
    )

    assert overlaid(below, above) == SettingsSpec(
        dds_domain=1,
        root_vpn=VpnSpec(port=2, keepalive=5),
        backbone_vpn=VpnSpec(port=3),
        deployment=DeploymentSpec(strategy_args={"b": 2}),
    )


def test_false_and_nothing_are_different() -> None:
    assert written(SettingsSpec(enable_root_vpn=False)) == {"enable_root_vpn": False}


def test_a_password_is_not_printed() -> None:
    assert "hunter2" not in repr(Spec(users=(UserSpec(email="a@b.c", password=Secret("hunter2")),)))
