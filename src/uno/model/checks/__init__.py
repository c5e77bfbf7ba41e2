"""The checks that a definition must pass before it is deployed, wherever it comes from.

`check` checks a whole `Uvn` and returns all findings. `spec` turns the findings into
lines of a file, `registry.changes.operations` into command-line options.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uno.model.checks import (
    machines,
    names_and_owners,
    notify_settings,
    password_costs,
    pool_sizes,
    port_conflicts,
    prefixes,
    public_addresses,
    single_values,
    strategy_fit,
    vpn_settings,
)
from uno.model.checks.finding import Finding, Path

if TYPE_CHECKING:
    from uno.model.uvn import Uvn

__all__ = ["Finding", "Path", "check"]


def check(uvn: Uvn) -> tuple[Finding, ...]:
    """Return all that is wrong with `uvn`, errors and warnings; the same for equal definitions."""
    return (
        *single_values.check(uvn),
        *names_and_owners.check(uvn),
        *prefixes.check(uvn),
        *public_addresses.check(uvn),
        *pool_sizes.check(uvn),
        *port_conflicts.check(uvn),
        *strategy_fit.check(uvn),
        *vpn_settings.check(uvn),
        *machines.check(uvn),
        *notify_settings.check(uvn),
        *password_costs.check(uvn),
    )
