"""After any bans, admissions, deletions and thefts, exactly the keys in use are accepted."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from packages import UVN
from uno.model.trust import TrustUpdate
from uno.model.uvn import Uvn
from uno.registry.changes.key_selection import KeySelection, StolenCell
from uno.registry.changes.revocation import revoked

CELLS = tuple(cell.id for cell in UVN.cells)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ban", "admit", "steal", "delete", "other"]), st.sampled_from(CELLS)
    ),
    max_size=12,
)


@dataclass
class Registry:
    """A definition, what it revokes, and which keys of each cell the packages so far have."""

    uvn: Uvn = UVN
    trust: TrustUpdate = field(default_factory=TrustUpdate)
    keys: dict[int, int] = field(default_factory=lambda: dict.fromkeys(CELLS, 0))
    packages: list[dict[int, int]] = field(default_factory=list)

    @property
    def generation(self) -> int:
        return len(self.packages) + 1

    def publish(self, selection: KeySelection = ()) -> None:
        generation = self.generation
        self.trust = revoked(self.trust, self.uvn, selection, generation=generation)
        self.packages.append({cell.id: self.keys[cell.id] for cell in self.uvn.active_cells})

    def step(self, what: str, cell: int) -> None:
        found = next((each for each in self.uvn.cells if each.id == cell), None)
        selection: KeySelection = ()
        if found is not None and what in {"ban", "admit"} and found.excluded != (what == "ban"):
            self.keys[cell] += what == "admit"
            self._replace(cell, excluded=what == "ban")
        elif found is not None and what == "steal" and not found.excluded:
            self.keys[cell] += 1
            selection = (StolenCell(cell),)
        elif found is not None and what == "delete":
            left = tuple(each for each in self.uvn.cells if each.id != cell)
            self.uvn = replace(self.uvn, cells=left)
        self.publish(selection)

    def _replace(self, cell: int, *, excluded: bool) -> None:
        cells = tuple(
            replace(each, excluded=excluded) if each.id == cell else each for each in self.uvn.cells
        )
        self.uvn = replace(self.uvn, cells=cells)


@pytest.mark.feature("G54")
@given(steps=STEPS)
def test_a_key_is_revoked_exactly_where_it_is_not_the_one_in_use(
    steps: list[tuple[str, int]],
) -> None:
    registry = Registry()
    registry.publish()
    for what, cell in steps:
        registry.step(what, cell)

    active = {cell.id for cell in registry.uvn.active_cells}
    banned = {cell.id for cell in registry.uvn.cells} - active
    for generation, package in enumerate(registry.packages, start=1):
        refused = registry.trust.revoked_cells(generation)
        for cell, key in package.items():
            if cell in active:
                assert (cell in refused) == (key != registry.keys[cell])
            elif cell in banned:
                assert cell in refused


@pytest.mark.feature("G54")
@given(steps=STEPS)
def test_what_was_revoked_in_a_package_stays_so(steps: list[tuple[str, int]]) -> None:
    registry = Registry()
    registry.publish()
    for what, cell in steps:
        before = [registry.trust.revoked_cells(each) for each in range(1, registry.generation)]
        registry.step(what, cell)
        after = [registry.trust.revoked_cells(each) for each in range(1, len(before) + 1)]
        assert all(old <= new for old, new in zip(before, after, strict=True))
