from __future__ import annotations

from collections.abc import Callable

import pytest

from uno.diagnostics import Severity
from uno.model.checks import check
from uno.model.uvn import Cell, User, Uvn

# The costs of passwords are what this is about.
pytestmark = pytest.mark.usefixtures("full_password_costs")

Make = Callable[..., Uvn]
MakeCell = Callable[..., Cell]
JOHN = "john@example.org"
# 8 bytes of salt, 16 of hash.
SALT, HASH = "c2FsdHNhbHQ", "aGFzaGhhc2hoYXNoaGFzaA"


def phc(cost: str, *, salt: str = SALT, digest: str = HASH) -> str:
    return f"$argon2id$v=19${cost}${salt}${digest}"


@pytest.mark.parametrize("cost", ["m=65536,t=3,p=4", "m=7168,t=5,p=1", "m=262144,t=16,p=16"])
def test_a_hash_that_costs_enough_and_not_too_much_is_fine(
    net: Make, cell: MakeCell, cost: str
) -> None:
    assert check(net(cell("a"), users=(User(email=JOHN, password=phc(cost)),))) == ()


@pytest.mark.feature("F116")
@pytest.mark.parametrize(
    ("password", "what"),
    [
        (
            phc("m=64,t=1,p=1"),
            "is cheap to guess from (64 KiB, 1 pass, 1 lane, 8 bytes of salt, 16 bytes of hash)",
        ),
        (phc("m=7168,t=4,p=1"), "is cheap to guess from (7,168 KiB, 4 passes, 1 lane, "),
        (phc("m=4194304,t=1,p=1"), "is none that a page checks (4,194,304 KiB, "),
        (phc("m=65536,t=17,p=1"), "is none that a page checks (65,536 KiB, 17 passes, "),
        (phc("m=65536,t=3,p=17"), "is none that a page checks (65,536 KiB, 3 passes, 17 lanes, "),
        (phc("m=31,t=9999,p=4"), "is none that a page checks (31 KiB, "),
        (phc("m=65536,t=3,p=4", salt="c2E"), "4 lanes, 2 bytes of salt, 16 bytes of hash), so"),
        (phc("m=65536,t=3,p=4", digest="aGE"), "4 lanes, 8 bytes of salt, 2 bytes of hash), so"),
    ],
)
def test_a_hash_of_another_cost_is_named_with_what_to_do(
    net: Make, cell: MakeCell, password: str, what: str
) -> None:
    users = (User(email=JOHN), User(email="jane@example.org", password=password))

    (finding,) = check(net(cell("a"), users=users))

    assert finding.severity is Severity.WARNING
    assert finding.path == ("users", 1, "password")
    assert finding.what.startswith("the password's hash of 'jane@example.org' is ")
    assert what in finding.what
    assert "write the password itself" in finding.hint
