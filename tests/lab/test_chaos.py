"""A short run of chaos; `just chaos` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest
from chaos import chaos, living
from watching import note

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

SEED = 4
FAULTS = 12


@pytest.mark.feature("G04")
@pytest.mark.feature("G12")
def test_whatever_breaks_what_can_be_reached_is_and_all_comes_to_rest(tmp_path: Path) -> None:
    with living(tmp_path, report=note) as agents:
        run = chaos(agents, seed=SEED, report=note)

        run.run(FAULTS)

    assert run.done == FAULTS
    assert run.changes == FAULTS // 3
