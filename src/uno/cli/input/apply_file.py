"""A specification file that is applied to the registry: read, confirm removals, apply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from uno import spec
from uno.cli.input import registry_change, spec_input
from uno.diagnostics import ActionNeeded
from uno.registry.changes.edits import Edited
from uno.registry.store import password_hashes

if TYPE_CHECKING:
    from uno.cli.input.options import AskingChange, Changing
    from uno.model.uvn import Uvn
    from uno.registry.changes.operations import Change
    from uno.spec.merging import Merged, Removal

# So many names in a question or a note, and then only how many more.
_NAMES = 5


@dataclass(slots=True)
class SpecFile:
    """A file as read, once, and the removals that were confirmed."""

    text: str
    file: str
    confirmed: Removal | None = None


def read(given: str) -> SpecFile:
    """Read the file, or the text, that `-s` was given."""
    return SpecFile(*spec_input.source(given))


def confirm_removal(common: AskingChange, given: SpecFile) -> None:
    """Ask before objects are removed; the registry is not locked meanwhile."""
    given.confirmed = _merged(given, registry_change.head(common).uvn, prune=True).lacking
    if given.confirmed:
        common.confirm(f"Remove {listed(given.confirmed)}?")


def apply(common: Changing, given: SpecFile, *, prune: bool) -> tuple[Change, Merged]:
    """Make the generation that the file describes, or rehearse it with `--dry-run`."""
    found: list[Merged] = []

    def edit(uvn: Uvn) -> Edited:
        merged = _merged(given, uvn, prune=prune)
        if prune and not common.dry_run and merged.lacking != given.confirmed:
            raise ActionNeeded(
                "another command changed the registry while you answered",
                "nothing was changed; check again with: uno plan -s FILE --prune",
            )
        found[:] = [merged]
        return Edited(uvn=merged.uvn, problems=merged.warnings)

    made = registry_change.make(common, edit)
    return made, found[0]


def notes(merged: Merged, *, is_pruned: bool) -> tuple[str, ...]:
    """Return a note about the objects that the file does not mention."""
    if is_pruned or not merged.lacking:
        return ()
    return (f"not in the file, and kept: {listed(merged.lacking)}; --prune would remove them",)


def listed(removal: Removal) -> str:
    """Return `cells a and b, particle c`."""
    groups = (("cell", removal.cells), ("particle", removal.particles), ("user", removal.users))
    return ", ".join(
        f"{noun}{'' if len(names) == 1 else 's'} {_some(names)}" for noun, names in groups if names
    )


def _some(names: tuple[str, ...]) -> str:
    shown = list(names[:_NAMES])
    if len(names) > len(shown):
        shown.append(f"{len(names) - _NAMES:,} more")
    *first, last = shown
    return f"{', '.join(first)} and {last}" if first else last


def _merged(given: SpecFile, uvn: Uvn, *, prune: bool) -> Merged:
    return spec.merge(
        given.text,
        file=given.file,
        uvn=uvn,
        prune=prune,
        hash_password=password_hashes.kept_or_hashed,
    )
