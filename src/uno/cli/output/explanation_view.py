"""Why two places do not reach each other, in at most 80 columns: verdict, path, cause."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from uno.cli.output import printing, wrapping
from uno.diagnosis.cell_faults import age
from uno.diagnosis.explained_path import Direction, Explanation, Hop, HopState

_VERDICT = {
    True: ("they reach each other, as far as is known here", "green"),
    False: ("they do not reach each other", "red"),
    None: ("not enough is known here to tell", "yellow"),
}
_STYLES = {HopState.UP: "green", HopState.DOWN: "red", HopState.UNKNOWN: "yellow"}


def print_explanation(found: Explanation) -> None:
    """Print the verdict, and for each direction the path and the first cause."""
    out = printing.console()
    for line in lines(found):
        out.print(line)


def lines(found: Explanation) -> Iterator[Text]:
    """Yield an explanation as lines."""
    yield from _wrapped(f"{found.a} and {found.b}, seen from {found.viewer}:")
    verdict, style = _VERDICT[found.reaches]
    yield Text(verdict, style=style)
    for direction in (found.forth, found.back):
        yield Text()
        yield from _direction(direction)


def _direction(one: Direction) -> Iterator[Text]:
    yield from _wrapped(f"{one.source} → {one.target}")
    if one.planned:
        yield from _wrapped(f"  planned: {' – '.join(one.planned)}", indent=4)
    if one.used and one.used != one.planned:
        yield from _wrapped(f"  by: {' – '.join(one.used)}", indent=4)
    for hop in one.hops:
        yield from _hop(hop)
    if one.cause is not None:
        for number, line in enumerate(_wrapped(f"  cause: {one.cause.what}", indent=4)):
            if number == 0:
                line.stylize("red", 2, len("  cause:"))
            yield line
        yield from _wrapped(f"    → {one.cause.remedy}", indent=6)
    for remark in one.remarks:
        yield from _wrapped(f"  note: {remark}", indent=4)
    if one.cause is None and one.reaches is None:
        yield Text("  nothing wrong is known, and too little to be sure", style="yellow")


def _hop(hop: Hop) -> Iterator[Text]:
    shown = [
        f"handshake {age(hop.handshake)} ago" if hop.handshake is not None else "",
        f"BGP {hop.bgp}" if hop.bgp else "",
        f"BFD {hop.bfd}" if hop.bfd else "",
        f"{hop.rtt:.1f} ms" if hop.rtt is not None else "",
        f"{hop.loss:.0%} lost" if hop.loss else "",
        f"MTU {hop.mtu}" if hop.mtu is not None else "",
    ]
    named = f"  {hop.source} – {hop.target}: "
    details = ", ".join(filter(None, [hop.state.value, *shown]))
    for number, line in enumerate(_wrapped(f"{named}{details}", indent=4)):
        if number == 0 and line.plain.startswith(named):
            line.stylize(_STYLES[hop.state], len(named), len(named) + len(hop.state.value))
        yield line


def _wrapped(line: str, *, indent: int = 2) -> Iterator[Text]:
    return (Text(each) for each in wrapping.wrapped(line, indent=indent).splitlines())
