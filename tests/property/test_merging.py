"""Properties of putting a spec on top of a definition."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from strategies import uvns
from uno.diagnostics import Rejected
from uno.model import codec
from uno.model.uvn import Cell, Particle, Uvn
from uno.spec import load, merge, to_yaml
from uno.spec.merging import Merged

IDENTITY = "0123456789abcdef" * 2


def merged(text: str, uvn: Uvn, *, prune: bool) -> Merged:
    return merge(
        text, file="uvn.yml", uvn=uvn, prune=prune, hash_password=lambda password, _: f"#{password}"
    )


@pytest.mark.feature("G09")
@settings(max_examples=30, deadline=None)
@given(uvn=uvns(), prune=st.booleans())
def test_a_definition_on_top_of_itself_changes_nothing(uvn: Uvn, prune: bool) -> None:  # noqa: FBT001
    found = merged(to_yaml(uvn), uvn, prune=prune)

    assert codec.encode(found.uvn) == codec.encode(uvn)
    assert not found.lacking


@pytest.mark.feature("G09")
@settings(max_examples=30, deadline=None)
@given(uvn=uvns())
def test_a_new_registry_gets_the_same_definition(uvn: Uvn) -> None:
    text = to_yaml(uvn)
    new, _ = load(text, file="uvn.yml", identity=IDENTITY, hash_password=lambda _: "")

    assert to_yaml(new) == text
    assert [cell.name for cell in new.cells] == [cell.name for cell in uvn.cells]
    assert renumbered(new) == renumbered(replace(uvn, identity=IDENTITY))


@pytest.mark.feature("G09")
@settings(max_examples=30, deadline=None)
@given(uvn=uvns(), other=uvns())
def test_with_prune_the_result_is_the_file(uvn: Uvn, other: Uvn) -> None:
    try:
        found = merged(to_yaml(other), uvn, prune=True).uvn
    except Rejected:
        # A ban that stays may leave no public cell.
        assume(False)  # noqa: FBT003

    assert to_yaml(ordered(found, other)) == to_yaml(carried(other, uvn))
    assert found.next_cell >= uvn.next_cell
    kept = {cell.name: cell.id for cell in uvn.cells}
    for cell in found.cells:
        assert cell.id == kept.get(cell.name, cell.id)
        assert cell.name in kept or cell.id >= uvn.next_cell


@pytest.mark.feature("G09")
@settings(max_examples=30, deadline=None)
@given(uvn=uvns(), other=uvns(), prune=st.booleans())
def test_a_second_time_it_changes_nothing(uvn: Uvn, other: Uvn, prune: bool) -> None:  # noqa: FBT001
    try:
        once = merged(to_yaml(other), uvn, prune=prune).uvn
    except Rejected:
        # What stays of the one and what comes of the other may not go together.
        return

    assert merged(to_yaml(other), once, prune=prune).uvn == once


@pytest.mark.feature("G09")
@settings(max_examples=30, deadline=None)
@given(uvn=uvns(), other=uvns())
def test_without_pruning_nothing_goes(uvn: Uvn, other: Uvn) -> None:
    try:
        found = merged(to_yaml(other), uvn, prune=False)
    except Rejected:
        return

    assert {cell.name for cell in uvn.cells} <= {cell.name for cell in found.uvn.cells}
    named = {cell.name for cell in other.cells}
    for before in uvn.cells:
        if before.name not in named:
            assert before in found.uvn.cells
            assert before.name in found.lacking.cells


def carried(other: Uvn, uvn: Uvn) -> Uvn:
    """`other` with what a file that is silent does not take back: bans, seed."""
    banned = {item.name for item in (*uvn.cells, *uvn.particles) if item.excluded}
    deployment = other.settings.deployment
    seed = deployment.seed or uvn.settings.deployment.seed
    return replace(
        other,
        cells=tuple(replace(c, excluded=c.excluded or c.name in banned) for c in other.cells),
        particles=tuple(
            replace(p, excluded=p.excluded or p.name in banned) for p in other.particles
        ),
        settings=replace(other.settings, deployment=replace(deployment, seed=seed)),
    )


def ordered(found: Uvn, other: Uvn) -> Uvn:
    cells = {cell.name: cell for cell in found.cells}
    particles = {each.name: each for each in found.particles}
    return replace(
        found,
        cells=tuple(cells[cell.name] for cell in other.cells),
        particles=tuple(particles[each.name] for each in other.particles),
    )


def renumbered(uvn: Uvn) -> Uvn:
    cells: tuple[Cell, ...] = tuple(replace(c, id=i) for i, c in enumerate(uvn.cells, 1))
    particles: tuple[Particle, ...] = tuple(
        replace(p, id=i) for i, p in enumerate(uvn.particles, 1)
    )
    return replace(
        uvn,
        cells=cells,
        particles=particles,
        next_cell=len(cells) + 1,
        next_particle=len(particles) + 1,
    )
