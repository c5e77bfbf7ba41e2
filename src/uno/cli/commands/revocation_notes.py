"""What a command that revokes keys prints about when that takes effect."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that `uno -h` is quick

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from uno.cli.input.options import Changing


def notes(common: Changing, what: str) -> tuple[str, ...]:
    """Return when cells refuse `what`: at once if the registry's agent runs; nothing if by hand."""
    from uno import control
    from uno.cli.input import registry_change
    from uno.model.messages import REGISTRY

    plan = registry_change.head(common).plan
    if common.dry_run or plan.root is None or not plan.cells:
        return ()
    if control.is_served(control.socket_path(plan.identity, REGISTRY)):
        return (f"cells refuse {what} at once: the registry's agent publishes it now",)
    return (f"cells refuse {what} with uno sync, or once the registry's agent runs",)


def particles_stop(
    common: Changing, names: Sequence[str] = (), *, cells: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return that particles do not connect until they have their new packages.

    `names` are the particles, and `cells` those at which they get new keys; empty is all.
    """
    from uno.cli.input import registry_change
    from uno.registry.changes.key_rotation import serves_particles

    uvn = registry_change.head(common).uvn
    stopped = [it.name for it in uvn.active_particles if not names or it.name in names]
    serving = [it.name for it in uvn.active_cells if serves_particles(uvn, it)]
    at = [it for it in serving if not cells or it in cells]
    if common.dry_run or not stopped or not at:
        return ()
    where = f" to {' and '.join(at)}" if cells else ""
    if len(stopped) == 1:
        what = f"{stopped[0]} cannot connect{where} until its new package is imported"
    else:
        what = f"{len(stopped)} particles cannot connect{where} until their new packages are"
        what += " imported"
    return (f"once cells have the new keys, {what}",)


def by_hand(common: Changing, cell: str) -> str:
    """Return how the new package of a cell with stolen keys reaches it."""
    from uno.cli.input import registry_change
    from uno.registry.publish import cell_packages

    package = cell_packages.file_name(registry_change.head(common).plan.uvn, cell)
    return (
        f"carry cells/{package} to the host of {cell} by hand, and install it there: it is not sent"
        " over the bus, where the old keys could open it"
    )
