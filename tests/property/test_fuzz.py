"""A share of what `scripts/fuzz.py` feeds: statements and packages with valid signatures."""

from __future__ import annotations

from typing import Any

import fuzz
import pytest

SEED = 17

pytestmark = pytest.mark.feature("G53")


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return fuzz.make_target(tmp_path_factory.mktemp("fuzz"))


def test_altered_statements_of_a_member_crash_nothing(target: Any) -> None:
    result = fuzz.feed_statements(target, 1500, seed=SEED)

    assert result.first == []
    assert result.accepted > 100
    assert result.refused > 300


def test_altered_packages_are_refused_or_whole(target: Any) -> None:
    result = fuzz.feed_packages(target, 800, seed=SEED)

    assert result.first == []
    assert result.accepted < 100
