"""A cell's agent with a host in memory: `emulated_agent.py DIRECTORY RUN CELLS`.

`packaging/emulated` runs it on another processor.
"""

from __future__ import annotations

import platform
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from agent_board import AgentBoard
from control_plane import serve_cell


def main(directory: str, run: str, cells: str) -> int:
    """Be the agent until killed; print the processor first."""
    sys.stdout.write(f"{platform.machine()}\n")
    sys.stdout.flush()
    return serve_cell(Path(directory), Path(run), AgentBoard(int(cells)))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
