"""The demo's tables: 80 columns, one glance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table

from uno.lab.evidence import PairResult

# More columns than that do not fit into 80 characters beside the names.
WIDEST = 12
_GOOD, _BAD, _NOT_TRIED = "[green]✓[/]", "[bold red]✗[/]", "[dim]·[/]"
# A failure that repeats a hundred times is not printed a hundred times.
_FAULTS_SHOWN = 20


def lan_table(results: Sequence[PairResult], addresses: dict[str, str]) -> Table:
    """Each LAN host (row) to each other (column); `addresses` has all hosts, in order."""
    hosts = list(addresses)
    table = Table(title="LAN host to LAN host", title_justify="left", padding=(0, 1))
    table.add_column("from", no_wrap=True)
    table.add_column("address", no_wrap=True)
    for number in range(1, len(hosts) + 1):
        table.add_column(str(number), justify="center")
    for number, source in enumerate(hosts, start=1):
        marks = [
            _mark([v for v in results if (v.source, v.target) == (source, target)])
            for target in hosts
        ]
        table.add_row(f"{number} {source}", addresses[source], *marks)
    return table


def particle_table(results: Mapping[tuple[str, str], Sequence[PairResult]], server: str) -> Table:
    """Each particle through each cell: how many LAN hosts, and the Internet by IP version."""
    table = Table(title="Particle through cell", title_justify="left", padding=(0, 1))
    for heading in ("particle", "through", "LAN hosts", "Internet IPv4", "Internet IPv6"):
        table.add_column(
            heading, justify="left" if heading in {"particle", "through"} else "center"
        )
    for (particle, cell), found in results.items():
        hosts = {v.target for v in found} - {server}
        good = len(hosts - {v.target for v in found if v.fault})
        internet = [[v for v in found if v.target == server and v.version == n] for n in (4, 6)]
        share = f"{good} of {len(hosts)}"
        table.add_row(
            particle,
            cell,
            f"[green]{share}[/]" if good == len(hosts) else f"[bold red]{share}[/]",
            *map(_mark, internet),
        )
    return table


def faults(results: Sequence[PairResult]) -> list[str]:
    """A line for each pair that failed; for many, the first of them and their number."""
    lines = [f"{v.source} → {v.target} (IPv{v.version}): {v.fault}" for v in results if v.fault]
    more = len(lines) - _FAULTS_SHOWN
    return [*lines[:_FAULTS_SHOWN], *([f"and {more} more"] if more > 0 else [])]


def _mark(results: Sequence[PairResult]) -> str:
    if not results:
        return _NOT_TRIED
    return _BAD if any(v.fault for v in results) else _GOOD
