"""Parts of a plan, and changes to them, as text for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from uno.model.plan import Link, LinkEnd, Plan, PlannedCell, PlannedParticle

_SETTINGS = ("uvn", "owner", "strategy")
_LABELS = {"root": "root VPN", "particles_vpn": "particle VPN", "endpoint": "address"}
_GROUPS = ("pools", "timing", "backbone", "root", "particles_vpn")


def settings(old: Plan, new: Plan) -> tuple[str, ...]:
    """Return what changes for the UVN as a whole."""
    return (
        *_changes(old, new, _SETTINGS),
        *(each for group in _GROUPS for each in _group(old, new, group)),
    )


def cell(item: PlannedCell) -> tuple[str, ...]:
    """Return the address, node address and LANs of a cell."""
    return (
        item.member.endpoint or "private",
        str(item.member.node4),
        ", ".join(map(str, item.member.lans)) or "roaming",
    )


def cell_changes(old: PlannedCell, new: PlannedCell) -> tuple[str, ...]:
    """Return what changes about a cell itself, apart from its links."""
    announced, before = set(new.member.lans), set(old.member.lans)
    return (
        *_changes(old.member, new.member, ("name", "endpoint", "node4", "node6")),
        *(f"announces {lan}" for lan in new.member.lans if lan not in before),
        *(f"no longer announces {lan}" for lan in old.member.lans if lan not in announced),
        *_changes(old, new, _fields(new, but="member")),
    )


def particle(item: PlannedParticle) -> tuple[str, ...]:
    """Return the address of a particle."""
    return (str(item.address4),)


def particle_changes(old: PlannedParticle, new: PlannedParticle) -> tuple[str, ...]:
    """Return what changes about a particle."""
    return _changes(old, new, _fields(new, but="id"))


def link(item: Link) -> tuple[str, ...]:
    """Return a link's network, and the UDP ports of its cells; `-` is one that dials."""
    return _network(item), f"ports {_port(item.a)}, {_port(item.b)}"


def link_changes(old: Link, new: Link, names: Mapping[int, str]) -> tuple[str, ...]:
    """Return what changes about a link, without its import policy."""
    before, after = _network(old), _network(new)
    found = [f"{before} → {after}"] if before != after else []
    if before == after and old.a.address6 != new.a.address6:
        found.append(f"{old.a.address6} → {new.a.address6}")
    for was, end in ((old.a, new.a), (old.b, new.b)):
        if was.port != end.port:
            found.append(f"port of {names[end.cell]} {_port(was)} → {_port(end)}")
        if was.slot != end.slot:
            found.append(f"slot of {names[end.cell]} {was.slot} → {end.slot}")
    return tuple(found)


def import_origins(name: str, more: Iterable[str], less: Iterable[str]) -> tuple[str, ...]:
    """Return how the origins change that a cell imports through a link."""
    gained, lost = ", ".join(more), ", ".join(less)
    return (
        *((f"{name} accepts {gained}",) if gained else ()),
        *((f"{name} no longer accepts {lost}",) if lost else ()),
    )


def _network(item: Link) -> str:
    return f"{item.a.address4}/31"


def _port(end: LinkEnd) -> str:
    return "-" if end.port is None else str(end.port)


def _group(old: Plan, new: Plan, name: str) -> tuple[str, ...]:
    before, after = getattr(old, name), getattr(new, name)
    label = _label(name)
    if before is None and after is None:
        return ()
    if before is None or after is None:
        return (f"{label} switched {'on' if before is None else 'off'}",)
    changed = _changes(before, after, before.__struct_fields__)
    return tuple(f"{label}: {each}" for each in changed)


def _changes(old: Struct, new: Struct, fields: Iterable[str]) -> tuple[str, ...]:
    pairs = ((name, getattr(old, name), getattr(new, name)) for name in fields)
    return tuple(
        f"{_label(name)} {_shown(before)} → {_shown(after)}"
        for name, before, after in pairs
        if before != after
    )


def _fields(value: Struct, *, but: str) -> tuple[str, ...]:
    return tuple(name for name in value.__struct_fields__ if name != but)


def _label(field: str) -> str:
    return _LABELS.get(field, field.replace("_", " "))


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
