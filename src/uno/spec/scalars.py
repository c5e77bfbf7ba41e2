"""Resolution of plain scalars: the core schema of YAML 1.2 (section 10.3.2), and nothing of 1.1.

So `no` is text, 012 is twelve, and 2024-01-01 is text.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uno.spec.tree import Scalar


class Meaning(Enum):
    """The type of a scalar."""

    NULL = auto()
    BOOLEAN = auto()
    INTEGER = auto()
    FLOAT = auto()
    TEXT = auto()


def meaning(text: str) -> Meaning:
    """Return the type of `text` without quotes."""
    return next((what for what, form in _FORMS if re.fullmatch(form, text)), Meaning.TEXT)


def means(scalar: Scalar) -> Meaning:
    """Return the type of a scalar; one in quotes is text."""
    return meaning(scalar.text) if scalar.is_plain else Meaning.TEXT


def integer(text: str) -> int | None:
    """Return the number that `text` writes, None if it has more than 64 bits."""
    if len(text) > _LONGEST_INTEGER:
        return None
    # Base 0 reads 0x and 0o, but not leading zeros.
    base = 0 if text[:2] in {"0x", "0o"} else 10
    number = int(text, base)
    return number if -(2**63) <= number < 2**63 else None


def boolean(text: str) -> bool:
    """Return the truth value that `text` writes."""
    return text.lower() == "true"


# 64 bits in octal are 22 digits; a few leading zeros do no harm.
_LONGEST_INTEGER = 40
_FORMS = (
    (Meaning.NULL, r"null|Null|NULL|~|"),
    (Meaning.BOOLEAN, r"true|True|TRUE|false|False|FALSE"),
    (Meaning.INTEGER, r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"),
    (Meaning.FLOAT, r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"),
    (Meaning.FLOAT, r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"),
)
