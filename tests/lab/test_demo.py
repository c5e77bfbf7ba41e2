"""`uno lab demo`: the whole product through its own commands, and nothing left of it."""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from types import ModuleType
from typing import Any

import pytest

from uno.cli.commands import run_lab as cli
from uno.diagnostics import UnoError
from uno.host.command import run, start
from uno.lab import lab_state, machine, netns, rehearsal
from uno.lab.carrier import carrier
from uno.lab.demo import probe_particles
from uno.lab.deploy import Deployment
from uno.lab.evidence import lan_pairs, pair_results
from uno.lab.node import as_on_a_stock_host
from uno.lab.ping_matrix import PingMatrix, PingPath
from uno.lab.transfer import transfers

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def four_sites_spec() -> Path:
    """The demo's own specification, as people run it."""
    return Path(__file__).parents[2] / "examples" / "four-sites" / "uvn.yml"


@pytest.mark.feature("F001")
@pytest.mark.feature("F002")
@pytest.mark.feature("F004")
@pytest.mark.feature("F005")
@pytest.mark.feature("F006")
@pytest.mark.feature("F009")
def test_every_lan_host_reaches_every_other_as_itself(running: Deployment) -> None:
    pairs = lan_pairs(running.world)
    paths = [pair.path for pair in pairs]

    with PingMatrix(paths) as prober:
        reached = prober.reach(within=10)
    carried = transfers(paths, servers={pair.target.namespace for pair in pairs})

    found = pair_results(pairs, reached, carried, source_kept=True)
    assert len(found) == 48
    assert [result for result in found if result.fault] == []


@pytest.mark.feature("F010")
@pytest.mark.feature("F011")
@pytest.mark.feature("F012")
@pytest.mark.feature("F013")
@pytest.mark.feature("F071")
def test_every_particle_reaches_everything_through_every_public_cell(running: Deployment) -> None:
    found = probe_particles(running, report=print)

    assert list(found) == [
        (particle, cell)
        for particle in ("jane", "john")
        for cell in ("lan-a", "lan-b", "lan-c", "relay")
    ]
    assert [v for results in found.values() for v in results if v.fault] == []


def test_the_carrier_is_the_link_that_carries(running: Deployment) -> None:
    world = running.world
    target = world.nodes["lan-b-host1"].address()
    assert target is not None

    found = carrier(world, world.nodes["lan-a"], target)

    assert (found.near, found.far) == ("lan-a", "lan-b")
    with PingMatrix([PingPath(world.nodes["lan-a-host1"].namespace, target)]) as prober:
        found.cut(world)
        cut = prober.reach(within=0.2)
        found.restore(world)
        mended = prober.reach(within=10)
    assert cut.missing
    assert not mended.missing


def test_what_is_not_sent_through_a_link_has_no_carrier(running: Deployment) -> None:
    world = running.world
    server = world.nodes["server"].address()
    assert server is not None

    with pytest.raises(UnoError, match=r"not send to .* through a link, but lan0"):
        carrier(world, world.nodes["lan-a"], server)


@pytest.mark.feature("G49")
def test_a_cell_runs_from_plain_files_on_a_host_without_uno(running: Deployment) -> None:
    cell = running.world.nodes["lan-b"]
    made, exported = running.world.registry.directory / "exported", cell.directory / "exported"
    paths = [pair.path for pair in lan_pairs(running.world)]
    running.registry("export", "cell", cell.name, "--files", str(made), "-i", "lan0")
    shutil.copytree(made, exported)
    running.service(cell, "down", "--forget")
    (running.cell_root(cell)).rename(cell.directory / "no-uvn")
    assert "uwg-" not in cell.run(["ip", "-o", "link"]).stdout

    started = cell.run(as_on_a_stock_host(["sh", str(exported / "start")]), timeout=60)

    assert "cannot" not in started.stderr
    with PingMatrix(paths) as prober:
        assert prober.reach(within=60).missing == ()
    cell.run(as_on_a_stock_host(["sh", str(exported / "stop"), "--forget"]), timeout=60)
    for words in (["ip", "-o", "link"], ["ip", "route"], ["nft", "list", "ruleset"]):
        shown = cell.run(words).stdout
        assert [each for each in ("uwg-", "uno", "unreachable") if each in shown] == []
    assert not (cell.directory / "run" / "uno-files").exists()


@pytest.mark.feature("G40")
def test_the_demo_passes_and_leaves_nothing(labs: Path, four_sites_spec: Path) -> None:
    done = run([*DEMO, "-s", str(four_sites_spec)], timeout=120)

    assert "48 of 48 pairs" in done.stdout
    assert done.stdout.count("8 of 8") == 8
    assert "✗" not in done.stdout
    assert re.search(r"to all pairs: \d+\.\d s", done.stdout)
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert not labs.exists()
    assert namespaces_named_in(done.stdout) == []


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
@pytest.mark.parametrize("moment", ["Internet", "uno install"])
def test_a_demo_that_is_ended_by_a_signal_leaves_nothing(
    labs: Path, four_sites_spec: Path, *, number: int, status: int, moment: str
) -> None:
    log = labs.with_suffix(".log")
    demo = start([*DEMO, "-s", str(four_sites_spec)], log=log)
    await_true(lambda: log.exists() and moment in log.read_text(), f"the demo prints {moment}")

    demo.popen.send_signal(number)

    assert demo.wait(20) == status
    assert not labs.exists()
    assert namespaces_named_in(log.read_text()) == []
    log.unlink()


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (lab_state, "save"),
        (machine, "prepare_directory"),
        (machine, "start_holders"),
        (Thread, "start"),
        (rehearsal, "build"),
        (cli, "_print"),
    ],
    ids=["known", "files", "processes", "thread", "built", "reported"],
)
@pytest.mark.parametrize("command", [cli.demo, cli.up])
def test_a_signal_while_the_world_is_made_leaves_nothing(
    labs: Path,
    four_sites_spec: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    command: Callable[[Path], None],
    owner: ModuleType | type[Thread],
    name: str,
) -> None:
    call, made = getattr(owner, name), set[str]()

    def call_and_end(*args: Any, **named: Any) -> Any:
        result = call(*args, **named)
        made.update(lab_state.ids())
        signal.raise_signal(signal.SIGTERM)
        return result

    monkeypatch.setattr(owner, name, call_and_end)
    with pytest.raises(SystemExit) as caught:
        command(four_sites_spec)

    assert caught.value.code == 143
    (lab_id,) = made
    for thread in threading.enumerate():
        if thread.name.startswith("ThreadPoolExecutor"):
            thread.join(10)
    await_true(
        lambda: lab_id not in run(["ps", "axww", "-o", "args"]).stdout,
        "its processes end",
        within=5,
    )
    assert not labs.exists()
    assert [path.name for path in netns.NAMES.iterdir() if lab_id in path.name] == []


@pytest.mark.feature("G40")
def test_a_lab_with_agents_is_changed_by_the_command_that_it_names(
    labs: Path, four_sites_spec: Path
) -> None:
    up = [sys.executable, "-m", "uno", "lab", "up", "--agents", str(four_sites_spec)]

    made = run(up, timeout=180).stdout

    (change,) = re.findall(r"change it: (.*)", made)
    done = run([*shlex.split(change), "-t", "60"], timeout=90)
    assert "uno agent, all healthy after" in made
    assert "5 cells run generation 1" in done.stdout
    assert len(list(labs.iterdir())) == 1


DEMO = (sys.executable, "-m", "uno", "lab", "demo")


@pytest.fixture
def labs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place of its own for the labs of this test."""
    place = Path(tempfile.mkdtemp(prefix="uno-lab-test-", dir="/run"))
    monkeypatch.setenv("UNO_LAB_DIR", str(place))
    yield place
    run([sys.executable, "-m", "uno", "lab", "down", "--all"])
    if place.exists():
        place.rmdir()


def namespaces_named_in(output: str) -> list[str]:
    """The namespaces that are left of the lab that a demo reported."""
    found = re.search(r"lab ([0-9a-f]{6}):", output)
    assert found is not None
    return [path.name for path in netns.NAMES.iterdir() if found[1] in path.name]


def await_true(condition: Callable[[], bool], what: str, *, within: float = 90) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        Event().wait(0.02)
