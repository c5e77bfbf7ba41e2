"""Every setting that a cell obeys, with a value that works and values that cannot.

`tests/lab/test_settings.py` walks through them; `tests/unit/test_settings_walk.py` demands a row
for every field of the model. Words are those of a command of the registry of `SPEC`; `{a}` and
`{registry}` stand for the public addresses of these nodes, and `{pem}` for a file with a
certificate and its key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import get_args, get_type_hints

from msgspec import Struct
from msgspec.structs import fields

from uno.model.uvn import Uvn

SPEC = """
name: corp
address: registry.example.net
owner: john@example.org
cells:
  - {name: a, address: a.example.net, allowed_lans: [192.168.1.0/24]}
  - name: b
    address: b.example.net
    allowed_lans: [192.168.2.0/24]
    settings: {httpd_port: 9443}
  - {name: c, allowed_lans: [192.168.3.0/24]}
particles:
  - name: phone
"""


class Refuser(Enum):
    """What stops a value that cannot work."""

    OWNER = auto()
    """The command: nothing is defined."""
    REGISTRY = auto()
    """The release: nothing is offered."""
    CELL = auto()
    """A cell, before it changes anything."""
    TRIAL = auto()
    """The trial: cells change, and roll back."""


class Place(Enum):
    """The releases of good values; those of one strategy exclude those of another."""

    PLAIN = auto()
    """What does not carry the registry's messages."""
    CARRIER = auto()
    """What carries them."""
    NEXT = auto()
    """The change after one that was rolled back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """A value that cannot work.

    `port` is one that another program uses on node `at`, and `dropped` is what a firewall there
    drops that is not uno's, as `nft` matches it. `cut_off` is the cell that a trial disconnects
    from the registry.
    """

    words: str
    by: Refuser = Refuser.OWNER
    reason: str = ""
    port: int | None = None
    at: str = ""
    dropped: str = ""
    cut_off: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A setting: a command that gives it a good value, and commands that give it others.

    A switch without `bad` has no value that cannot work. `place` is where the good value is
    released where not each is released alone.
    """

    good: str
    bad: tuple[Bad, ...] = ()
    place: Place = Place.PLAIN


def _uvn(options: str) -> str:
    return f"config uvn -U {options}"


def _cell(options: str) -> str:
    return f"config cell a -U {options}"


def _taken(words: str, port: int, at: str = "a") -> Bad:
    by = Refuser.REGISTRY if at == "registry" else Refuser.CELL
    return Bad(words=words, by=by, reason=str(port), port=port, at=at)


def _nowhere(words: str, cut_off: str) -> Bad:
    """An address where nobody is, so that a cell and the registry do not find each other."""
    return Bad(words=f"{words} {_NOWHERE}", by=Refuser.TRIAL, reason=_LOST, cut_off=cut_off)


def _dropped(words: str, match: str, at: str, *, cut_off: str = "") -> Bad:
    """A value with which packets do not arrive at a node, so that a cell loses the registry."""
    return Bad(
        words=words,
        by=Refuser.TRIAL,
        reason=_LOST,
        dropped=match,
        at=at,
        cut_off=cut_off or at,
    )


_LOST = "it lost the registry"
_NOWHERE = "203.0.113.250"
_DISCOVERY = 7400 + 10
_PORTS_OF_50 = 7400 + 250 * 50
_OWN_CERTIFICATE = _cell("--web-certificate {pem} --web-key {pem}")
_STATIC = '-S static -D {"a":["b","c"],"b":["c"]}'

WALK: dict[str, Row] = {
    "address": Row(
        good=_uvn("-a {registry}"),
        bad=(
            Bad(words=_uvn("-a not/an/address")),
            _nowhere(_uvn("-a"), cut_off="c"),
        ),
        place=Place.CARRIER,
    ),
    "cells.address": Row(
        good=_cell("-a {a}"),
        bad=(
            Bad(words=_cell("-a not/an/address")),
            _nowhere(_cell("-a"), cut_off="a"),
        ),
        place=Place.CARRIER,
    ),
    "cells.allowed_lans": Row(
        good=_cell("--add-network 192.168.101.0/24"),
        bad=(
            Bad(words=_cell("--add-network 192.168.2.0/24")),
            Bad(
                words=_cell("--add-network 192.168.77.0/24"),
                by=Refuser.CELL,
                reason="no interface in",
            ),
        ),
    ),
    "cells.settings.enable_particles_vpn": Row(good="config cell b -U --disable-particles-vpn"),
    "cells.settings.httpd_port": Row(
        good=_cell("--httpd-port 8443"), bad=(Bad(words=_cell("--httpd-port 0")),)
    ),
    "cells.settings.location": Row(
        good=_cell("--location here"), bad=(Bad(words=_cell(f"--location {'x' * 1000}")),)
    ),
    "cells.settings.web.certificate": Row(
        good=_OWN_CERTIFICATE,
        bad=(
            Bad(words=_cell("--web-certificate here.pem --web-key /etc/page.key")),
            Bad(
                words=_cell("--web-certificate /nowhere/page.pem --web-key /nowhere/page.key"),
                by=Refuser.CELL,
                reason="cannot be read",
            ),
        ),
    ),
    "cells.settings.web.key": Row(
        good=_OWN_CERTIFICATE,
        bad=(Bad(words=_cell("--web-key /etc/page.key")),),
    ),
    "cells.settings.root_vpn_port": Row(
        good=_cell("--root-vpn-port 50011"),
        bad=(
            Bad(words=_cell("--root-vpn-port 70000")),
            _taken(_cell("--root-vpn-port 51011"), 51011),
            _dropped(_cell("--root-vpn-port 52011"), "udp dport 52011", "a"),
        ),
        place=Place.CARRIER,
    ),
    "cells.settings.particles_vpn_port": Row(
        good=_cell("--particles-vpn-port 50012"),
        bad=(
            Bad(words=_cell("--particles-vpn-port 0")),
            _taken(_cell("--particles-vpn-port 51012"), 51012),
        ),
    ),
    "cells.settings.backbone_vpn_port": Row(
        good=_cell("--backbone-vpn-port 50200"),
        bad=(
            Bad(words=_cell("--backbone-vpn-port 65536")),
            _taken(_cell("--backbone-vpn-port 51200"), 51200),
        ),
    ),
    "cells.settings.timing_profile": Row(
        good=_cell("--timing-profile fast"), bad=(Bad(words=_cell("--timing-profile slow")),)
    ),
    "settings.timing_profile": Row(
        good=_uvn("--timing-profile fast"), bad=(Bad(words=_uvn("--timing-profile slow")),)
    ),
    # Connext needs a licence, which no test has: that it is refused is all there is.
    "settings.middleware": Row(
        good=_uvn("--middleware cyclone"),
        bad=(
            Bad(words=_uvn("--middleware other")),
            Bad(words=_uvn("--middleware connext"), by=Refuser.REGISTRY, reason="has no licence"),
            Bad(words=_uvn("--middleware connext"), by=Refuser.CELL, reason="has no licence"),
        ),
    ),
    "settings.enable_root_vpn": Row(
        good=_uvn("--enable-root-vpn"),
        bad=(Bad(words=_uvn("--disable-root-vpn"), by=Refuser.REGISTRY, reason="has no root VPN"),),
    ),
    "settings.enable_particles_vpn": Row(good=_uvn("--enable-particles-vpn")),
    "settings.dds_domain": Row(
        good=_uvn("--dds-domain 47"),
        bad=(
            Bad(words=_uvn("--dds-domain 233")),
            _taken(_uvn("--dds-domain 48"), _DISCOVERY + 250 * 48),
            _taken(_uvn("--dds-domain 49"), _DISCOVERY + 250 * 49 + 3, "registry"),
            # A bus of another middleware and domain, by which no message arrives at one cell.
            _dropped(
                _uvn("--middleware cyclone --dds-domain 50"),
                f"udp dport {_PORTS_OF_50}-{_PORTS_OF_50 + 249}",
                "b",
            ),
        ),
        place=Place.CARRIER,
    ),
    "settings.deployment.strategy": Row(
        good=_uvn(_STATIC), bad=(Bad(words=_uvn("-S star")),), place=Place.CARRIER
    ),
    "settings.deployment.strategy_args": Row(
        good=_uvn(_STATIC),
        bad=(Bad(words=_uvn('-S static -D {"a":["nobody"]}')),),
        place=Place.CARRIER,
    ),
    "settings.deployment.private_uplinks": Row(
        good=_uvn("-S crossed --private-uplinks 2"), bad=(Bad(words=_uvn("--private-uplinks 0")),)
    ),
    "settings.deployment.seed": Row(
        good="apply {settings:{deployment:{strategy:random,seed:7}}}",
        bad=(Bad(words="apply {settings:{deployment:{seed:x}}}"),),
        place=Place.NEXT,
    ),
    "settings.notify.to": Row(
        good=_uvn("--notify ntfy+http://192.168.1.9/alerts"),
        bad=(Bad(words=_uvn("--notify ftp://a.example.org/")),),
    ),
    "settings.notify.via": Row(
        good=_uvn("--notify-via b"), bad=(Bad(words=_uvn("--notify-via nobody")),)
    ),
    "settings.notify.hold": Row(
        good=_uvn("--notify-hold 30"), bad=(Bad(words=_uvn("--notify-hold 3601")),)
    ),
    "settings.notify.heartbeat": Row(
        good=_uvn("--notify-heartbeat http://192.168.1.9/ping"),
        bad=(Bad(words=_uvn("--notify-heartbeat ping")),),
    ),
    "settings.root_vpn.port": Row(
        good=_uvn("--root-vpn-pull-port 50002"),
        bad=(
            Bad(words=_uvn("--root-vpn-pull-port 70000")),
            _taken(_uvn("--root-vpn-pull-port 51002"), 51002, "registry"),
            _dropped(
                _uvn("--root-vpn-pull-port 52002"), "udp dport 52002", "registry", cut_off="c"
            ),
        ),
        place=Place.CARRIER,
    ),
    "settings.root_vpn.peer_port": Row(
        good=_uvn("--root-vpn-push-port 50001"),
        bad=(
            Bad(words=_uvn("--root-vpn-push-port 0")),
            _taken(_uvn("--root-vpn-push-port 51001"), 51001, "b"),
            _dropped(_uvn("--root-vpn-push-port 52001"), "udp dport 52001", "b"),
        ),
        place=Place.CARRIER,
    ),
    "settings.root_vpn.subnet": Row(
        good=_uvn("--root-vpn-subnet 10.98.0.0/22"),
        bad=(
            Bad(words=_uvn("--root-vpn-subnet 192.168.0.0/22")),
            _dropped(_uvn("--root-vpn-subnet 10.94.0.0/22"), "ip saddr 10.94.0.0/22", "b"),
        ),
        place=Place.CARRIER,
    ),
    "settings.root_vpn.interface": Row(
        good=_uvn("--root-vpn-interface rv{}"),
        bad=(Bad(words=_uvn("--root-vpn-interface much-too-long-a-name{}")),),
        place=Place.CARRIER,
    ),
    "settings.root_vpn.peer_mtu": Row(
        good=_uvn("--root-vpn-mtu 1400"),
        bad=(Bad(words=_uvn("--root-vpn-mtu 100")),),
        place=Place.CARRIER,
    ),
    "settings.root_vpn.keepalive": Row(
        good=_uvn("--root-vpn-keepalive 9"), bad=(Bad(words=_uvn("--root-vpn-keepalive -1")),)
    ),
    "settings.particles_vpn.port": Row(
        good=_uvn("--particles-vpn-port 50003"),
        bad=(Bad(words=_uvn("--particles-vpn-port x")),),
    ),
    "settings.particles_vpn.subnet": Row(
        good=_uvn("--particles-vpn-subnet 10.96.0.0/16"),
        bad=(Bad(words=_uvn("--particles-vpn-subnet 192.168.0.0/16")),),
    ),
    "settings.particles_vpn.interface": Row(
        good=_uvn("--particles-vpn-interface pv{}"),
        bad=(Bad(words=_uvn("--particles-vpn-interface p/{}")),),
    ),
    "settings.particles_vpn.peer_mtu": Row(
        good=_uvn("--particles-vpn-mtu 1400"), bad=(Bad(words=_uvn("--particles-vpn-mtu 9")),)
    ),
    "settings.particles_vpn.masquerade": Row(good=_uvn("--no-particles-vpn-masquerade")),
    "settings.backbone_vpn.port": Row(
        good=_uvn("--backbone-vpn-port 50100"),
        bad=(
            Bad(words=_uvn("--backbone-vpn-port 0")),
            _taken(_uvn("--backbone-vpn-port 51100"), 51100, "b"),
        ),
    ),
    "settings.backbone_vpn.subnet": Row(
        good=_uvn("--backbone-vpn-subnet 10.97.0.0/20"),
        bad=(Bad(words=_uvn("--backbone-vpn-subnet 10.255.128.0/20")),),
    ),
    "settings.backbone_vpn.interface": Row(
        good=_uvn("--backbone-vpn-interface bb{}"),
        bad=(Bad(words=_uvn("--backbone-vpn-interface bb")),),
    ),
    "settings.backbone_vpn.peer_mtu": Row(
        good=_uvn("--backbone-vpn-mtu 1400"), bad=(Bad(words=_uvn("--backbone-vpn-mtu 70000")),)
    ),
    "settings.backbone_vpn.keepalive": Row(
        good=_uvn("--backbone-vpn-keepalive 9"),
        bad=(Bad(words=_uvn("--backbone-vpn-keepalive x")),),
    ),
}

CASES: dict[str, tuple[str, ...]] = {
    "middleware": ("settings.middleware",),
    "DDS domain": ("settings.dds_domain",),
    "ports": (
        "cells.settings.root_vpn_port",
        "cells.settings.particles_vpn_port",
        "cells.settings.backbone_vpn_port",
        "settings.backbone_vpn.port",
    ),
    "root VPN subnet and port": (
        "settings.root_vpn.subnet",
        "settings.root_vpn.port",
        "settings.root_vpn.peer_port",
    ),
    "registry address": ("address",),
}
"""What once took effect after it was confirmed, so that no cell could be managed any more.

The sixth case, the port of BGP, is no setting: `tests/lab/obstacles.py` has it in use.
"""

NOT_OBEYED = {
    "name": "a name, which no cell acts on",
    "identity": "drawn once",
    "owner": "people",
    "next_cell": "a counter",
    "next_particle": "a counter",
    "users": "people",
    "particles": "peers of the particle VPN: tests/lab/test_particles.py",
    "cells.id": "given once",
    "cells.name": "a name, which no cell acts on",
    "cells.owner": "people",
    "cells.excluded": "a ban, which disconnects the cell: tests/lab/test_sync.py",
}
"""Fields of the definition that are no settings of a cell, with the reason."""


def together(commands: Iterable[str]) -> tuple[str, ...]:
    """Return commands that do the same at once: options for the same object in one command."""
    found: dict[str, dict[str, None]] = {}
    for words in commands:
        command, update, options = words.partition(" -U ")
        found.setdefault(command + update, {})[options] = None
    return tuple("".join((command, " ".join(options))) for command, options in found.items())


def settings_of_model(kind: type[Struct] = Uvn, prefix: str = "") -> Iterator[str]:
    """Yield the paths of all fields of the definition, without those in `NOT_OBEYED`."""
    hints = get_type_hints(kind)
    for field in fields(kind):
        path = f"{prefix}{field.name}"
        if path in NOT_OBEYED:
            continue
        inner = _struct_in(hints[field.name])
        if inner is None:
            yield path
        else:
            yield from settings_of_model(inner, f"{path}.")


def _struct_in(hint: object) -> type[Struct] | None:
    for each in (hint, *get_args(hint)):
        if isinstance(each, type) and issubclass(each, Struct):
            return each
    return None
