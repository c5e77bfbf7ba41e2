"""The sections of a spec with their keys. What is not here is an unknown key."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from ipaddress import IPv4Network
from typing import Any, get_args, get_type_hints

from msgspec import Struct

from uno.model.key_ids import Secret
from uno.model.net import Network
from uno.model.syntax import Mailbox
from uno.spec.kinds import (
    anything,
    choice,
    cidr,
    each,
    mailbox,
    password,
    text,
    truth,
    whole_number,
)
from uno.spec.reading import ValueKind
from uno.spec.sections import SpecSection
from uno.spec.written_values import (
    CellSettingsSpec,
    CellSpec,
    DeploymentSpec,
    NotifySpec,
    ParticleSpec,
    SettingsSpec,
    Spec,
    UserSpec,
    VpnSpec,
    WebSpec,
)

_BY_TYPE: dict[Any, ValueKind] = {
    bool: truth(),
    int: whole_number(),
    str: text(),
    Secret: password(),
    Mailbox: mailbox(),
    IPv4Network: cidr(only=IPv4Network),
    tuple[Network, ...]: each(cidr()),
    tuple[str, ...]: each(text()),
    dict[str, Any]: anything(),
}


def kind_of(hint: Any) -> ValueKind | None:
    """Return how a key of `written_values` is read; None for one that holds other sections."""
    for narrower in getattr(hint, "__metadata__", ()):
        if isinstance(narrower, ValueKind):
            return narrower
    written = next(each for each in get_args(hint) if each is not type(None))
    if isinstance(written, type) and issubclass(written, StrEnum):
        return choice(written)
    return _BY_TYPE.get(written)


def kinds_of(spec: type[Struct], *, but: Iterable[str] = ()) -> dict[str, ValueKind]:
    """Return how the keys of `spec` are read, without those that hold other sections."""
    hints = get_type_hints(spec, include_extras=True)
    kinds = {key: kind_of(hints[key]) for key in spec.__struct_fields__ if key not in but}
    return {key: kind for key, kind in kinds.items() if kind is not None}


def _named(spec: type[Struct], *, groups: dict[str, SpecSection]) -> SpecSection:
    """A section with a name, whose `excluded` is under `config`."""
    config = SpecSection(type=spec, keys={"excluded": truth()})
    return SpecSection(
        type=spec,
        keys=kinds_of(spec, but=("excluded",)),
        required=("name",),
        groups={**groups, "config": config},
    )


_USER_CONFIG = SpecSection(type=UserSpec, keys=kinds_of(UserSpec, but=("email", "password")))
USER = SpecSection(
    type=UserSpec,
    keys=kinds_of(UserSpec, but=("excluded",)),
    required=("email",),
    groups={"config": _USER_CONFIG},
)
WEB = SpecSection(type=WebSpec, keys=kinds_of(WebSpec))
CELL_SETTINGS = SpecSection(
    type=CellSettingsSpec, keys=kinds_of(CellSettingsSpec), groups={"web": WEB}
)
CELL = _named(CellSpec, groups={"settings": CELL_SETTINGS})
PARTICLE = _named(ParticleSpec, groups={})
VPN = SpecSection(type=VpnSpec, keys=kinds_of(VpnSpec))
DEPLOYMENT = SpecSection(type=DeploymentSpec, keys=kinds_of(DeploymentSpec))
NOTIFY = SpecSection(type=NotifySpec, keys=kinds_of(NotifySpec))
SETTINGS = SpecSection(
    type=SettingsSpec,
    keys=kinds_of(SettingsSpec),
    groups={
        "deployment": DEPLOYMENT,
        "notify": NOTIFY,
        "root_vpn": VPN,
        "particles_vpn": VPN,
        "backbone_vpn": VPN,
    },
)
_UVN_CONFIG = SpecSection(type=Spec, keys=kinds_of(Spec), groups={"settings": SETTINGS})
SPEC = SpecSection(
    type=Spec,
    keys={
        **kinds_of(Spec),
        "users": each(USER.kind()),
        "cells": each(CELL.kind()),
        "particles": each(PARTICLE.kind()),
    },
    groups={"settings": SETTINGS, "config": _UVN_CONFIG},
)
