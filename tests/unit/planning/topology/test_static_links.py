from __future__ import annotations

from collections.abc import Callable

import pytest

from uno.diagnostics import Rejected
from uno.model.uvn import Uvn
from uno.planning.topology.static_links import pairs


@pytest.mark.feature("F058")
@pytest.mark.feature("F060")
def test_links_are_those_written_down_whichever_side_names_them(define: Callable[..., Uvn]) -> None:
    cells = define(public=2, private=2).cells

    links = pairs(cells, {"c2": ["c1", "c3"], "c1": ["c2"], "c4": ["c2"]})

    assert links == {(1, 2), (2, 3), (2, 4)}


@pytest.mark.feature("F058")
def test_cells_that_take_no_part_are_passed_over(define: Callable[..., Uvn]) -> None:
    cells = define(public=3).cells

    assert pairs(cells[:2], {"c1": ["c2", "c3"], "c3": ["c2"]}) == {(1, 2)}


@pytest.mark.feature("F058")
def test_a_cell_is_not_linked_with_itself(define: Callable[..., Uvn]) -> None:
    cells = define(public=2).cells

    assert pairs(cells, {"c1": ["c1", "c2"]}) == {(1, 2)}


@pytest.mark.feature("F058")
def test_two_private_cells_are_refused(define: Callable[..., Uvn]) -> None:
    cells = define(public=1, private=2).cells

    with pytest.raises(Rejected, match="c2 and c3, and neither has a public address"):
        pairs(cells, {"c2": ["c3"]})
