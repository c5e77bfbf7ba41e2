"""Names of what there is, for the completion of shells."""

# ruff: noqa: PLC0415 - only a completion needs this, and a shell runs it at each press of TAB

from __future__ import annotations

from pathlib import Path

import typer

# The kind of object that a command takes, where its name is not the kind.
_ABOUT = {"guide": "cell"}


def places(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the cells, particles and LANs that begin with `incomplete`.

    They are those of the registry or of the cell's package, whichever is in the directory; none
    where neither can be read.
    """
    from uno.agent.commit.ledger import Ledger
    from uno.diagnosis.network_map import map_of_package, map_of_plan
    from uno.diagnostics import UnoError
    from uno.registry.store import directory

    root = Path(ctx.params.get("root") or Path())
    try:
        if (root / "registry.db").exists():
            with directory.opened(root, for_change=False) as registry:
                head = registry.store.head()
            known = map_of_plan(head.plan, head.uvn)
        elif (package := Ledger(root).current()) is not None:
            known = map_of_package(package)
        else:
            return []
    except (UnoError, OSError):
        return []
    found = [
        *(each.name for each in known.members),
        *(each.name for each in known.particles),
        *(str(lan) for each in known.members for lan in each.lans),
    ]
    return [each for each in found if each.startswith(incomplete)]


def names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the cells, particles or users that begin with `incomplete`, whichever it is about.

    They are those of the registry that the command would open. Where there is none, or it cannot
    be read, there are no names, and no message on the command line.
    """
    from uno.diagnostics import UnoError
    from uno.registry.store import directory

    root = ctx.params.get("root") or Path()
    try:
        with directory.opened(Path(root), for_change=False) as registry:
            uvn = registry.store.head().uvn
    except UnoError:
        return []
    found = {
        "cell": [cell.name for cell in uvn.cells],
        "particle": [particle.name for particle in uvn.particles],
        "user": [user.email for user in uvn.users],
    }
    about = ctx.info_name or ""
    return [name for name in found[_ABOUT.get(about, about)] if name.startswith(incomplete)]
