"""Times that people give."""

from __future__ import annotations

import pytest

from uno.cli.input.durations import seconds_of
from uno.diagnostics import InvalidInput


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("45s", 45),
        ("90m", 5400),
        ("2h", 7200),
        ("1d12h", 129_600),
        ("1h30m15s", 5415),
        (" 2h ", 7200),
    ],
)
def test_a_time_has_days_hours_minutes_and_seconds(text: str, seconds: int) -> None:
    assert seconds_of("--for", text, most=14 * 86_400) == seconds


@pytest.mark.parametrize(
    "text", ["", "0s", "2", "-2h", "2 h", "h", "2h1d", "15d", "9999999999d", "٣h"]
)
def test_anything_else_is_refused_with_what_to_give(text: str) -> None:
    with pytest.raises(InvalidInput, match="from 1s to 14d") as refused:
        seconds_of("--for", text, most=14 * 86_400)
    assert "2h" in refused.value.hint
