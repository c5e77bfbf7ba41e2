"""The checks at the registry: of its own directory, and of all cells by their statuses. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from msgspec import Struct

from uno.diagnosis.cell_checks import CLOCK_DIFFERENCE, disk_results
from uno.diagnosis.cell_facts import (
    AgentProcess,
    ClockReading,
    DiskSpace,
    NotObserved,
    Unobserved,
    observed,
)
from uno.diagnosis.cell_faults import age, faults, own_faults
from uno.diagnosis.check_result import CheckResult, CheckState, Diagnosis
from uno.diagnosis.link_faults import at_one_address, link_fault
from uno.model.plan import Link, Plan
from uno.model.status import CellView, LinkState, UvnView

# Seconds for which the oldest change may be in no backup.
BACKUP_DUE = 7 * 86400


class RegistryFacts(Struct, frozen=True, kw_only=True):
    """The registry's directory, and what its agent has received.

    `unreleased` are lines on what is not released, empty if all is; `revokes`: a ban or a deletion
    is among it. `not_backed_up` is the age in seconds of the oldest generation that is in no
    backup, None if there is none. `packages_complete`: the packages on the disk are the newest.
    `resolved` has the addresses of each public name, by whose it is.
    """

    plan: Plan
    view: UvnView | NotObserved | None
    agent: AgentProcess | NotObserved
    clock: ClockReading | NotObserved
    disks: tuple[DiskSpace, ...] | NotObserved
    unreleased: tuple[str, ...] | NotObserved
    revokes: bool
    not_backed_up: int | None
    packages_complete: bool | NotObserved
    resolved: Mapping[str, tuple[str, ...]] | NotObserved


def diagnose_registry(facts: RegistryFacts) -> Diagnosis:
    """Return the result of every check at the registry."""
    results: list[CheckResult] = []
    for name, examine, good in CHECKS:
        try:
            found = [
                CheckResult(check=name, state=state, what=what, where=where, remedy=remedy)
                for state, what, where, remedy in examine(facts)
            ]
        except Unobserved as error:
            found = [CheckResult(check=name, state=CheckState.NOT_CHECKED, what=str(error))]
        results += found or [CheckResult(check=name, state=CheckState.GOOD, what=good)]
    return Diagnosis(uvn=facts.plan.uvn, subject="registry", results=tuple(results))


_Row = tuple[CheckState, str, str, str]
_FAULT, _WARNING = CheckState.FAULT, CheckState.WARNING


def _clock(facts: RegistryFacts) -> Iterator[_Row]:
    clock = observed(facts.clock)
    behind = clock.newest - clock.now
    if behind > 0:
        yield (
            _FAULT,
            f"the clock is {age(behind)} or more behind: {clock.path} was written later",
            "",
            "set the clock (timedatectl, or date -s), and have NTP keep it",
        )


def _disk(facts: RegistryFacts) -> Iterator[_Row]:
    for each in disk_results(observed(facts.disks)):
        yield each.state, each.what, each.where, each.remedy


def _agent(facts: RegistryFacts) -> Iterator[_Row]:
    agent = observed(facts.agent)
    if not agent.runs and (agent.wanted or agent.crashed):
        yield (
            _FAULT,
            "the registry's agent has ended and does not run",
            "",
            "start it: systemctl start uvn-registry, or uno agent; and see its log",
        )


def _released(facts: RegistryFacts) -> Iterator[_Row]:
    lines = observed(facts.unreleased)
    if lines:
        state = _FAULT if facts.revokes else _WARNING
        yield state, "; ".join(each.strip() for each in lines), "", "release them: uno sync"


def _packages(facts: RegistryFacts) -> Iterator[_Row]:
    if not observed(facts.packages_complete):
        yield (
            _WARNING,
            "packages of the newest generation are missing in cells/ or particles/",
            "",
            "write them: uno redeploy",
        )


def _backup(facts: RegistryFacts) -> Iterator[_Row]:
    since = facts.not_backed_up
    if since is not None and since > BACKUP_DUE:
        yield (
            _WARNING,
            f"changes of the last {age(since)} are in no backup",
            "",
            "write one, to another machine: uno backup FILE",
        )


def _names(facts: RegistryFacts) -> Iterator[_Row]:
    resolved = observed(facts.resolved)
    if resolved and not any(resolved.values()):
        yield (
            _WARNING,
            "none of the public names can be resolved here",
            "",
            "see this host's name service: cat /etc/resolv.conf",
        )
        return
    for whose, found in resolved.items():
        if not found:
            yield (
                _WARNING,
                f"the name of {whose} cannot be resolved here",
                whose,
                "see that it exists, or correct it: uno config",
            )


def _plan(facts: RegistryFacts) -> Iterator[_Row]:
    """Yield the cells with LANs that no link of the plan joins with the first one."""
    members = [cell.member for cell in facts.plan.cells if cell.member.lans]
    reached = reachable(facts.plan.links, members[0].id) if members else frozenset()
    for member in members:
        if member.id not in reached:
            yield (
                _FAULT,
                f"{member.name}: no path of the plan joins its LANs with {members[0].name}'s",
                member.name,
                "see what would join them: uno verify",
            )


def reachable(links: Iterable[Link], start: int) -> frozenset[int]:
    """Return the cells that links join with a cell, and the cell itself."""
    neighbors: dict[int, list[int]] = {}
    for link in links:
        one, other = link.cells
        neighbors.setdefault(one, []).append(other)
        neighbors.setdefault(other, []).append(one)
    found, edge = {start}, [start]
    while edge:
        new = [each for each in neighbors.get(edge.pop(), ()) if each not in found]
        found.update(new)
        edge += new
    return frozenset(found)


def _cells(facts: RegistryFacts) -> Iterator[_Row]:
    for cell in _viewed(facts).cells:
        for fault in own_faults(cell):
            behind = cell.alive and fault.startswith("runs generation")
            yield (
                _WARNING if behind or fault.startswith("pending") else _FAULT,
                f"{cell.name}: {fault}",
                cell.name,
                f"on {cell.name}: uno doctor" if cell.alive else _without_contact(cell),
            )


def _without_contact(cell: CellView) -> str:
    return f"see that {cell.name} is on and has the Internet; there: uno doctor"


def _clocks(facts: RegistryFacts) -> Iterator[_Row]:
    now = observed(facts.clock).now
    for cell in _viewed(facts).cells:
        clock = cell.status.clock if cell.status and cell.alive else None
        if clock is None:
            continue
        ahead = clock + int(cell.status_age or 0) - now
        if abs(ahead) > CLOCK_DIFFERENCE:
            side = "ahead of" if ahead > 0 else "behind"
            yield (
                _WARNING,
                f"{cell.name}: its clock is {age(abs(ahead))} {side} that of the registry",
                cell.name,
                "have NTP set both: timedatectl set-ntp true",
            )


def _links(facts: RegistryFacts) -> Iterator[_Row]:
    """Yield the links between cells in contact that are down: each once."""
    cells = {cell.id: cell for cell in _viewed(facts).cells}
    members = {cell.member.id: cell.member for cell in facts.plan.cells}
    for link in facts.plan.links:
        ends = [
            (cells[one], cells[other], state)
            for one, other in (link.cells, link.cells[::-1])
            if one in cells and other in cells and cells[one].alive and cells[other].alive
            if (state := _end(cells[one], other)) is not None
        ]
        is_one = at_one_address(*map(members.get, link.cells))
        found = [
            (one, fault)
            for one, other, state in ends
            if (fault := link_fault(state, other.name, at_one_address=is_one)) is not None
        ]
        if found and not any(own_obstacles(one) for one, _, _ in ends):
            one, fault = found[0]
            yield _FAULT, f"{one.name}: {fault.what}", one.name, fault.remedy


def own_obstacles(cell: CellView) -> bool:
    """Whether a cell names something of its own that may silence its links."""
    return bool(cell.status and (cell.status.obstacles or cell.status.problem))


def _end(cell: CellView, other: int) -> LinkState | None:
    links = cell.status.links if cell.status else ()
    return next((link for link in links if link.cell == other), None)


def _reach(facts: RegistryFacts) -> Iterator[_Row]:
    """Yield the LANs that cells do not reach, where nothing else is wrong that explains it."""
    cells = _viewed(facts).cells
    if any(own_faults(cell) for cell in cells) or any(_links(facts)):
        return
    for cell in cells:
        for fault in faults(cell):
            yield _FAULT, f"{cell.name}: {fault}", cell.name, f"uno explain {cell.name} LAN"


def _viewed(facts: RegistryFacts) -> UvnView:
    view = observed(facts.view)
    if view is None:
        raise Unobserved("no agent of the registry runs, which receives the cells' statuses")
    return view


CHECKS: tuple[tuple[str, Callable[[RegistryFacts], Iterator[_Row]], str], ...] = (
    ("clock", _clock, "the clock is not behind"),
    ("disk", _disk, "there is room for files"),
    ("agent", _agent, "the registry's agent runs well, or none is wanted"),
    ("released", _released, "every change is released"),
    ("packages", _packages, "the packages are the newest"),
    ("backup", _backup, "the newest backup is not too old"),
    ("names", _names, "every public name leads to an address"),
    ("plan", _plan, "the plan joins every LAN"),
    ("cells", _cells, "every cell is in contact, and reports no fault"),
    ("clocks", _clocks, "the clocks of the cells agree"),
    ("links", _links, "every link is up"),
    ("reach", _reach, "every cell reaches every LAN"),
)
