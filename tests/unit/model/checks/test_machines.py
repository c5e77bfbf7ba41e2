"""A middleware that not every machine runs is named, with one that every machine does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from uno.diagnostics import Severity
from uno.model.checks import check
from uno.model.uvn import Cell, Middleware, Settings, Uvn


@pytest.mark.feature("G58")
@pytest.mark.parametrize(
    ("middleware", "machines"),
    [
        (Middleware.TCP, None),
        (Middleware.CYCLONE, "x86-64 with glibc"),
        (Middleware.CONNEXT, "x86-64 and ARM64 with glibc"),
    ],
)
def test_a_middleware_that_runs_on_some_machines_only_is_a_warning(
    net: Callable[..., Uvn],
    cell: Callable[..., Cell],
    middleware: Middleware,
    machines: str | None,
) -> None:
    uvn = net(cell("a", "192.168.1.0/24"), settings=Settings(middleware=middleware))

    found = [each for each in check(uvn) if each.path == ("settings", "middleware")]

    assert [each.severity for each in found] == [Severity.WARNING] * (machines is not None)
    for each in found:
        assert f"agents on {middleware} run on {machines};" in each.what
        assert "choose tcp" in each.hint
