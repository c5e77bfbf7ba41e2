"""What a command that revokes keys prints about when that takes effect."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that `uno -h` is quick

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
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


def by_hand(common: Changing, cell: str) -> str:
    """Return how the new package of a cell with stolen keys reaches it."""
    from uno.cli.input import registry_change
    from uno.registry.publish import cell_packages

    package = cell_packages.file_name(registry_change.head(common).plan.uvn, cell)
    return (
        f"carry cells/{package} to the host of {cell} by hand, and install it there: it is not sent"
        " over the bus, where the old keys could open it"
    )
