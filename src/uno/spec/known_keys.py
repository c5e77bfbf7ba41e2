"""The keys of a spec, section by section. What is not here is an unknown key."""

from __future__ import annotations

from ipaddress import IPv4Network

from uno.model.checks.single_values import DDS_DOMAINS, IPV6_MTU, KEEPALIVES, MTUS, PORTS
from uno.model.syntax import (
    INTERFACE_PATTERN_LENGTH,
    NAME_LENGTH,
    NAME_PATTERN,
    TEXT_LENGTH,
)
from uno.model.uvn import Middleware, Strategy, TimingProfile
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
    ParticleSpec,
    SettingsSpec,
    Spec,
    UserSpec,
    VpnSpec,
)


def _within(allowed: range) -> ValueKind:
    return whole_number(minimum=allowed[0], maximum=allowed[-1])


_NAME = text(pattern=NAME_PATTERN, maxLength=NAME_LENGTH)
_LINE = text(maxLength=TEXT_LENGTH)
_EXCLUDED = {"excluded": truth()}

USER = SpecSection(
    type=UserSpec,
    keys={"email": text(), "name": _LINE, "password": password()},
    required=("email",),
    groups={"config": SpecSection(type=UserSpec, keys={"name": _LINE, **_EXCLUDED})},
)

CELL_SETTINGS = SpecSection(
    type=CellSettingsSpec,
    keys={
        "enable_particles_vpn": truth(),
        "httpd_port": _within(PORTS),
        "location": _LINE,
        "root_vpn_port": _within(PORTS),
        "particles_vpn_port": _within(PORTS),
        "backbone_vpn_port": _within(PORTS),
    },
)

CELL = SpecSection(
    type=CellSpec,
    keys={"name": _NAME, "owner": mailbox(), "address": text(), "allowed_lans": each(cidr())},
    required=("name",),
    groups={"settings": CELL_SETTINGS, "config": SpecSection(type=CellSpec, keys=_EXCLUDED)},
)

PARTICLE = SpecSection(
    type=ParticleSpec,
    keys={"name": _NAME, "owner": mailbox()},
    required=("name",),
    groups={"config": SpecSection(type=ParticleSpec, keys=_EXCLUDED)},
)

VPN = SpecSection(
    type=VpnSpec,
    keys={
        "port": _within(PORTS),
        "peer_port": _within(PORTS),
        "subnet": cidr(only=IPv4Network),
        "interface": text(maxLength=INTERFACE_PATTERN_LENGTH),
        "allowed_ips": each(cidr()),
        "peer_mtu": _within(range(IPV6_MTU, MTUS.stop)),
        "masquerade": truth(),
        "forward": truth(),
        "tunnel": truth(),
        "keepalive": _within(KEEPALIVES),
    },
)

DEPLOYMENT = SpecSection(
    type=DeploymentSpec,
    keys={
        "strategy": choice(Strategy),
        "strategy_args": anything(),
        "private_uplinks": whole_number(minimum=1),
        "seed": whole_number(),
    },
)

SETTINGS = SpecSection(
    type=SettingsSpec,
    keys={
        "timing_profile": choice(TimingProfile),
        "middleware": choice(Middleware),
        "enable_root_vpn": truth(),
        "enable_particles_vpn": truth(),
        "enable_dds_security": truth(),
        "dds_domain": _within(DDS_DOMAINS),
    },
    groups={
        "deployment": DEPLOYMENT,
        "root_vpn": VPN,
        "particles_vpn": VPN,
        "backbone_vpn": VPN,
    },
)

_OF_THE_UVN = {"name": _NAME, "owner": mailbox(), "address": text()}

SPEC = SpecSection(
    type=Spec,
    keys={
        **_OF_THE_UVN,
        "users": each(USER.kind()),
        "cells": each(CELL.kind()),
        "particles": each(PARTICLE.kind()),
    },
    groups={
        "settings": SETTINGS,
        "config": SpecSection(type=Spec, keys=_OF_THE_UVN, groups={"settings": SETTINGS}),
    },
)
