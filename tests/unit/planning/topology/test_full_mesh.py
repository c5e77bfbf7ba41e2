from __future__ import annotations

import pytest

from uno.planning.topology.full_mesh import pairs


@pytest.mark.feature("F057")
def test_every_cell_is_linked_with_every_public_one() -> None:
    assert pairs([1, 4], [2, 3]) == {(1, 4), (1, 2), (1, 3), (2, 4), (3, 4)}
