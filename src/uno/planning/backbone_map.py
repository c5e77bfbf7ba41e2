"""The backbone as text for people: each cell with its links, 80 columns wide."""

from __future__ import annotations

from textwrap import wrap

from uno.model.plan import LinkEnd, Member, Plan
from uno.model.syntax import interface_name

WIDTH = 80
# Interface names have 15 characters at most (IFNAMSIZ in linux/if.h), IPv4 addresses too.
_ROW = "  {interface:<15} {local:<15} {port:>5} ↔ {far_port:>5} {remote:<15} "
_NAME_WIDTH = WIDTH - len(_ROW.format(interface="", local="", port="", far_port="", remote=""))


def text(plan: Plan) -> str:
    """Return the map: per cell its links, with address and UDP port at both ends.

    A port shown as `-` is that of a cell that does not listen and dials out.
    """
    members = {cell.member.id: cell.member for cell in plan.cells}
    ends: dict[int, list[tuple[LinkEnd, LinkEnd]]] = {cell: [] for cell in members}
    for link in plan.links:
        ends[link.a.cell].append((link.a, link.b))
        ends[link.b.cell].append((link.b, link.a))
    lines = _title(plan)
    for cell, own in ends.items():
        lines += ["", *_cell(members[cell])]
        lines += [
            _row(local, remote, members[remote.cell].name, plan.backbone.interface)
            for local, remote in sorted(own, key=lambda pair: pair[0].slot)
        ]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _title(plan: Plan) -> list[str]:
    counts = f"{_count(plan.cells, 'cell')}, {_count(plan.links, 'link')}"
    return _wrapped(f"{plan.uvn}: {counts}, {plan.strategy}, {plan.pools.backbone}", indent=2)


def _count(items: tuple[object, ...], noun: str) -> str:
    return f"{len(items)} {noun}{'' if len(items) == 1 else 's'}"


def _cell(member: Member) -> list[str]:
    where = member.endpoint or "private"
    lans = ", ".join(map(str, member.lans)) or "roaming"
    return _wrapped(f"{member.name} (cell {member.id})  {where}  {member.node4}  {lans}", indent=4)


def _wrapped(line: str, *, indent: int) -> list[str]:
    return wrap(line, WIDTH, subsequent_indent=" " * indent)


def _row(local: LinkEnd, remote: LinkEnd, name: str, pattern: str) -> str:
    return _ROW.format(
        interface=interface_name(pattern, local.slot),
        local=str(local.address4),
        port=local.port or "-",
        far_port=remote.port or "-",
        remote=str(remote.address4),
    ) + _shortened(name)


def _shortened(name: str) -> str:
    return name if len(name) <= _NAME_WIDTH else name[: _NAME_WIDTH - 1] + "…"
