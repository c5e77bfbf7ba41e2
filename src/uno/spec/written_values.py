"""What was written in a spec: every field optional, None where nothing was said.

Field names are the keys of the spec and the fields of `model.uvn`; `build` adds the defaults.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import fields, replace

from uno.model.key_ids import Secret
from uno.model.net import Network
from uno.model.uvn import Middleware, Strategy, TimingProfile


class Mailbox(Struct, frozen=True):
    """An owner as a spec names it: `EMAIL`, or `NAME <EMAIL>` (mailbox, RFC 5322 section 3.4)."""

    email: str
    name: str | None = None


class UserSpec(Struct, frozen=True, kw_only=True):
    """A user. `password` is plain text, or an argon2id hash (it begins with `$argon2`)."""

    email: str | None = None
    name: str | None = None
    password: Secret | None = None
    excluded: bool | None = None


class CellSettingsSpec(Struct, frozen=True, kw_only=True):
    """What a cell does differently."""

    enable_particles_vpn: bool | None = None
    httpd_port: int | None = None
    location: str | None = None
    root_vpn_port: int | None = None
    particles_vpn_port: int | None = None
    backbone_vpn_port: int | None = None


class CellSpec(Struct, frozen=True, kw_only=True):
    """A cell."""

    name: str | None = None
    owner: Mailbox | None = None
    address: str | None = None
    allowed_lans: tuple[Network, ...] | None = None
    settings: CellSettingsSpec | None = None
    excluded: bool | None = None


class ParticleSpec(Struct, frozen=True, kw_only=True):
    """A particle."""

    name: str | None = None
    owner: Mailbox | None = None
    excluded: bool | None = None


class VpnSpec(Struct, frozen=True, kw_only=True):
    """One of the three kinds of WireGuard network."""

    port: int | None = None
    peer_port: int | None = None
    subnet: IPv4Network | None = None
    interface: str | None = None
    allowed_ips: tuple[Network, ...] | None = None
    peer_mtu: int | None = None
    masquerade: bool | None = None
    forward: bool | None = None
    tunnel: bool | None = None
    keepalive: int | None = None


class DeploymentSpec(Struct, frozen=True, kw_only=True):
    """How the backbone is laid out."""

    strategy: Strategy | None = None
    strategy_args: dict[str, Any] | None = None
    private_uplinks: int | None = None
    seed: int | None = None


class SettingsSpec(Struct, frozen=True, kw_only=True):
    """Settings of the whole UVN."""

    timing_profile: TimingProfile | None = None
    middleware: Middleware | None = None
    enable_root_vpn: bool | None = None
    enable_particles_vpn: bool | None = None
    enable_dds_security: bool | None = None
    dds_domain: int | None = None
    deployment: DeploymentSpec | None = None
    root_vpn: VpnSpec | None = None
    particles_vpn: VpnSpec | None = None
    backbone_vpn: VpnSpec | None = None


class Spec(Struct, frozen=True, kw_only=True):
    """A whole spec. `users` that is None and `users` that is empty are not the same."""

    name: str | None = None
    owner: Mailbox | None = None
    address: str | None = None
    users: tuple[UserSpec, ...] | None = None
    cells: tuple[CellSpec, ...] | None = None
    particles: tuple[ParticleSpec, ...] | None = None
    settings: SettingsSpec | None = None


S = TypeVar("S", bound=Struct)
_GROUPS = (SettingsSpec, CellSettingsSpec, VpnSpec, DeploymentSpec)


def overlaid(below: S, above: S) -> S:
    """Return `below` with everything that `above` says; settings are merged key by key."""
    said = written(above)
    for key, value in said.items():
        under = getattr(below, key)
        if under is not None and isinstance(value, _GROUPS):
            said[key] = overlaid(under, value)
    return replace(below, **said)


def written(spec: Struct) -> dict[str, Any]:
    """Return what `spec` says: its fields that are not None."""
    values = {each.name: getattr(spec, each.name) for each in fields(spec)}
    return {key: value for key, value in values.items() if value is not None}
