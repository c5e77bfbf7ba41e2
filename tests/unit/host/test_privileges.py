"""What an agent keeps of root's privileges."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from uno.host.command import run
from uno.host.privileges import OF_CELL, OF_REGISTRY, Capability, needed

# Gives up all but two capabilities, and prints its state and that of a program.
GIVE_UP = """
from pathlib import Path
from uno.host.command import run
from uno.host.privileges import Capability, restrict

restrict({Capability.CAP_KILL, Capability.CAP_NET_ADMIN})
print(Path("/proc/self/status").read_text(), run(["cat", "/proc/self/status"]).stdout, sep="|")
"""


@pytest.mark.feature("G55")
def test_neither_an_agent_nor_a_program_has_more_capabilities_than_those_kept() -> None:
    shown = run([sys.executable, "-c", GIVE_UP]).stdout

    for status in shown.split("|"):
        found = dict(line.split(":\t") for line in status.splitlines() if ":\t" in line)
        assert found["NoNewPrivs"] == "1"
        kept = {Capability.CAP_KILL, Capability.CAP_NET_ADMIN} if os.geteuid() == 0 else set()
        for capabilities in ("CapPrm", "CapEff"):
            bits = int(found[capabilities], 16)
            # Kept where the limit of the niceness cannot be raised, as in some containers.
            bits &= ~(1 << Capability.CAP_SYS_NICE)
            assert {number for number in range(64) if bits >> number & 1} == kept
        if os.geteuid() == 0:
            assert found["CapBnd"] == found["CapPrm"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: directories of other users")
def test_files_of_others_are_read_only_where_the_agents_directory_is_anothers(
    tmp_path: Path,
) -> None:
    others = tmp_path / "others"
    (others / "cell").mkdir(parents=True)
    foreign = {Capability.CAP_CHOWN, Capability.CAP_DAC_OVERRIDE}
    tmp_path.chmod(0o755)

    assert needed(OF_CELL, directory=others / "cell") == OF_CELL
    assert needed(OF_CELL, directory=others / "none") == OF_CELL | foreign

    os.chown(others / "cell", 1000, 1000)
    assert needed(OF_REGISTRY, directory=others / "cell") == OF_REGISTRY | foreign

    os.chown(others / "cell", 0, 0)
    (others / "cell" / "restored").touch()
    assert needed(OF_CELL, directory=others / "cell") == OF_CELL
    os.chown(others / "cell" / "restored", 1000, 1000)
    assert needed(OF_CELL, directory=others / "cell") == OF_CELL | foreign

    os.chown(others / "cell" / "restored", 0, 0)
    os.chown(others, 1000, 1000)
    others.chmod(0o700)
    assert needed(OF_CELL, directory=others / "cell") == OF_CELL | foreign

    others.chmod(0o711)
    assert needed(OF_CELL, directory=others / "cell") == OF_CELL
