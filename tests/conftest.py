"""Lets every test import `strategies` and scripts, whatever its folder; options of the tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes depends more on the machine than on uno: `benchmarks/` measures.
settings.register_profile("uno", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("uno")

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
sys.path.append(str(HERE.parent / "scripts"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long the lab runs without agents; ten minutes are what uno promises."""
    parser.addoption("--without-agents", type=float, default=20, metavar="SECONDS")
