"""Lets every test import `strategies` and scripts, whatever its folder; options of the tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from uno.host import command

# How long an example takes depends more on the machine than on uno: `benchmarks/` measures.
settings.register_profile("uno", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("uno")

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
sys.path.append(str(HERE.parent / "scripts"))


@pytest.fixture(autouse=True, scope="session")
def _processes_of_tests_are_like_this_one() -> Iterator[None]:
    """Have processes of tests import the tree that is tested, and find the labs of their test."""
    with pytest.MonkeyPatch.context() as patched:
        names = (*command._INHERITED, "PYTHONPATH", "UNO_LAB_DIR")
        patched.setattr(command, "_INHERITED", names)
        yield


def pytest_addoption(parser: pytest.Parser) -> None:
    """How much the lab does; `make test` does less than is promised, in less time."""
    help_ = "how long the lab runs without agents: uno promises ten minutes"
    parser.addoption("--without-agents", type=float, default=20, metavar="SECONDS", help=help_)
    help_ = "release each setting of the walk alone"
    parser.addoption("--settings-alone", action="store_true", help=help_)
