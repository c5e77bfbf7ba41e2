"""A share of what `scripts/fuzz.py` feeds: statements and packages with valid signatures."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "fuzz.py"
SEED = 17

pytestmark = pytest.mark.feature("G53")


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up by name.
    sys.modules["fuzz"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def target(fuzz: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return fuzz.make_target(tmp_path_factory.mktemp("fuzz"))


def test_altered_statements_of_a_member_crash_nothing(fuzz: ModuleType, target: Any) -> None:
    result = fuzz.feed_statements(target, 1500, seed=SEED)

    assert result.first == []
    assert result.accepted > 100
    assert result.refused > 300


def test_altered_packages_are_refused_or_whole(fuzz: ModuleType, target: Any) -> None:
    result = fuzz.feed_packages(target, 800, seed=SEED)

    assert result.first == []
    assert result.accepted < 100
