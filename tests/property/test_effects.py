"""Whatever a specification may say has an effect: on hosts, phones or what people are shown.

The keys are taken from the specification itself, so that a new key is covered, or fails here.
Effects are looked for where they end: in what a host is given and a phone's file has, not in plans.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from hashlib import sha256
from typing import Any, TypeAlias

import pytest

from documented import counts
from packages import key, package_of
from uno import spec
from uno.controller import root_vpn
from uno.diagnostics import Rejected
from uno.model import key_ids
from uno.model.attached_lan import AttachedLan
from uno.model.plan import Plan
from uno.model.uvn import Uvn
from uno.planning.planner import plan, required_keys, with_keys
from uno.ports.host import Facts
from uno.reconcile.desired import desired
from uno.registry.publish import cell_packages, keygen, particle_packages
from uno.registry.publish.declared_secrets import declared_secrets
from uno.registry.store.generation_store import StoredSecret
from uno.spec.known_keys import SPEC
from uno.spec.sections import SpecSection

Key: TypeAlias = tuple[str, ...]

LISTS = ("users", "cells", "particles")
BASE: dict[str, Any] = {
    "owner": "john@example.org",
    "address": "registry.example.org",
    "users": [
        {"email": "jane@example.org", "password": "janes"},
        {"email": "john@example.org", "name": "John", "password": "johns"},
    ],
    "cells": [
        {"name": "a", "address": "a.example.org", "allowed_lans": ["192.168.1.0/24"]},
        {"name": "b", "address": "b.example.org", "allowed_lans": ["192.168.2.0/24"]},
        {"name": "c", "address": "c.example.org"},
        {"name": "d", "allowed_lans": ["192.168.4.0/24"]},
    ],
    "particles": [{"name": "phone"}, {"name": "tablet", "owner": "jane@example.org"}],
    "settings": {"particles_vpn": {"tunnel": False}},
}
# A value for each key that is not the one in BASE, or what it is by default.
NEW: dict[str, Any] = {
    "owner": "jane@example.org",
    "address": "new.example.org",
    "users.email": "new@example.org",
    "users.name": "Johnny",
    "users.password": "another",
    "users.config.excluded": True,
    "cells.name": "z",
    "cells.owner": "jane@example.org",
    "cells.address": "new.example.org",
    "cells.allowed_lans": ["192.168.9.0/24"],
    "cells.config.excluded": True,
    "cells.settings.enable_particles_vpn": False,
    "cells.settings.httpd_port": 8443,
    "cells.settings.location": "attic",
    "cells.settings.web.certificate": "/etc/page.pem",
    "cells.settings.web.key": "/etc/page.key",
    "cells.settings.root_vpn_port": 50001,
    "cells.settings.particles_vpn_port": 50002,
    "cells.settings.backbone_vpn_port": 50003,
    "cells.settings.timing_profile": "metered",
    "particles.name": "pad",
    "particles.owner": "jane@example.org",
    "particles.config.excluded": True,
    "settings.timing_profile": "fast",
    "settings.middleware": "connext",
    "settings.enable_root_vpn": False,
    "settings.enable_particles_vpn": False,
    "settings.dds_domain": 7,
    "settings.deployment.strategy": "full-mesh",
    "settings.deployment.strategy_args": {"a": ["b", "c"], "b": ["d"]},
    "settings.deployment.private_uplinks": 2,
    "settings.deployment.seed": 5,
    "settings.notify.to": ["ntfy+https://ntfy.example.org/alerts"],
    "settings.notify.via": ["b"],
    "settings.notify.hold": 5,
    "settings.notify.heartbeat": "https://hc.example.org/ping/1",
    **{
        f"settings.{vpn}.{name}": value
        for vpn, subnet in (
            ("root_vpn", "10.1.0.0/22"),
            ("particles_vpn", "10.2.0.0/16"),
            ("backbone_vpn", "10.3.0.0/20"),
        )
        for name, value in {
            "port": 40001,
            "peer_port": 40002,
            "subnet": subnet,
            "interface": "vpn{}",
            "allowed_ips": ["172.30.0.0/24"],
            "peer_mtu": 1400,
            "masquerade": vpn == "backbone_vpn",
            "forward": vpn == "root_vpn",
            "tunnel": True,
            "keepalive": 10,
        }.items()
    },
}
# Where a key has an effect only beside another.
BESIDE: dict[str, dict[str, Any]] = {
    "settings.deployment.strategy_args": {
        "settings.deployment.strategy": "static",
        "settings.deployment.strategy_args": {"a": ["b", "c", "d"]},
    },
    "settings.deployment.seed": {"settings.deployment.strategy": "random"},
    **{
        f"cells.settings.web.{key}": {
            "cells.settings.web.certificate": "/etc/other.pem",
            "cells.settings.web.key": "/etc/other.key",
        }
        for key in ("certificate", "key")
    },
    "settings.notify.via": {"settings.notify.to": ["https://hooks.example.org/uno"]},
    "settings.notify.hold": {"settings.notify.to": ["https://hooks.example.org/uno"]},
}
# The other values of these are refused, since they would have no effect.
REFUSED = {
    "settings.root_vpn.allowed_ips",
    "settings.root_vpn.forward",
    "settings.root_vpn.tunnel",
    "settings.particles_vpn.peer_port",
    "settings.particles_vpn.forward",
    "settings.backbone_vpn.peer_port",
    "settings.backbone_vpn.masquerade",
    "settings.backbone_vpn.forward",
    "settings.backbone_vpn.tunnel",
}
# No host and no phone has these, for a reason.
ELSEWHERE = {
    "users.email": "who it is; what they own names them",
    "users.name": "for people: lists and tables",
    "users.password": "checked where a user logs in, which no host needs to know",
    "particles.owner": "lists name the owner, and a ban of the owner is one of the particle",
    "cells.settings.location": "for people: the guide and `show cell`",
}


def keys_of(section: SpecSection, above: Key = ()) -> Iterator[Key]:
    """Yield the place of every key that holds no others."""
    for name in section.keys:
        if name not in LISTS:
            yield (*above, name)
    for name, group in section.groups.items():
        if name != "config":
            yield from keys_of(group, (*above, name))
        elif "excluded" in group.keys:
            # What else is under config is read as the key of that name beside it.
            yield (*above, name, "excluded")


# Apart from the name of the UVN, which must be the one that the command has.
KEYS = sorted(
    ".".join(each)
    for each in (
        *keys_of(SPEC),
        *keys_of(spec.known_keys.USER, ("users",)),
        *keys_of(spec.known_keys.CELL, ("cells",)),
        *keys_of(spec.known_keys.PARTICLE, ("particles",)),
    )
    if each != ("name",)
)


def written(changes: Mapping[str, Any]) -> str:
    """Return BASE with some values replaced; of lists, those of the first item."""
    text = deepcopy(BASE)
    for place, value in changes.items():
        *above, last = place.split(".")
        section = text
        for name in above:
            below = section.setdefault(name, {})
            section = below[0] if isinstance(below, list) else below
        before, section[last] = section.get(last), value
        if place == "users.email":
            return json.dumps(text).replace(before, value)
    return json.dumps(text)


def definition(changes: Mapping[str, Any]) -> Uvn:
    uvn, _ = spec.load(
        written(changes),
        file="uvn.yml",
        name="net",
        identity="0123456789abcdef" * 2,
        hash_password=lambda plain: plain,
    )
    return uvn


def keyed(uvn: Uvn) -> Plan:
    draft = plan(uvn, None)
    return with_keys(draft, {name: key(f"public {name}") for name in required_keys(draft).pairs})


def secret(name: str) -> StoredSecret:
    made = sha256(name.encode()).digest()
    return StoredSecret(id=name, kind="pair", private=made, public=made)


def phones(uvn: Uvn) -> list[str]:
    """Return the files of all phones."""
    decided = keyed(uvn)
    needed = required_keys(decided)
    names = {
        keygen.SIGNING,
        *needed.pairs,
        *needed.psks,
        *(key_ids.particle_seed(each.id) for each in decided.particles),
        *(key_ids.hub_seed(cell.member.id) for cell in decided.cells),
    }
    sources = cell_packages.sources(decided, {name: secret(name) for name in names})
    return [
        f"{each.id} at {found.cell} of {found.owner}: {found.conf}"
        for each in decided.particles
        for found in particle_packages.configurations(decided, sources, each.id)
    ]


def effects(uvn: Uvn) -> dict[str, Any]:
    """Return what hosts, phones and agents are given."""
    decided = keyed(uvn)
    hosts = {}
    for cell in decided.cells:
        package = package_of(cell.member.id, uvn)
        lans = tuple(AttachedLan(network=lan, nic="eth1") for lan in cell.member.lans)
        hosts[cell.member.id] = desired(package, lans=lans, facts=Facts())
    root_keys = {name: key(name) for name in required_keys(decided).psks}
    root_keys[key_ids.ROOT_REGISTRY] = key("registry")
    return {
        "cells": {cell.member.id: cell.member.name for cell in decided.cells},
        "hosts": hosts,
        "registry": root_vpn.desired(decided, root_keys),
        "phones": phones(uvn),
        "bus": decided.bus,
        "pages": [package_of(cell.member.id, uvn).plan.web_files for cell in decided.cells],
        "notifications": declared_secrets(uvn),
    }


def test_every_key_has_another_value_here() -> None:
    assert set(KEYS) <= NEW.keys()
    assert len(KEYS) > 50


@pytest.mark.feature("F019")
@pytest.mark.feature("F037")
@pytest.mark.feature("F038")
@pytest.mark.parametrize("place", KEYS)
def test_a_key_has_an_effect_or_another_value_is_refused(place: str) -> None:
    beside = BESIDE.get(place, {})
    before = effects(definition(beside))

    try:
        after = effects(definition({**beside, place: NEW[place]}))
    except Rejected as refused:
        (problem,) = refused.problems
        told = "since" in problem.what and place in REFUSED and problem.hint
        assert told, problem
        return

    assert place not in REFUSED
    changed = {name for name in before if before[name] != after[name]}
    assert (changed == set()) == (place in ELSEWHERE)


def test_the_documentation_has_the_number_of_keys() -> None:
    assert set(KEYS) > REFUSED | ELSEWHERE.keys()
    assert [*counts("tests/property/test_effects.py").values()] == [
        len(KEYS) - len(REFUSED) - len(ELSEWHERE),
        len(REFUSED),
        len(ELSEWHERE),
    ]
