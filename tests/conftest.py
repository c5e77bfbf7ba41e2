"""Lets every test import `strategies` and scripts, whatever its folder; options of the tests."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from argon2 import Parameters, profiles
from hypothesis import HealthCheck, settings

from uno.host import command
from uno.model import password_hash
from uno.registry.store import key_wrapping
from uno.registry.store.key_wrapping import KdfParameters

# How long an example takes depends more on the machine than on uno: `benchmarks/` measures.
settings.register_profile("uno", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("uno")

# As they are before a fixture replaces them.
PASSWORD_COSTS, PASSPHRASE_COSTS = profiles.RFC_9106_LOW_MEMORY, key_wrapping.fresh_parameters
LEAST_COST = password_hash.LEAST_COST

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


@pytest.fixture(autouse=True, scope="session")
def _passwords_cost_nothing() -> Iterator[None]:
    """Have argon2id in this process cost next to nothing, but for `full_password_costs`."""

    full = PASSWORD_COSTS
    cheapest = Parameters(
        type=full.type,
        version=full.version,
        salt_len=full.salt_len,
        hash_len=full.hash_len,
        time_cost=1,
        memory_cost=8,
        parallelism=1,
    )

    def cheap() -> KdfParameters:
        return KdfParameters(salt=secrets.token_bytes(16), passes=1, memory=8, lanes=1)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(profiles, "RFC_9106_LOW_MEMORY", cheapest)
        patched.setattr(password_hash, "LEAST_COST", 0)
        patched.setattr(key_wrapping, "fresh_parameters", cheap)
        yield


@pytest.fixture(scope="module")
def full_password_costs() -> Iterator[None]:
    """Have argon2id cost what it costs on a host, in a module that is about that."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(profiles, "RFC_9106_LOW_MEMORY", PASSWORD_COSTS)
        patched.setattr(password_hash, "LEAST_COST", LEAST_COST)
        patched.setattr(key_wrapping, "fresh_parameters", PASSPHRASE_COSTS)
        yield


def pytest_addoption(parser: pytest.Parser) -> None:
    """How much the lab does; `make test` does less than is promised, in less time."""
    help_ = "how long the lab runs without agents: uno promises ten minutes"
    parser.addoption("--without-agents", type=float, default=20, metavar="SECONDS", help=help_)
    help_ = "release each setting of the walk alone"
    parser.addoption("--settings-alone", action="store_true", help=help_)
