"""Results of checks, in at most 80 columns: what is wrong first, what is good only as a list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace
from rich.text import Text

from uno.cli.output import printing, wrapping
from uno.diagnosis.check_result import CheckResult, CheckState, Diagnosis

_STYLES = {
    CheckState.FAULT: "red",
    CheckState.WARNING: "yellow",
    CheckState.NOT_CHECKED: "yellow",
    CheckState.GOOD: "green",
}
_SHOWN = (CheckState.FAULT, CheckState.WARNING, CheckState.NOT_CHECKED)


def print_diagnosis(found: Diagnosis, *, everything: bool) -> None:
    """Print the results that are not good, each with what to do; with `everything` all of them."""
    out = printing.console()
    for line in lines(found, everything=everything):
        out.print(line)


def lines(found: Diagnosis, *, everything: bool = False) -> Iterator[Text]:
    """Yield the results as lines."""
    whose = f"{found.subject} of {found.uvn}: " if found.subject else ""
    yield Text(f"{whose}{summary(found)}", style="bold")
    for state in (*_SHOWN, *((CheckState.GOOD,) if everything else ())):
        for each in _joined(it for it in found.results if it.state is state):
            yield from _result(each)


def _joined(results: Iterable[CheckResult]) -> Iterator[CheckResult]:
    """Yield the results; several checks that were not made for one reason are one."""
    by_reason: dict[tuple[object, ...], list[CheckResult]] = {}
    for each in results:
        is_made = each.state is not CheckState.NOT_CHECKED
        reason = (each.check, each.what, each.where) if is_made else (each.what,)
        by_reason.setdefault(reason, []).append(each)
    for same in by_reason.values():
        yield replace(same[0], check=", ".join(each.check for each in same))


def summary(found: Diagnosis) -> str:
    """Return how many checks have found what: `22 checks, 1 fault`."""
    checks = len({each.check for each in found.results})
    counts = {state: sum(each.state is state for each in found.results) for state in (*_SHOWN,)}
    parts = [
        printing.count(checks, "check"),
        *(
            f"{number} not checked"
            if state is CheckState.NOT_CHECKED
            else printing.count(number, state.value)
            for state, number in counts.items()
            if number
        ),
    ]
    return ", ".join(parts if len(parts) > 1 else [*parts, "all good"])


def _result(each: CheckResult) -> Iterator[Text]:
    head = f"{each.state}: " if each.state is not CheckState.GOOD else ""
    for number, line in enumerate(
        wrapping.wrapped(f"{head}{each.check}: {each.what}").splitlines()
    ):
        text = Text(line)
        if number == 0:
            text.stylize(_STYLES[each.state], 0, len(head) or len(each.check))
        yield text
    if each.remedy and each.state is not CheckState.GOOD:
        yield from map(Text, wrapping.wrapped(f"  → {each.remedy}", indent=4).splitlines())
