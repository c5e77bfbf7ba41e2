from __future__ import annotations

import pytest

from uno.spec.scalars import Meaning, boolean, integer, meaning


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((text, Meaning.NULL) for text in ("", "~", "null", "Null", "NULL")),
        *((text, Meaning.BOOLEAN) for text in ("true", "True", "FALSE")),
        *((text, Meaning.INTEGER) for text in ("0", "-1", "+1", "012", "0x1f", "0o17")),
        *(
            (text, Meaning.FLOAT)
            for text in ("1.", ".5", "1e3", "-1.5E-3", ".inf", "-.INF", ".nan")
        ),
        *((text, Meaning.TEXT) for text in ("yes", "no", "on", "nULL", "1_000", "0b1", "1:30")),
        *((text, Meaning.TEXT) for text in ("2024-01-01", "192.168.1.0/24", "0x", "-", ".", "1e")),
    ],
)
def test_the_core_schema_of_yaml_1_2_holds(text: str, expected: Meaning) -> None:
    assert meaning(text) is expected


@pytest.mark.parametrize(
    ("text", "number"),
    [("012", 12), ("+7", 7), ("0x1F", 31), ("0o17", 15), ("-9223372036854775808", -(2**63))],
)
def test_integers_are_read(text: str, number: int) -> None:
    assert integer(text) == number


@pytest.mark.parametrize("text", ["9223372036854775808", "9" * 5000, "-9223372036854775809"])
def test_integers_of_more_than_64_bits_are_not(text: str) -> None:
    assert integer(text) is None


def test_truth_is_read_in_any_case() -> None:
    assert boolean("TRUE")
    assert not boolean("False")
