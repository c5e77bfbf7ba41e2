"""Change the registry with an edit: author, reason, lock, and the new generation."""

from __future__ import annotations

import getpass
import os
import socket
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from uno.cli.input.options import Changing
from uno.registry.changes import operations
from uno.registry.changes.operations import Author

if TYPE_CHECKING:
    from collections.abc import Iterator

    from uno.cli.input.options import Common
    from uno.registry.changes.operations import Change, Edit
    from uno.registry.store.directory import Registry
    from uno.registry.store.generation_store import Generation


def make(common: Changing, edit: Edit, *, relayout: bool = False) -> Change:
    """Make a change, or rehearse it."""
    with opened(common) as registry:
        return operations.change(
            registry,
            edit,
            by=author(common),
            why=reason(common),
            relayout=relayout,
            dry_run=common.dry_run,
        )


def as_dry_run(common: Common) -> Changing:
    """Return the options of a read-only command as those of a change with `--dry-run`."""
    given = {each.name: getattr(common, each.name) for each in fields(common)}
    return Changing(**given, dry_run=True)


@contextmanager
def opened(common: Changing) -> Iterator[Registry]:
    """Open the registry for a change, or without writing anything for a rehearsal of one."""
    with operations.opened(common.root, for_change=True, dry_run=common.dry_run) as registry:
        yield registry


def head(common: Changing) -> Generation:
    """Return the newest generation, before the registry is opened for the change itself."""
    with operations.opened(common.root, dry_run=common.dry_run) as registry:
        return registry.store.head()


def author(common: Changing) -> Author:
    """Return the author of a change, `--as` or the system's user, and the time."""
    # cli reads the clock; the packages below take the time as a parameter.
    now = datetime.now(UTC)  # noqa: TID251
    return Author(who=common.author or _system_user(), time=now)


def reason(common: Changing) -> str:
    """Return the reason for the history: `-m`, or else the command line without passwords."""
    return common.message or common.typed


def _system_user() -> str:
    try:
        who = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        who = str(os.getuid())
    return f"{who}@{socket.gethostname()}"
