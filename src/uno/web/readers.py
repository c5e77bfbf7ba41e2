"""Who reads the page, and what is theirs. Pure."""

from __future__ import annotations

from msgspec import Struct

from uno.model.network_directory import Directory


class Reader(Struct, frozen=True, kw_only=True):
    """A user of the UVN, by e-mail address; `is_owner`: of the UVN, who may see everything.

    `cells` and `particles` are those that the reader owns, by id.
    """

    email: str
    name: str = ""
    is_owner: bool = False
    cells: frozenset[int] = frozenset()
    particles: frozenset[int] = frozenset()

    def owns(self, *cells: int) -> bool:
        """Whether the reader may see everything of at least one of these cells."""
        return self.is_owner or not self.cells.isdisjoint(cells)


def reader_of(email: str, directory: Directory) -> Reader | None:
    """Return the user with this e-mail address; None if there is none, or it is banned."""
    user = directory.user(email)
    if user is None or user.excluded:
        return None
    return Reader(
        email=email,
        name=user.name,
        is_owner=email == directory.owner,
        cells=frozenset(each.id for each in directory.cells if each.owner == email),
        particles=frozenset(each.id for each in directory.particles if each.owner == email),
    )
