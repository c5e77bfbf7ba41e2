"""Definitions and registries for the tests of `uno.registry`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from ipaddress import IPv4Network
from pathlib import Path

import pyrage
import pytest

import age_files
from uno.model.uvn import Cell, Particle, User, Uvn
from uno.registry.changes import operations
from uno.registry.changes.edits import Edited
from uno.registry.changes.operations import Author
from uno.registry.store.directory import Registry

OWNER = "john@example.org"


@pytest.fixture
def cheap_age(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a passphrase of a backup cost next to nothing, to encrypt and to decrypt."""
    monkeypatch.setattr(pyrage.passphrase, "encrypt", age_files.encrypt)


@pytest.fixture
def by() -> Author:
    return Author(who="tester@host", time=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))


@pytest.fixture
def definition() -> Callable[..., Uvn]:
    """A UVN of so many cells, every third private, and so many particles."""

    def make(cells: int = 3, particles: int = 1) -> Uvn:
        return Uvn(
            name="net",
            identity="0123456789abcdef" * 2,
            owner=OWNER,
            address="registry.example.org",
            users=(User(email=OWNER),),
            cells=tuple(
                Cell(
                    id=i,
                    name=f"c{i}",
                    owner=OWNER,
                    address=f"c{i}.example.org" if i % 3 else None,
                    allowed_lans=(IPv4Network(f"192.168.{i}.0/24"),),
                )
                for i in range(1, cells + 1)
            ),
            particles=tuple(
                Particle(id=i, name=f"p{i}", owner=OWNER) for i in range(1, particles + 1)
            ),
            next_cell=cells + 1,
            next_particle=particles + 1,
        )

    return make


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "registry"


@pytest.fixture
def registry(root: Path, definition: Callable[..., Uvn], by: Author) -> Iterator[Registry]:
    """A registry of three cells and a particle, open for change."""
    operations.define_uvn(root, Edited(uvn=definition()), by=by)
    with operations.opened(root, for_change=True) as opened:
        yield opened
