"""What FRR's bgpd reads when it starts: the same configuration, in a fraction of the time."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from transitions import planned, uvn
from uno.host.command import run
from uno.host.routing_frr import vty
from uno.model.routing_policy import routing_policy
from uno.planning.cell_plans import cell_plans, roster
from uno.render import frr

BGPD = Path("/usr/lib/frr/bgpd")
# Seconds of a processor.
ENOUGH = 5.0

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not BGPD.exists(), reason="FRR's daemons need root"
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a folder that the user frr can enter; the daemons of its folders are ended."""
    with TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)
        yield folder
        for pid in folder.glob("*/bgpd.pid"):
            os.kill(int(pid.read_text()), signal.SIGTERM)


def test_bgpd_runs_with_the_same_configuration(folder: Path) -> None:
    text = bgpd_text(cells=40)

    as_shown = running(folder / "shown", text)
    as_started = running(folder / "startup", frr.startup(text))

    assert as_started == as_shown
    assert "route-map MEMBERS-V4 permit 40" in as_shown


def test_a_short_configuration_is_read_as_it_is() -> None:
    text = bgpd_text(cells=6)

    assert frr.startup(text) == text
    assert frr.startup(bgpd_text(cells=40)) != bgpd_text(cells=40)


def test_nothing_of_the_configuration_is_refused(folder: Path) -> None:
    file = folder / "bgpd.startup"
    file.write_text(frr.startup(bgpd_text(cells=40)))

    done = run(["unshare", "--net", str(BGPD), "--dryrun", "--config_file", str(file)])

    assert not re.search("config line|rejected", done.stdout + done.stderr)


def test_bgpd_reads_two_hundred_cells_in_a_moment(folder: Path) -> None:
    file = folder / "bgpd.startup"
    file.write_text(frr.startup(bgpd_text(cells=200)))
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime

    run(["unshare", "--net", str(BGPD), "--dryrun", "--config_file", str(file)], timeout=120)

    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < ENOUGH


def bgpd_text(*, cells: int) -> str:
    plan = planned(uvn(cells=cells))
    policy = routing_policy(cell_plans(plan)[1], roster(plan), lans=())
    return dict(frr.daemons(policy))["bgpd"]


def running(folder: Path, text: str) -> str:
    """Start bgpd with a text as its file, and return the configuration that it runs with."""
    folder.mkdir()
    file = folder / "bgpd.conf"
    file.write_text(text)
    for each in (folder, file):
        shutil.chown(each, "frr", "frr")
    words = ["-d", "--vty_socket", folder, "-z", folder / "z", "-P", "0", "-f", file]
    pid = folder / "bgpd.pid"
    run(["unshare", "--net", str(BGPD), *map(str, words), "-i", str(pid), "-p", "1790"])
    deadline = time.monotonic() + 30
    while True:
        # It reads its configuration for seconds on a busy machine.
        with suppress(FileNotFoundError, ConnectionRefusedError, TimeoutError):
            return vty.query(folder, "bgpd", "show running-config")
        assert time.monotonic() < deadline, "bgpd does not serve"
        threading.Event().wait(0.01)
