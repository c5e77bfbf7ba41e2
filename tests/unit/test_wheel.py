"""What the wheel has beside the modules."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]


@pytest.mark.feature("G47")
@pytest.mark.feature("G49")
def test_the_man_page_is_installed_where_man_finds_it() -> None:
    # man(1) searches ../share/man beside each directory of the PATH: manpath(1).
    project = tomllib.loads((TOP / "pyproject.toml").read_text())
    shared = project["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]

    ((page, place),) = shared.items()
    assert (TOP / page).read_text().startswith(".")
    assert place == f"share/man/man1/{Path(page).name}"
