"""The registry's public facts: their size has a bound, whatever is declared."""

from __future__ import annotations

from uno.model.codec import encode
from uno.model.network_directory import (
    MAX_SIZE,
    Directory,
    DirectoryCell,
    DirectoryLink,
    DirectoryParticle,
    DirectoryUser,
    Risk,
    bounded,
)

SMALL = Directory(
    generation=3,
    uvn="corp",
    owner="o@example.org",
    users=(DirectoryUser(email="o@example.org", name="Olga"),),
    cells=(DirectoryCell(id=1, name="a", owner="o@example.org", location="attic"),),
    particles=(DirectoryParticle(id=1, name="phone", owner="o@example.org"),),
)


def test_what_fits_is_left_as_it_is() -> None:
    assert bounded(SMALL) == SMALL


def test_a_cell_and_a_user_are_found_by_id_and_address() -> None:
    assert SMALL.cell(1) == SMALL.cells[0]
    assert SMALL.user("o@example.org") == SMALL.users[0]
    assert (SMALL.cell(9), SMALL.user("x@example.org")) == (None, None)


def test_long_texts_are_cut_and_then_rows_left_out_and_counted() -> None:
    owner = "o@example.org"
    whole = Directory(
        generation=3,
        uvn="corp",
        owner=owner,
        settings={"deployment.strategy_args": "x" * 5000},
        users=(DirectoryUser(email=owner, name="y" * 5000),),
        cells=(DirectoryCell(id=1, name="a", owner=owner, location="z" * 5000),),
        links=tuple(DirectoryLink(number=n, a=1, b=n, slot_a=n, slot_b=0) for n in range(20_000)),
        particles=tuple(
            DirectoryParticle(id=n, name=f"particle-{n}", owner=owner) for n in range(20_000)
        ),
        risks=tuple(Risk(kind="cell", failed=(n,), cut_off=(tuple(range(n)),)) for n in range(400)),
    )
    assert len(encode(whole)) > MAX_SIZE

    found = bounded(whole)

    assert len(encode(found)) <= MAX_SIZE
    assert found.cells[0].location == "z" * 200
    for table in ("users", "links", "particles", "risks"):
        kept, left_out = getattr(found, table), getattr(found, f"{table}_left_out")
        assert kept == getattr(whole, table)[: len(kept)] or table == "users"
        assert len(kept) + left_out == len(getattr(whole, table))
    assert found.users_left_out == 0
    assert len(found.particles) > 1000, "no more is left out than has to be"
