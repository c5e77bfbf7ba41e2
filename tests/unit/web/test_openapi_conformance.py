"""The page's API does what its description says, for whatever is sent to it (schemathesis)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import web_pages
from uno.host.command import run

# What the description allows and the page refuses: names of places that are none.
_CONFIG = """\
[auth.openapi.session]
api_key = "{token}"

[[operations]]
include-path = "/api/v1/explain"

[operations.checks.positive_data_acceptance]
expected-statuses = [200, 401, 422]
"""


@pytest.mark.feature("G44")
def test_every_answer_to_generated_requests_is_as_described(tmp_path: Path) -> None:
    cell, work = tmp_path / "cell", tmp_path / "work"
    cell.mkdir()
    work.mkdir()
    with web_pages.in_background(cell) as page:
        browser = page.browser()
        browser.log_in()
        config = _CONFIG.format(token=browser.cookies["__Host-uno"])
        (work / "schemathesis.toml").write_text(config)
        description = work / "openapi.json"
        description.write_bytes(browser.ask("GET", "/api/v1/openapi.json").body)

        argv = [
            # It keeps what it has found where it runs.
            *("sh", "-c", 'cd "$0" && exec "$@"', str(work)),
            *(sys.executable, "-m", "schemathesis.cli", "run", str(description)),
            *("--url", f"https://{web_pages.ADDRESS}:{page.port}", "--tls-verify", "false"),
            *("--seed", "1", "--phases", "coverage,fuzzing", "--max-examples", "5"),
            # One is endless, and the other ends the session of all others.
            *("--exclude-path", "/api/v1/stream", "--exclude-path", "/api/v1/logout"),
            # POST to what is only read is refused before it is known where it goes.
            *("--exclude-checks", "unsupported_method"),
            *("--no-color", "--suppress-health-check", "all", "--warnings", "off"),
        ]
        done = run(argv, timeout=250, check=False)

        assert done.status == 0, done.stdout
        assert browser.ask("GET", "/api/v1/session").status == 200
