from __future__ import annotations

from uno.planning.names import interface


def test_the_number_stands_where_the_pattern_says() -> None:
    assert interface("uwg-b{}", 3) == "uwg-b3"
    assert interface("b{}-uno", 3) == "b3-uno"
