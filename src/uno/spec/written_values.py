"""The keys of a spec as values: every field is optional, and None where the key is not written.

Field names are the keys of the spec and the fields of `model.uvn`; `build` adds the defaults. How a
key is read follows from its type (`known_keys.kind_of`), or is given beside it where its values are
narrower than its type.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Annotated, Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from uno.model.checks.notify_settings import HOLDS
from uno.model.checks.single_values import DDS_DOMAINS, IPV6_MTU, KEEPALIVES, MTUS, PORTS
from uno.model.key_ids import Secret
from uno.model.net import Network
from uno.model.syntax import (
    INTERFACE_PATTERN_LENGTH,
    NAME_LENGTH,
    NAME_PATTERN,
    TEXT_LENGTH,
    Mailbox,
)
from uno.model.uvn import Middleware, Strategy, TimingProfile
from uno.spec.kinds import text, whole_number, within

_NAME = text(pattern=NAME_PATTERN, maxLength=NAME_LENGTH)
_LINE = text(maxLength=TEXT_LENGTH)
_PORT = within(PORTS)


class UserSpec(Struct, frozen=True, kw_only=True):
    """A user. `password` is plain text, or an argon2id hash (it begins with `$argon2`)."""

    email: str | None = None
    name: Annotated[str | None, _LINE] = None
    password: Secret | None = None
    excluded: bool | None = None


class WebSpec(Struct, frozen=True, kw_only=True):
    """The web page of one cell."""

    certificate: Annotated[str | None, _LINE] = None
    key: Annotated[str | None, _LINE] = None


class CellSettingsSpec(Struct, frozen=True, kw_only=True):
    """The settings of one cell."""

    enable_particles_vpn: bool | None = None
    httpd_port: Annotated[int | None, _PORT] = None
    location: Annotated[str | None, _LINE] = None
    web: WebSpec | None = None
    root_vpn_port: Annotated[int | None, _PORT] = None
    particles_vpn_port: Annotated[int | None, _PORT] = None
    backbone_vpn_port: Annotated[int | None, _PORT] = None
    timing_profile: TimingProfile | None = None


class CellSpec(Struct, frozen=True, kw_only=True):
    """A cell."""

    name: Annotated[str | None, _NAME] = None
    owner: Mailbox | None = None
    address: str | None = None
    allowed_lans: tuple[Network, ...] | None = None
    settings: CellSettingsSpec | None = None
    excluded: bool | None = None


class ParticleSpec(Struct, frozen=True, kw_only=True):
    """A particle."""

    name: Annotated[str | None, _NAME] = None
    owner: Mailbox | None = None
    excluded: bool | None = None


class VpnSpec(Struct, frozen=True, kw_only=True):
    """One of the three kinds of WireGuard network."""

    port: Annotated[int | None, _PORT] = None
    peer_port: Annotated[int | None, _PORT] = None
    subnet: IPv4Network | None = None
    interface: Annotated[str | None, text(maxLength=INTERFACE_PATTERN_LENGTH)] = None
    allowed_ips: tuple[Network, ...] | None = None
    peer_mtu: Annotated[int | None, within(range(IPV6_MTU, MTUS.stop))] = None
    masquerade: bool | None = None
    forward: bool | None = None
    tunnel: bool | None = None
    keepalive: Annotated[int | None, within(KEEPALIVES)] = None


class DeploymentSpec(Struct, frozen=True, kw_only=True):
    """How the backbone is laid out."""

    strategy: Strategy | None = None
    strategy_args: dict[str, Any] | None = None
    private_uplinks: Annotated[int | None, whole_number(minimum=1)] = None
    seed: int | None = None


class NotifySpec(Struct, frozen=True, kw_only=True):
    """Who is notified, by which cells."""

    to: tuple[str, ...] | None = None
    via: tuple[str, ...] | None = None
    heartbeat: str | None = None
    hold: Annotated[int | None, within(HOLDS)] = None


class SettingsSpec(Struct, frozen=True, kw_only=True):
    """Settings of the whole UVN."""

    timing_profile: TimingProfile | None = None
    middleware: Middleware | None = None
    enable_root_vpn: bool | None = None
    enable_particles_vpn: bool | None = None
    dds_domain: Annotated[int | None, within(DDS_DOMAINS)] = None
    deployment: DeploymentSpec | None = None
    notify: NotifySpec | None = None
    root_vpn: VpnSpec | None = None
    particles_vpn: VpnSpec | None = None
    backbone_vpn: VpnSpec | None = None


class Spec(Struct, frozen=True, kw_only=True):
    """A whole spec. `users` that is None and `users` that is empty are not the same."""

    name: Annotated[str | None, _NAME] = None
    owner: Mailbox | None = None
    address: str | None = None
    users: tuple[UserSpec, ...] | None = None
    cells: tuple[CellSpec, ...] | None = None
    particles: tuple[ParticleSpec, ...] | None = None
    settings: SettingsSpec | None = None


S = TypeVar("S", bound=Struct)
GROUPS = (SettingsSpec, CellSettingsSpec, WebSpec, VpnSpec, DeploymentSpec, NotifySpec)


def overlaid(below: S, above: S) -> S:
    """Return `below` with every value of `above` in its place; settings are merged key by key."""
    values = written(above)
    for key, value in values.items():
        under = getattr(below, key)
        if under is not None and isinstance(value, GROUPS):
            values[key] = overlaid(under, value)
    return replace(below, **values)


def filled(spec: Struct | None, base: S, **given: object) -> S:
    """Return the model value `base` with the values of `spec`, key by key, and those of `given`."""
    values = written(spec) if spec else {}
    for key, value in values.items():
        if isinstance(value, GROUPS):
            values[key] = filled(value, getattr(base, key))
    return replace(base, **{**values, **given})


def written(spec: Struct) -> dict[str, Any]:
    """Return the keys that `spec` writes: its fields that are not None."""
    values = {name: getattr(spec, name) for name in spec.__struct_fields__}
    return {key: value for key, value in values.items() if value is not None}
