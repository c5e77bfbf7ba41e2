"""Times that people give on the command line: `90m`, `2h`, `1d12h`."""

from __future__ import annotations

import re

from uno.diagnostics import InvalidInput

_UNITS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
_FORM = re.compile(r"(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?", re.ASCII)


def seconds_of(option: str, text: str, *, most: int) -> int:
    """Return a time in seconds, more than 0 and at most `most`. Raises `InvalidInput`."""
    found = _FORM.fullmatch(text.strip())
    parts = zip(_UNITS.values(), found.groups() if found else (), strict=False)
    seconds = sum(size * int(count) for size, count in parts if count)
    if not 0 < seconds <= most:
        raise InvalidInput(
            f"{option} {text}: it is no time from 1s to {most // _UNITS['d']}d",
            "give days, hours, minutes or seconds, like 2h or 1d12h",
        )
    return seconds
