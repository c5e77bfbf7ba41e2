"""Definitions to plan."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network
from typing import Any

import pytest
from msgspec.structs import replace

from uno.model.uvn import Cell, DeploymentSettings, Particle, Settings, Strategy, User, Uvn

OWNER = "owner@example.org"


@pytest.fixture
def define() -> Callable[..., Uvn]:
    """Return a function that makes a definition of some public, then some private cells."""
    return _define


def _define(
    *,
    public: int = 0,
    private: int = 0,
    particles: int = 0,
    deployment: dict[str, Any] | None = None,
    **settings: Any,
) -> Uvn:
    cells = [_cell(number) for number in range(1, public + private + 1)]
    cells[public:] = [replace(cell, address=None) for cell in cells[public:]]
    return Uvn(
        name="net",
        identity="0" * 32,
        owner=OWNER,
        address="registry.example.org",
        users=(User(email=OWNER),),
        cells=tuple(cells),
        particles=tuple(
            Particle(id=number, name=f"p{number}", owner=OWNER)
            for number in range(1, particles + 1)
        ),
        settings=Settings(deployment=_deployment(deployment or {}), **settings),
        next_cell=public + private + 1,
        next_particle=particles + 1,
    )


def _deployment(options: dict[str, Any]) -> DeploymentSettings:
    strategy = Strategy(options.get("strategy", "crossed"))
    return DeploymentSettings(**{**options, "strategy": strategy})


def _cell(number: int) -> Cell:
    return Cell(
        id=number,
        name=f"c{number}",
        owner=OWNER,
        address=f"c{number}.example.org",
        allowed_lans=(IPv4Network(f"192.168.{number}.0/24"),),
    )
