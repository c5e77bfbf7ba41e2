from __future__ import annotations

from collections.abc import Callable

import pytest

from uno.diagnostics import Severity
from uno.model.checks import check
from uno.model.uvn import Cell, Particle, User, Uvn

Make = Callable[..., Uvn]
MakeCell = Callable[..., Cell]
JOHN, JANE = "john@example.org", "jane@example.org"


@pytest.mark.feature("F024")
def test_two_cells_of_one_name_are_both_named(net: Make, cell: MakeCell) -> None:
    (finding,) = check(net(cell("a"), cell("b"), cell("a", address="x.example.org")))

    assert finding.what == "two cells have the name 'a'"
    assert finding.path == ("cells", 2, "name")
    assert finding.also == (("cells", 0, "name"),)


def test_two_particles_have_two_names(net: Make, cell: MakeCell) -> None:
    (finding,) = check(net(cell("a"), particles=("x", "x")))

    assert finding.path == ("particles", 1, "name")


def test_a_cell_and_a_particle_may_have_the_same_name(net: Make, cell: MakeCell) -> None:
    assert check(net(cell("john"), particles=("john",))) == ()


def test_e_mail_addresses_differ_in_more_than_case(net: Make, cell: MakeCell) -> None:
    users = (User(email="John@example.org"), User(email=JOHN))

    (finding,) = check(net(cell("a"), users=users))

    assert finding.path == ("users", 1, "email")


@pytest.mark.feature("F028")
def test_every_owner_is_a_user(net: Make, cell: MakeCell) -> None:
    uvn = net(cell("a", owner=JANE), those=(Particle(id=1, name="p", owner=JANE),))

    assert [finding.path for finding in check(uvn)] == [
        ("cells", 0, "owner"),
        ("particles", 0, "owner"),
    ]


@pytest.mark.feature("F028")
def test_an_unknown_owner_of_all_is_reported_once(net: Make, cell: MakeCell) -> None:
    (finding,) = check(net(cell("a"), cell("b"), users=(User(email=JANE),)))

    assert finding.path == ("owner",)


def test_an_e_mail_address_that_is_nearly_right_is_offered(net: Make, cell: MakeCell) -> None:
    (finding,) = check(net(cell("a", owner="jon@example.org")))

    assert finding.hint == f"did you mean {JOHN}?"


def test_the_owner_of_the_uvn_is_not_excluded(net: Make, cell: MakeCell) -> None:
    (finding,) = check(net(cell("a"), users=(User(email=JOHN, excluded=True),)))

    assert (finding.path, finding.severity) == (("owner",), Severity.ERROR)


@pytest.mark.feature("F046")
def test_an_excluded_owner_of_a_cell_is_a_warning(net: Make, cell: MakeCell) -> None:
    # A warning, so that a user can be locked out before their cells are moved.
    uvn = net(
        cell("a", owner=JANE),
        cell("b", owner=JANE, excluded=True),
        users=(User(email=JANE, excluded=True), User(email=JOHN)),
        those=(Particle(id=1, name="p", owner=JANE),),
    )

    assert [(finding.path, finding.severity) for finding in check(uvn)] == [
        (("cells", 0, "owner"), Severity.WARNING),
        (("particles", 0, "owner"), Severity.WARNING),
    ]
