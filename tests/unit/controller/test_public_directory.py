"""What the registry states of a generation to all cells."""

from __future__ import annotations

from hypothesis import given, settings

from strategies import uvns
from uno.controller.public_directory import directory_of
from uno.model import codec
from uno.model.network_directory import Directory
from uno.model.uvn import Uvn
from uno.planning.planner import plan, with_keys


@settings(max_examples=30)
@given(uvn=uvns(max_cells=6))
def test_everything_that_is_declared_is_stated_once_and_nothing_secret(uvn: Uvn) -> None:
    made = with_keys(plan(uvn, None), {"cell-1": "cHVibGlj"})

    found = directory_of(7, uvn, made)

    assert {cell.id for cell in found.cells} == {cell.id for cell in uvn.cells}
    assert {cell.id for cell in found.cells if cell.banned} == {
        cell.id for cell in uvn.cells if cell.excluded
    }
    assert {(link.a, link.b) for link in found.links} == {link.cells for link in made.links}
    assert [each.email for each in found.users] == [user.email for user in uvn.users]
    active = {each.id for each in uvn.active_particles}
    assert {each.id for each in found.particles if not each.banned} == active
    assert (found.ring, found.strategy) == (made.ring, made.strategy)
    text = codec.encode(found)
    assert codec.decode(text, Directory) == found
    assert not any(key.encode() in text for key in made.public_keys.values())
    assert b"argon2" not in text
