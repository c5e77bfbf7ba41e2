"""The container image: its actions, and a cell of a lab that is a container.

`just image-test` builds it and runs this with podman, `just image-test docker` with Docker;
elsewhere there is no image, and all of it is skipped.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from engines import Docker, Engine, engine
from watching import await_true, line, note, stream, unreached

from uno import __version__
from uno.host.command import Completed
from uno.lab.agents import Agents
from uno.lab.deploy import Deployment
from uno.lab.node import Node
from uno.lab.ping_matrix import PingFlow

pytestmark = [
    *(pytest.mark.lab, pytest.mark.alone, pytest.mark.timeout(900)),
    pytest.mark.skipif("UNO_IMAGE" not in os.environ, reason="no image is built: just image-test"),
]

CELL = "lan-b"
LABEL = "uno-test"
COMPOSE = Path(__file__).parents[2] / "packaging/container/compose.yml"
# What a cell's container needs where its directory is root's; docs/reference/packaging.md has what
# each is for.
CAPABILITIES = (
    *("KILL", "NET_ADMIN", "NET_BIND_SERVICE", "NET_RAW", "SETGID", "SETUID", "SYS_ADMIN"),
)
# All of them for a cell, and neither a container's profile nor this machine's.
RIGHTS = (
    "--cap-drop=ALL",
    *(f"--cap-add={each}" for each in CAPABILITIES),
    *("--device=/dev/net/tun", "--security-opt=systempaths=unconfined"),
)
SPEC = """\
owner: A B <a@example.org>
users: [{email: a@example.org, password: secret-1234}]
cells: [{name: one, address: one.example.org, allowed_lans: [192.168.1.0/24]}]
"""


@dataclass(frozen=True, kw_only=True)
class Container:
    """A container that runs."""

    name: str
    host: Node
    engine: Engine

    def run(self, *argv: str, check: bool = True) -> Completed:
        return self.engine.call(self.host, "exec", self.name, *argv, check=check)

    def restart(self) -> None:
        self.engine.call(self.host, "restart", "--time", "20", self.name)

    def remove(self) -> None:
        self.engine.remove(self.host, self.name)

    def log(self) -> str:
        shown = self.engine.call(self.host, "logs", self.name, check=False)
        return shown.stdout + shown.stderr

    def await_well(self, *, within: float = 90) -> float:
        """Wait until its health check passes; return the seconds."""

        def is_well() -> bool:
            # The command of the image's health check, which an engine runs each 30 s.
            return self.run("uno-entrypoint", "healthy", check=False).status == 0

        try:
            return await_true(is_well, f"{self.name} is well", within=within)
        except AssertionError as error:
            status = self.run("uno", "service", "status", "-r", "/uvn", check=False)
            raise AssertionError(f"{error}\n{status.stdout}{self.log()}") from error


@dataclass(frozen=True, kw_only=True)
class Image:
    """The image, in an engine."""

    engine: Engine
    name: str

    def action(
        self,
        *words: str,
        mounts: Sequence[str] = (),
        options: Sequence[str] = (),
        host: Node | None = None,
        directory: Path | None = None,
        package: Path | None = None,
        check: bool = True,
    ) -> Completed:
        """Run an action, or any command, of the image to its end."""
        network = () if host is None else (*self.on(host), *RIGHTS)
        own = () if directory is None else of_cell(directory)
        own += () if package is None else (f"{package}:/package.uvn-agent:ro",)
        volumes = [f"--volume={each}" for each in (*mounts, *own)]
        argv = ("run", "--rm", *network, *volumes, *options, self.name, *words)
        return self.engine.call(host, *argv, check=check)

    def on(self, host: Node) -> tuple[str, ...]:
        """The options that have a container on a host of the lab: its network, its names."""
        names = host.directory / "etc/hosts"
        return (*self.engine.network(host), f"--volume={names}:/etc/hosts:ro")

    def started(
        self,
        deployment: Deployment,
        host: Node,
        directory: Path,
        *words: str,
        name: str = "cell",
        options: Sequence[str] = ("--init",),
        rights: Sequence[str] = RIGHTS,
    ) -> Container:
        """Start a container of a cell, which goes on; it installs its package at first."""
        mounts = (*of_cell(directory), f"{deployment.package(host)}:/package.uvn-agent:ro")
        volumes = [f"--volume={each}" for each in mounts]
        named = (f"--name=uno-test-{name}", f"--label={LABEL}", *self.on(host))
        argv = ("run", "--detach", *named, *rights, *volumes, *options, self.name, *words)
        self.engine.call(host, *argv)
        return Container(name=f"uno-test-{name}", host=host, engine=self.engine)


def of_cell(directory: Path) -> tuple[str, ...]:
    """What every container of a cell has: its directory, and the host's /run."""
    run_uno, run_wireguard = directory.parent / "run", directory.parent / "wireguard"
    return (f"{directory}:/uvn", f"{run_uno}:/run/uno", f"{run_wireguard}:/run/wireguard")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """The image that is proved."""
    with engine(tmp_path_factory.mktemp("engine")) as chosen:
        yield Image(engine=chosen, name=os.environ["UNO_IMAGE"])


@pytest.fixture
def uvn(tmp_path: Path) -> Path:
    """A directory of a registry, and a specification beside it."""
    (tmp_path / "my-uvn").mkdir()
    (tmp_path / "uvn.yml").write_text(SPEC)
    return tmp_path


@pytest.fixture(scope="module")
def place(living: Agents) -> Node:
    """The host of the cell that becomes a container: connected before, and now without uno."""
    agent = living.cells[CELL]
    agent.stop()
    living.deployment.service(agent.node, "down", "--forget")
    return agent.node


@pytest.fixture
def directory(image: Image, place: Node, tmp_path: Path) -> Iterator[Path]:
    """The directory of the cell's containers; afterwards nothing of them is on the host."""
    for name in ("uvn", "run", "wireguard"):
        (tmp_path / name).mkdir()
    yield tmp_path / "uvn"
    image.engine.remove_all(place, LABEL)
    image.action("down", "--forget", host=place, directory=tmp_path / "uvn")


@pytest.mark.feature("F117")
@pytest.mark.feature("F122")
def test_any_command_runs_in_the_image(image: Image) -> None:
    assert image.action("uno", "--version").stdout.strip() == __version__
    assert "Usage: uno" in image.action().stdout
    assert image.action("cat", "/etc/debian_version").stdout[:2].isdigit()
    assert image.action("sh", "-c", "exit 3", check=False).status == 3


@pytest.mark.feature("F118")
@pytest.mark.feature("F120")
@pytest.mark.feature("F121")
def test_a_registry_is_defined_and_changed_in_the_mounted_directory(
    image: Image, uvn: Path
) -> None:
    mounts = (f"{uvn}/my-uvn:/uvn", f"{uvn}/uvn.yml:/uvn.yml")

    image.action("define", "my-uvn", "-s", "/uvn.yml", mounts=mounts)
    image.action("redeploy", "-S", "circular", mounts=mounts)
    image.action("fix-file-ownership", "1234:1235", mounts=mounts)

    made = uvn / "my-uvn"
    assert (made / "cells" / "my-uvn__one.uvn-agent").stat().st_uid == 1234
    assert (made / "registry.db").stat().st_gid == 1235
    assert (made / "registry.db").stat().st_mode & 0o777 == 0o600
    assert "circular" in image.action("uno", "config", "uvn", "-r", "/uvn", mounts=mounts).stdout
    os.chown(made / "registry.db", 0, 0)
    image.action("fix-root-permissions", "1234", mounts=mounts)
    assert (made / "registry.db").stat().st_uid == 1234


@pytest.mark.feature("F118")
@pytest.mark.feature("F126")
def test_a_mounted_licence_is_found(image: Image, uvn: Path) -> None:
    mounts = (f"{uvn}/uvn.yml:/rti_license.dat",)
    shown = ("sh", "-c", "echo $RTI_LICENSE_FILE")

    assert image.action(*shown, mounts=mounts).stdout == "/rti_license.dat\n"
    named = image.action(*shown, mounts=mounts, options=("--env=RTI_LICENSE_FILE=/mine.dat",))
    assert named.stdout == "/mine.dat\n"


@pytest.mark.feature("F117")
@pytest.mark.feature("F119")
@pytest.mark.feature("F120")
@pytest.mark.feature("G49")
def test_a_cell_is_a_container_with_few_rights(
    image: Image, living: Agents, place: Node, directory: Path
) -> None:
    deployment = living.deployment
    agent = image.started(deployment, place, directory, "agent")

    note(f"image: well {agent.await_well():.1f} s after its start")
    assert unreached(deployment, within=60) == []

    restarted = flow(deployment, place, agent.restart, agent)
    note(f"image: restart of the only container: {restarted}")
    assert unreached(deployment, within=60) == []
    # The definition changes: the registry's agent delivers it to the container's.
    deployment.registry("define", "particle", "guest")
    assert f"{len(living.cells)} cells run generation" in living.sync("-t", "90").stdout
    agent.remove()
    assert "unreachable" in place.run(["ip", "route"]).stdout
    assert image.action("down", "--forget", host=place, directory=directory).status == 0
    assert [each for each in ("uwg-", "uno0") if each in place.run(["ip", "link"]).stdout] == []


@pytest.mark.feature("F120")
@pytest.mark.feature("G49")
@pytest.mark.feature("G59")
def test_an_agent_beside_what_keeps_the_cell_up_is_replaced_without_loss(
    image: Image, living: Agents, place: Node, directory: Path
) -> None:
    deployment = living.deployment
    kept = image.started(deployment, place, directory, "keep-up", name="kept")
    kept.await_well()
    together = (f"--pid=container:{kept.name}",)
    agent = image.started(deployment, place, directory, "agent", name="agent", options=together)
    agent.await_well()
    assert unreached(deployment, within=60) == []

    def replace() -> None:
        agent.remove()
        image.started(deployment, place, directory, "agent", name="agent", options=together)

    replaced = flow(deployment, place, replace, agent)
    note(f"image: agent replaced beside keep-up: {replaced}")
    assert replaced.lost == 0
    living.registry.stop()
    mounts = (f"{deployment.registry_root}:/uvn",)
    synced = image.action("sync", "-t", "90", mounts=mounts, host=living.registry.node)
    living.registry.start()
    assert f"{len(living.cells)} cells run generation" in synced.stdout
    agent.remove()
    kept.remove()
    # It disconnects at its end, and packets still do not leave in clear text.
    assert "uwg-" not in place.run(["ip", "link"]).stdout
    assert "unreachable" in place.run(["ip", "route"]).stdout


@pytest.mark.feature("F120")
def test_up_and_down_are_for_hosts_whose_kernel_has_wireguard(
    image: Image, living: Agents, place: Node, directory: Path
) -> None:
    deployment = living.deployment

    up = image.action("up", host=place, directory=directory, package=deployment.package(place))

    assert "uno0" in place.run(["ip", "-o", "link"]).stdout
    assert up.status == 0
    image.action("down", "--forget", host=place, directory=directory)
    assert "uno0" not in place.run(["ip", "-o", "link"]).stdout


@pytest.mark.feature("F120")
@pytest.mark.feature("G49")
def test_the_compose_file_is_a_cell_whose_agent_is_replaced_without_loss(
    image: Image, living: Agents, place: Node, directory: Path
) -> None:
    engine = image.engine
    if not isinstance(engine, Docker):
        pytest.skip("of Docker alone: just image-test docker")
    deployment = living.deployment
    package = str(deployment.package(place))
    own = {"UNO_IMAGE": image.name, "UNO_DIRECTORY": str(directory), "UNO_PACKAGE": package}

    engine.compose(place, COMPOSE, "up", "-d", env=own)
    agent = Container(name="container-agent-1", host=place, engine=engine)
    try:
        agent.await_well()
        assert unreached(deployment, within=60) == []

        def replace() -> None:
            words = ("up", "-d", "--no-deps", "--force-recreate", "agent")
            engine.compose(place, COMPOSE, *words, env=own)

        replaced = flow(deployment, place, replace, agent)
        note(f"image: compose: agent replaced: {replaced}")
        assert replaced.lost == 0
    finally:
        engine.compose(place, COMPOSE, "down", env=own)
    assert "uwg-" not in place.run(["ip", "link"]).stdout
    forget = ("run", "--rm", "--no-deps", "network", "down", "--forget")
    engine.compose(place, COMPOSE, *forget, env=own)
    assert "uno0" not in place.run(["ip", "link"]).stdout


@pytest.mark.skipif("UNO_EACH_CAPABILITY" not in os.environ, reason="takes a minute for each")
@pytest.mark.parametrize("lacking", CAPABILITIES)
def test_each_capability_is_missed(
    image: Image,
    living: Agents,
    place: Node,
    directory: Path,
    lacking: str,
) -> None:
    fewer = tuple(each for each in RIGHTS if each != f"--cap-add={lacking}")

    cell = image.started(living.deployment, place, directory, "keep-up", rights=fewer)

    if lacking == "KILL":
        # What runs as another user ends with the container alone.
        cell.await_well()
        down = cell.run("uno", "service", "down", "-r", "/uvn", check=False)
        assert down.status == 2
        assert "may not end FRR's" in down.stderr
        return
    with pytest.raises(AssertionError) as failed:
        cell.await_well(within=30)
    reasons = [each for each in str(failed.value).splitlines() if "cannot" in each or "rmi" in each]
    note(f"without {lacking}: {' | '.join(reasons[:3])[:300]}")


# Helpers


def flow(
    deployment: Deployment, host: Node, change: Callable[[], None], agent: Container
) -> PingFlow:
    """Return what a stream of pings between two LANs loses while something changes."""
    nodes = deployment.world.nodes
    prober, pings = stream([line(nodes[f"{host.name}-host1"], nodes["lan-a-host1"])])
    with prober, pings:
        change()
        agent.await_well()
    (result,) = pings.flows.values()
    return result
