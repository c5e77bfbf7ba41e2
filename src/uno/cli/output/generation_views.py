"""The history of generations, and the differences between two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uno.cli.input.apply_file import listed
from uno.cli.output import list_views, printing
from uno.cli.output.definition_view import whole
from uno.cli.output.list_views import Listing
from uno.diagnostics import ActionNeeded
from uno.model import codec
from uno.planning.diff import plan_diff
from uno.registry.changes import change_lines, history
from uno.spec.merging import Removal

if TYPE_CHECKING:
    from uno.cli.input.options import JsonOption
    from uno.model.uvn import Uvn
    from uno.registry.store.directory import Registry
    from uno.registry.store.generation_store import Entry, Generation

# Keys between particles and cells are in no plan.
_ONLY_KEYS = "~ keys that no plan shows; definition and plan are as before"

# So many lines of each change in the log; -v shows them all.
_LINES = 8


def show_history(registry: Registry, output: JsonOption, count: int | None) -> None:
    """Print the newest `count` generations, or all, in a table."""
    entries = _newest(registry, count)
    found = Listing(
        columns=("GENERATION", "TIME", "WHO", "WHY"),
        rows=[(each.number, when(each), each.who, each.why) for each in entries],
        values=[line(each) for each in entries],
    )
    list_views.print_listing(found, output, empty="There is no history.")


def show_log(
    registry: Registry, output: JsonOption, count: int | None, *, everything: bool
) -> None:
    """Print the newest `count` generations, or all, each with what it changed."""
    store = registry.store
    numbers = [entry.number for entry in store.history()]
    values = []
    for entry in _newest(registry, count):
        at = numbers.index(entry.number)
        before = store.generation(numbers[at - 1]) if at else None
        after = store.generation(entry.number)
        lines = _change_lines(before, after)
        if output.json:
            values.append({**line(entry), **_changes(before, after)})
            continue
        printing.heading(f"Generation {entry.number}  {when(entry)}  {entry.who}")
        printing.result(f"  {entry.why}")
        printing.change_lines(lines if everything else lines[:_LINES])
        if not everything and len(lines) > _LINES:
            printing.result(f"  … and {len(lines) - _LINES:,} more lines; -v shows them")
    if output.json:
        printing.json(values)


def show_diff(
    registry: Registry, output: JsonOption, first: int | None, second: int | None
) -> None:
    """Print what differs from generation `first` to generation `second`."""
    store = registry.store
    numbers = [entry.number for entry in store.history()]
    after = store.generation(numbers[-1] if second is None else second)
    if first is None:
        if len(numbers) < 2:
            raise ActionNeeded("there is one generation", "there is nothing to compare it with")
        first = numbers[-2]
    before = store.generation(first)
    if output.json:
        printing.json(
            {"before": line(before.entry), "after": line(after.entry)} | _changes(before, after)
        )
        return
    declared = history.lines(history.differences(before.uvn, after.uvn))
    decided = plan_diff.lines(plan_diff.diff(before.plan, after.plan))
    if not declared and not decided:
        printing.result(f"Generations {before.number} and {after.number} are the same.")
        return
    printing.result(f"Generation {before.number} → {after.number}")
    for title, lines in (("Definition", declared), ("Plan", decided)):
        if lines:
            printing.heading(title)
            printing.change_lines(lines)


def show_generation(registry: Registry, output: JsonOption, number: int) -> None:
    """Print one generation: when, who, why, and what it changed."""
    numbers = [entry.number for entry in registry.store.history()]
    after = registry.store.generation(number)
    at = numbers.index(number)
    before = registry.store.generation(numbers[at - 1]) if at else None
    if output.json:
        printing.json(
            {**line(after.entry), **_changes(before, after), "definition": whole(after.uvn)}
        )
        return
    uvn = after.uvn
    counts = ((len(uvn.cells), "cell"), (len(uvn.particles), "particle"), (len(uvn.users), "user"))
    printing.facts(
        (
            ("generation", number),
            ("time", when(after.entry)),
            ("who", after.entry.who),
            ("why", after.entry.why),
            ("declared", ", ".join(printing.count(*each) for each in counts)),
            ("backbone", f"{printing.count(len(after.plan.links), 'link')}, {after.plan.strategy}"),
            ("digest", after.entry.digest),
        )
    )
    printing.heading(f"Since generation {before.number}" if before else "Initial state")
    printing.change_lines(_change_lines(before, after))


def removed(now: Uvn, then: Uvn) -> str:
    """Return, for a question, what `now` has and `then` has not; empty if there is nothing."""
    cells = {cell.id for cell in then.cells}
    particles = {particle.id for particle in then.particles}
    users = {user.email for user in then.users}
    return listed(
        Removal(
            cells=tuple(cell.name for cell in now.cells if cell.id not in cells),
            particles=tuple(each.name for each in now.particles if each.id not in particles),
            users=tuple(user.email for user in now.users if user.email not in users),
        )
    )


def line(entry: Entry) -> dict[str, Any]:
    """Return a line of the history for programs."""
    return {
        "number": entry.number,
        "time": entry.time.isoformat(),
        "who": entry.who,
        "why": entry.why,
        "digest": entry.digest,
    }


def when(entry: Entry) -> str:
    """Return the time of a generation for people, in UTC."""
    return entry.time.strftime("%Y-%m-%d %H:%M UTC")


def _newest(registry: Registry, count: int | None) -> tuple[Entry, ...]:
    entries = tuple(reversed(registry.store.history()))
    return entries if count is None else entries[:count]


def _change_lines(before: Generation | None, after: Generation) -> tuple[str, ...]:
    """Return what a generation changed: what was declared, and what follows for the network."""
    old = (before.uvn, before.plan) if before else None
    return change_lines.lines(old, (after.uvn, after.plan)) or (_ONLY_KEYS,)


def _changes(before: Generation | None, after: Generation) -> dict[str, Any]:
    return {
        "declared": codec.to_builtins(history.differences(before.uvn, after.uvn) if before else ()),
        "decided": codec.to_builtins(plan_diff.diff(before.plan if before else None, after.plan)),
    }
