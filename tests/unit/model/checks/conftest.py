from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from uno.model.net import network
from uno.model.uvn import Cell, CellSettings, Particle, Settings, User, Uvn

JOHN = "john@example.org"


@pytest.fixture
def cell() -> Callable[..., Cell]:
    """Make a cell: public by default. Ids follow from the order in `net`."""

    def make(name: str, *lans: str, address: str | None = "", **fields: Any) -> Cell:
        own = {key: fields.pop(key) for key in [*fields] if key in CellSettings.__struct_fields__}
        return Cell(
            id=0,
            name=name,
            owner=fields.pop("owner", JOHN),
            address=f"{name}.example.org" if address == "" else address,
            allowed_lans=tuple(network(lan) for lan in lans),
            settings=CellSettings(**own),
            **fields,
        )

    return make


@pytest.fixture
def net() -> Callable[..., Uvn]:
    """Make a definition out of cells, with John as its owner."""

    def make(*cells: Cell, particles: tuple[str, ...] = (), **fields: Any) -> Uvn:
        numbered = tuple(
            Cell(**{key: getattr(cell, key) for key in cell.__struct_fields__} | {"id": number})
            for number, cell in enumerate(cells, 1)
        )
        named = tuple(Particle(id=i, name=name, owner=JOHN) for i, name in enumerate(particles, 1))
        return Uvn(
            name=fields.pop("name", "net"),
            identity="0" * 32,
            owner=fields.pop("owner", JOHN),
            address=fields.pop("address", "registry.example.org"),
            users=fields.pop("users", (User(email=JOHN),)),
            cells=numbered,
            particles=fields.pop("those", named),
            settings=fields.pop("settings", Settings()),
        )

    return make
