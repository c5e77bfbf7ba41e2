"""What the benchmarks share: summaries, the machine they ran on, goals, JSON."""

from __future__ import annotations

import compileall
import json
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uno
from uno.host.command import run
from uno.host.wireguard import interfaces


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Several measurements of one thing, in the order in which they were taken."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The one in the middle."""
        return statistics.median(self.values)

    def __str__(self) -> str:
        return f"median {self.median:.3g}, {min(self.values):.3g} to {max(self.values):.3g}"


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What a figure should be, and whether it is."""

    what: str
    value: float
    met: bool


def below(what: str, value: float, limit: float) -> Goal:
    """A figure that should be less than `limit`."""
    return Goal(what=f"{what} < {limit:g}", value=value, met=value < limit)


def at_most(what: str, value: float, limit: float) -> Goal:
    """A figure that should be no more than `limit`."""
    return Goal(what=f"{what} <= {limit:g}", value=value, met=value <= limit)


def at_least(what: str, value: float, limit: float) -> Goal:
    """A figure that should be no less than `limit`."""
    return Goal(what=f"{what} >= {limit:g}", value=value, met=value >= limit)


def machine() -> dict[str, Any]:
    """Say what this was measured on, when, and what else it was doing.

    Compiles uno first: where no bytecode can be written, as with PYTHONDONTWRITEBYTECODE, each
    command would compile what has changed since `scripts/setup`, and take half a second longer.
    """
    compileall.compile_dir(Path(uno.__file__).parent, quiet=2)
    cpus = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in cpus if line.startswith("model name")]
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),  # noqa: TID251 - a script
        "processor": models[0] if models else platform.machine(),
        "processors": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
        "load": list(os.getloadavg()),
        "userspace_wireguard": interfaces.kind(["tun"]),
        "frr": run(["/usr/lib/frr/bgpd", "--version"]).stdout.splitlines()[0],
    }


def as_json(value: Any) -> Any:
    """Make JSON of what the benchmarks find."""
    if isinstance(value, Summary):
        return {**asdict(value), "median": value.median}
    return str(value)


def finish(
    *,
    before: dict[str, Any],
    found: dict[str, Any],
    goals: Sequence[Goal],
    file: Path | None,
    say: Callable[[str], None],
) -> int:
    """Print the goals, write all of it to `file`, and return the exit status.

    `before` is the result of `machine` at the beginning.
    """
    for goal in goals:
        say(f"{'met ' if goal.met else 'MISSED'} {goal.what}: {goal.value:.3g}")
    after = machine()
    loads = " and ".join(f"{each['load'][0]:.1f}" for each in (before, after))
    say(
        f"{before['processors']} × {before['processor']}, Linux {before['kernel']}, "
        f"{before['userspace_wireguard']}, {before['frr']}; load before and after: {loads}"
    )
    if file:
        whole = {
            "before": before,
            "after": after,
            "found": found,
            "goals": [asdict(goal) for goal in goals],
        }
        file.write_text(json.dumps(whole, indent=2, default=as_json) + "\n")
    return 0 if all(goal.met for goal in goals) else 1


def say(line: str) -> None:
    """Print a line at once, so that one can watch."""
    print(line, flush=True)
