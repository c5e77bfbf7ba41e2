"""An agent on another processor, emulated, in one UVN with agents of this one.

`packaging/emulated` has what it needs and runs this; elsewhere it is skipped.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from watching import note

from uno.host.command import start

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

pytestmark = [
    *(pytest.mark.lab, pytest.mark.alone, pytest.mark.timeout(1200)),
    pytest.mark.skipif("UNO_EMULATED" not in os.environ, reason="nothing is built for another"),
]

CELLS = 3
# Emulated programs take ten times as long.
PATIENCE = 300.0


@pytest.mark.feature("F117")
@pytest.mark.feature("F123")
def test_it_follows_a_change(tmp_path: Path) -> None:
    import scale  # noqa: PLC0415 - of benchmarks, which needs root

    with ExitStack() as stack:
        world, agents = stack.enter_context(scale.fleet(CELLS, tmp_path, PATIENCE))
        *own, other = agents.nodes
        for node in own:
            agents.pids[node.cell] = scale.launch(world, node, agents)
        words = (
            *("nsenter", f"--net=/run/netns/{world.lab.namespace(other.name)}"),
            *("chroot", os.environ["UNO_EMULATED"], os.environ["UNO_EMULATED_PYTHON"]),
            *("/src/tests/lab/emulated_agent.py", str(other.root), str(agents.places), str(CELLS)),
        )
        log = tmp_path / "emulated.log"
        began = time.monotonic()
        process = start(words, log=log, env={**os.environ, "PYTHONPATH": "/src/src"})
        agents.pids[other.cell] = process.pid
        try:
            agents.await_all(lambda view: scale.well(view, CELLS), "not all are well")
            note(f"all well after {time.monotonic() - began:.0f} s")

            took, _, _ = scale.push_to_all(agents, CELLS)

            note(f"a change is confirmed by all after {took:.1f} s")
            view = agents.seen(other.cell)
            assert view is not None
            assert view.generation == 2
        finally:
            note(log.read_text()[-2000:])
            del agents.pids[other.cell]
            process.kill()
        assert log.read_text().split()[0] == "aarch64"
