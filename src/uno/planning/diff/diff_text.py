"""Parts of a plan, and changes to them, as text for people.

Changes are derived from the fields of the plan, so that each has a line. Those that need words of
their own are named here; a test changes every field.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

from msgspec import Struct

from uno.model.plan import Link, LinkEnd, Plan, PlannedCell, PlannedParticle, Timing

_LABELS = {
    "root": "root VPN",
    "particles_vpn": "particle VPN",
    "endpoint": "address",
    "masquerades_nodes": "masquerade of cells and particles in LANs",
}
# `plan_diff` compares these item by item.
_ITEMS = {"cells", "particles", "links", "public_keys"}
# The order of the ring only matters for the links that are chosen by it, which are compared.
_INTERNAL = {"ring"}


def settings(old: Plan, new: Plan) -> tuple[str, ...]:
    """Return what changes for the UVN as a whole."""
    names = [name for name in new.__struct_fields__ if name not in _ITEMS | _INTERNAL]
    groups = [name for name in names if _is_group(old, new, name)]
    return (
        *_changes(old, new, (name for name in names if name not in groups)),
        *(each for group in groups for each in _group(old, new, group)),
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
        *_changes(old.member, new.member, _fields(new.member, but={"id", "lans"})),
        *(f"announces {lan}" for lan in new.member.lans if lan not in before),
        *(f"no longer announces {lan}" for lan in old.member.lans if lan not in announced),
        *_changes(old, new, _fields(new, but={"member"})),
    )


def particle(item: PlannedParticle) -> tuple[str, ...]:
    """Return the address of a particle."""
    return (str(item.address4),)


def particle_changes(old: PlannedParticle, new: PlannedParticle) -> tuple[str, ...]:
    """Return what changes about a particle."""
    return _changes(old, new, _fields(new, but={"id"}))


def link(item: Link) -> tuple[str, ...]:
    """Return a link's network, and the UDP ports of its cells; `-` is one that dials."""
    return _network(item), f"ports {_port(item.a)}, {_port(item.b)}"


def link_changes(old: Link, new: Link, names: Mapping[int, str]) -> tuple[str, ...]:
    """Return what changes about a link, without its import policy."""
    before, after = _network(old), _network(new)
    moved = before != after
    found = [f"{before} → {after}"] if moved else list(_changes(old, new, ("number",)))
    # The IPv6 addresses of a link have the number of its IPv4 network.
    told = {"cell", "import_origins", *(("address4", "address6") if moved else ())}
    for was, end in ((old.a, new.a), (old.b, new.b)):
        for name in _fields(end, but=told):
            one, other = getattr(was, name), getattr(end, name)
            if one != other:
                found.append(
                    f"{_label(name)} of {names[end.cell]} {_of_link(one)} → {_of_link(other)}"
                )
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
    return _of_link(end.port)


def _of_link(value: object) -> str:
    return "-" if value is None else str(value)


def _is_group(old: Plan, new: Plan, name: str) -> bool:
    return isinstance(getattr(old, name), Struct) or isinstance(getattr(new, name), Struct)


def _group(old: Plan, new: Plan, name: str) -> tuple[str, ...]:
    before, after = getattr(old, name), getattr(new, name)
    label = _label(name)
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


def _fields(value: Struct, *, but: AbstractSet[str]) -> tuple[str, ...]:
    return tuple(name for name in value.__struct_fields__ if name not in but)


def _label(field: str) -> str:
    return _LABELS.get(field, field.replace("_", " "))


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Timing):
        return f"BFD {value.bfd_interval} ms × {value.bfd_multiplier}, BGP hold {value.hold} s"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
