"""Interface names from their patterns."""

from __future__ import annotations


def interface(pattern: str, number: int) -> str:
    """Return the interface name that `pattern`, with `{}` in it, has for `number`."""
    # Not `format`: the pattern comes from a person, and may hold other braces.
    return pattern.replace("{}", str(number))
