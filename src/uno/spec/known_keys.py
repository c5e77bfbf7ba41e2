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
from uno.spec.kinds import anything, choice, cidr, each, password, person, text, truth, whole_number
from uno.spec.reading import Kind
from uno.spec.sections import Section
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


def _within(allowed: range) -> Kind:
    return whole_number(minimum=allowed[0], maximum=allowed[-1])


_NAME = text(pattern=NAME_PATTERN, maxLength=NAME_LENGTH)
_LINE = text(maxLength=TEXT_LENGTH)
_EXCLUDED = {"excluded": truth()}

USER = Section(
    type=UserSpec,
    keys={"email": text(), "name": _LINE, "password": password()},
    required=("email",),
    groups={"config": Section(type=UserSpec, keys={"name": _LINE, **_EXCLUDED})},
)

CELL_SETTINGS = Section(
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

CELL = Section(
    type=CellSpec,
    keys={"name": _NAME, "owner": person(), "address": text(), "allowed_lans": each(cidr())},
    required=("name",),
    groups={"settings": CELL_SETTINGS, "config": Section(type=CellSpec, keys=_EXCLUDED)},
)

PARTICLE = Section(
    type=ParticleSpec,
    keys={"name": _NAME, "owner": person()},
    required=("name",),
    groups={"config": Section(type=ParticleSpec, keys=_EXCLUDED)},
)

VPN = Section(
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

DEPLOYMENT = Section(
    type=DeploymentSpec,
    keys={
        "strategy": choice(Strategy),
        "strategy_args": anything(),
        "private_uplinks": whole_number(minimum=1),
        "seed": whole_number(),
    },
)

SETTINGS = Section(
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

_OF_THE_UVN = {"name": _NAME, "owner": person(), "address": text()}

SPEC = Section(
    type=Spec,
    keys={
        **_OF_THE_UVN,
        "users": each(USER.kind()),
        "cells": each(CELL.kind()),
        "particles": each(PARTICLE.kind()),
    },
    groups={
        "settings": SETTINGS,
        "config": Section(type=Spec, keys=_OF_THE_UVN, groups={"settings": SETTINGS}),
    },
)
