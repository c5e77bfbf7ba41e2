"""Chaos: random faults in a running UVN, changes in the middle of them, and what must hold of it.

    python tests/lab/chaos.py [--seed N] [--faults N] [--watch SECONDS]

Five cells with agents and a registry. Every second or so something breaks or is mended; every few
seconds the registry is changed. After every few faults the world is left alone until the LANs
that reach each other are those of the model (`uno.lab.reachability_oracle`), with the
cuts as they are; now and then everything is mended, and then all has to be consistent. All the time
every cell runs a package that its registry signed and released. The same seed gives the same
faults, though not at the same moments.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from watching import address_of, alive, pause, pids, power_cut

from uno import control
from uno.agent.commit.ledger import CURRENT, Ledger
from uno.diagnostics import TransientFailure, UnoError
from uno.host.command import CommandFailed
from uno.lab import rehearsal
from uno.lab.agents import Agent, Agents
from uno.lab.arrange import arrange
from uno.lab.cleanup import ended_by_signals
from uno.lab.deploy import Deployment
from uno.lab.node import Node, Program
from uno.lab.ping_matrix import PingMatrix, PingPath
from uno.lab.reachability_oracle import Holding, Pair, ReachabilityModel
from uno.lab.world import World, temporary_world
from uno.lab.world_layout import Role
from uno.model.package import Manifest
from uno.render import package_file

SPEC = Path(__file__).parents[2] / "examples" / "four-sites" / "uvn.yml"

# Faults until the world is left alone, and quiet moments until everything is mended.
ROUND = 6
CALM = 4
# Seconds until the lab has to match the model, and until all is consistent.
QUIET_LIMIT = 60.0
CALM_LIMIT = 180.0
# Cuts and dark cells at the same time, at the most: or there would be nothing left to break.
MOST_CUTS = 3
MOST_DARK = 1

Report = Callable[[str], None]


class Broken(TransientFailure):
    """Something that must hold does not."""


@dataclass(kw_only=True)
class Due:
    """Something that is going to happen, as an init system would have it, or the power's return."""

    at: float
    agent: Agent
    boots: bool = False


@dataclass(kw_only=True)
class Chaos:
    """A run. `model` is what the world is like, as far as the run knows; `done` counts faults."""

    agents: Agents
    random: Random
    report: Report
    model: ReachabilityModel
    names: Mapping[int, str]
    registry_key: str
    began: float = field(default_factory=time.monotonic)
    done: int = 0
    changes: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    slowest: float = 0.0
    lossy: bool = False
    released: dict[int, set[str]] = field(default_factory=dict)
    due: list[Due] = field(default_factory=list)
    syncs: list[Program] = field(default_factory=list)

    @property
    def world(self) -> World:
        return self.agents.deployment.world

    def run(self, faults: int) -> None:
        """Do this many faults. Raises `Broken`."""
        self.note_released()
        quiets = 0
        while self.done < faults:
            for _ in range(min(ROUND, faults - self.done)):
                self.fault()
                self.wait(self.random.uniform(0.2, 2.0))
            quiets += 1
            last = self.done >= faults
            if last or quiets % CALM == 0:
                self.calm()
            else:
                self.quiet()
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.counts.items()))
        self.note(f"{self.done} faults ({kinds}), {self.changes} changes")
        self.note(f"slowest to match the model: {self.slowest:.1f} s")

    def fault(self) -> None:
        """Break or restore something, or change the registry."""
        kinds = self.possible()
        kind = self.random.choices(list(kinds), [weight for weight, _ in kinds.values()])[0]
        self.done += 1
        self.counts[kind] = self.counts.get(kind, 0) + 1
        kinds[kind][1]()
        if self.done % 3 == 0:
            self.change()

    def possible(self) -> dict[str, tuple[int, Callable[[], None]]]:
        """What can be done now, each with how often it should be."""
        kinds: dict[str, tuple[int, Callable[[], None]]] = {
            "loss": (2, self.lose),
            "agent": (4, self.kill_agent),
            "registry": (3, self.kill_registry),
            "frr": (3, self.kill_daemon),
            "wireguard": (2, self.kill_wireguard),
        }
        if len(self.model.cuts) < MOST_CUTS:
            kinds["cut"] = (5, self.cut)
        if self.model.cuts:
            kinds["restore"] = (4, self.restore)
        if len(self.model.dark) < MOST_DARK:
            kinds["reboot"] = (2, self.reboot)
        return kinds

    # What breaks.

    def cut(self) -> None:
        pairs = sorted(self.model.links() | {(0, cell) for cell in self.names if cell})
        pair = self.random.choice([each for each in pairs if each not in self.model.cuts])
        self.world.cut(*(self.names[each] for each in pair))
        self.model = self.model.cut(pair)
        self.note(f"cut {self.called(pair)}")

    def restore(self) -> None:
        pair = self.random.choice(sorted(self.model.cuts))
        self.world.restore(*(self.names[each] for each in pair))
        self.model = self.model.restore(pair)
        self.note(f"restore {self.called(pair)}")

    def lose(self) -> None:
        self.lossy = not self.lossy
        self.world.loss(10 if self.lossy else 0)
        self.note("10 % loss" if self.lossy else "no more loss")

    def kill_agent(self) -> None:
        running = [agent for agent in self.lit() if agent.pid is not None]
        if running:
            self.crash(self.random.choice(running))

    def kill_registry(self) -> None:
        self.crash(self.agents.registry)

    def crash(self, agent: Agent) -> None:
        agent.kill()
        after = self.random.uniform(0.1, 6.0)
        self.due.append(Due(at=time.monotonic() + after, agent=agent))
        self.note(f"kill -9 the agent of {agent.name}, back in {after:.1f} s")

    def kill_daemon(self) -> None:
        cell = self.random.choice(self.lit()).node
        daemon = self.random.choice(("bfdd", "bgpd", "zebra"))
        if alive(cell, daemon):
            cell.run(["kill", "-9", str(pids(cell)[daemon])], check=False)
            self.note(f"kill -9 {daemon} of {cell.name}")

    def kill_wireguard(self) -> None:
        cell = self.random.choice(self.lit()).node
        running = cell.run(["pidof", "wireguard-go"], check=False).stdout.split()
        if running:
            victims = self.random.choice((running[:1], running))
            cell.run(["kill", "-9", *victims], check=False)
            self.note(f"kill -9 {len(victims)} of {len(running)} wireguard-go of {cell.name}")

    def reboot(self) -> None:
        agent = self.random.choice(self.lit())
        agent.kill()
        power_cut(agent.node)
        self.model = self.model.lose_power(agent.cell)
        after = self.random.uniform(1.0, 15.0)
        self.due.append(Due(at=time.monotonic() + after, agent=agent, boots=True))
        self.note(f"no power at {agent.name}, back in {after:.1f} s")

    def boot(self, agent: Agent) -> None:
        agent.start()
        self.model = self.model.boot(agent.cell)
        self.note(f"power at {agent.name}")

    # What changes.

    def change(self) -> None:
        """Make a new generation, and have it rolled out while other things go on."""
        deployment, number = self.agents.deployment, self.changes
        self.changes += 1
        cell = self.names[self.random.choice(sorted(each for each in self.names if each))]
        strategy = self.random.choice(("circular", "crossed", "full-mesh"))
        commands = (
            f"config cell {cell} -U --location place-{number}",
            f"define particle particle-{number}",
            f"redeploy -S {strategy}",
            "rekey backbone",
            f"rekey backbone {cell}",
            f"rekey cell {cell} -R",
            "rekey uvn -R",
        )
        command = self.random.choices(commands, (4, 2, 3, 3, 2, 1, 1))[0]
        try:
            deployment.registry(*command.split(), "-y")
        except CommandFailed as error:
            raise Broken(f"`uno {command}` failed: {error}") from error
        self.note_released()
        self.sync()
        self.note(f"uno {command}; uno sync")

    def sync(self) -> None:
        """Have the newest generation rolled out by any agent; do not wait for it."""
        self.syncs = [each for each in self.syncs if each.status() is None]
        registry = self.agents.registry
        if self.random.random() < 0.7 or self.syncs:
            try:
                control.request_view(registry.socket, control.ControlRequest.SYNC)
            except UnoError:
                if self.syncs:
                    return
            else:
                return
        argv = [sys.executable, "-m", "uno", "sync", "-t", "20", "-r", str(registry.root)]
        self.syncs.append(registry.node.start(argv, log=registry.node.directory / "sync.log"))

    def note_released(self) -> None:
        """Remember the packages that may run from now on."""
        deployment = self.agents.deployment
        for agent in self.agents.cells.values():
            manifest = self.verified(agent.name, deployment.package(agent.node))
            self.released.setdefault(agent.cell, set()).add(manifest.content)

    # What must hold.

    def quiet(self) -> None:
        """Leave the world alone, and wait until the LANs reach each other as they must."""
        self.restart()
        took = self.await_model(QUIET_LIMIT)
        self.note(f"quiet: matches the model after {took:.1f} s")

    def calm(self) -> None:
        """Mend everything, and wait until every cell is consistent and routed."""
        self.restart()
        self.due.clear()
        for agent in self.dark():
            self.boot(agent)
        self.world.restore_all()
        self.lossy = False
        for pair in self.model.cuts:
            self.model = self.model.restore(pair)
        for each in self.syncs:
            each.stop()
        self.agents.start()
        began = time.monotonic()
        done = self.agents.sync("-t", f"{CALM_LIMIT:.0f}", timeout=CALM_LIMIT + 30, check=False)
        if done.status != 0:
            raise Broken(f"`uno sync` does not come to an end: {done.stdout}{done.stderr}")
        self.agents.await_settled(within=CALM_LIMIT)
        self.await_model(QUIET_LIMIT)
        self.note(f"calm: all consistent and routed after {time.monotonic() - began:.1f} s")
        if self.model.reaching() != self.model.pairs():
            raise Broken("all is mended, and the cells' packages join not all LANs")

    def await_model(self, within: float) -> float:
        """Wait until what is reached is what the packages and the faults let; return how long."""
        began = time.monotonic()
        while True:
            self.check_packages()
            expected, found = self.model.reaching(), self.reached()
            took = time.monotonic() - began
            if found == expected:
                self.slowest = max(self.slowest, took)
                return took
            if took > within:
                wrong = [f"{self.called(p)} not reached" for p in sorted(expected - found)]
                wrong += [f"{self.called(p)} reached" for p in sorted(found - expected)]
                raise Broken(f"after {took:.0f} s: {', '.join(wrong)}; model: {self.model}")

    def reached(self) -> frozenset[Pair]:
        """Which LANs reach each other now."""
        hosts = self.hosts()
        lines = {
            PingPath(hosts[one].namespace, address_of(hosts[other])): (one, other)
            for one, other in self.model.pairs()
        }
        with PingMatrix(lines) as prober:
            return frozenset(lines[each] for each in prober.reach(within=1.0).at)

    def check_packages(self) -> None:
        """Check the package of every cell, and update the model with what it holds."""
        for agent in self.agents.cells.values():
            manifest = self.verified(agent.name, agent.root / CURRENT)
            if manifest.content not in self.released[agent.cell]:
                raise Broken(f"{agent.name} runs a package that was never released")
            held = Ledger(agent.root).current()
            assert held is not None
            holding = Holding(
                neighbours=frozenset(peer.cell for peer in held.plan.links),
                members=frozenset(member.id for member in held.roster.members),
            )
            self.model = self.model.hold({agent.cell: holding})

    def verified(self, name: str, package: Path) -> Manifest:
        """The manifest of a package that this registry signed. Raises `Broken`."""
        try:
            content = package.read_bytes()
            manifest = package_file.read_manifest(content, registry_key=self.registry_key)
            package_file.read(content)
        except (OSError, UnoError) as error:
            raise Broken(f"the package of {name} is not one: {error}") from error
        return manifest

    # How time passes.

    def wait(self, seconds: float) -> None:
        """Let time pass, and do what is due."""
        end = time.monotonic() + seconds
        while True:
            now = time.monotonic()
            for each in [each for each in self.due if each.at <= now]:
                self.due.remove(each)
                if each.boots:
                    self.boot(each.agent)
                elif each.agent.cell not in self.model.dark:
                    each.agent.start()
            self.supervise(now)
            if now >= end:
                return
            pause(min(0.05, end - now))

    def supervise(self, now: float) -> None:
        """Have agents that ended by themselves start again, as an init system does."""
        expected = {each.agent.name for each in self.due}
        for agent in (self.agents.registry, *self.lit()):
            if agent.ended() is not None and agent.name not in expected:
                self.due.append(Due(at=now + 1.0, agent=agent))

    def restart(self) -> None:
        """Have every crashed agent back, but those of cells without power."""
        crashed = [each.at for each in self.due if not each.boots]
        self.wait(max(0.0, max(crashed, default=0.0) - time.monotonic()))

    def lit(self) -> list[Agent]:
        """The agents of the cells with power."""
        return [each for each in self.agents.cells.values() if each.cell not in self.model.dark]

    def dark(self) -> list[Agent]:
        return [each for each in self.agents.cells.values() if each.cell in self.model.dark]

    def hosts(self) -> dict[int, Node]:
        cells = {name: cell for cell, name in self.names.items()}
        return {cells[host.station.cell]: host for host in self.world.having(Role.HOST)}

    def called(self, pair: Pair) -> str:
        return " - ".join(self.names[each] for each in pair)

    def note(self, text: str) -> None:
        self.report(f"{time.monotonic() - self.began:7.1f}  {text}")


@contextmanager
def living(folder: Path, *, report: Report) -> Iterator[Agents]:
    """Four sites and a relay, with agents, consistent and routed."""
    spec = folder / "uvn.yml"
    spec.write_text(SPEC.read_text() + "settings:\n  deployment:\n    private_uplinks: 2\n")
    uvn = rehearsal.definition(spec)
    with temporary_world(arrange(uvn, hosts_per_lan=1)) as world:
        deployment = Deployment(world=world, uvn=uvn.name)
        deployment.define(spec)
        deployment.install()
        agents = rehearsal.start_agents(deployment, report=report)
        try:
            yield agents
        finally:
            for agent in agents.all:
                agent.kill()


def chaos(agents: Agents, *, seed: int, report: Report) -> Chaos:
    """A run that begins with everything whole."""
    deployment = agents.deployment
    first = next(iter(agents.cells.values()))
    installed = Ledger(first.root).current()
    assert installed is not None
    run = Chaos(
        agents=agents,
        random=Random(seed),  # noqa: S311 - the same faults for the same seed
        report=report,
        model=ReachabilityModel(
            holdings={},
            lans=frozenset(m.id for m in installed.roster.members if m.lans),
        ),
        names={0: deployment.world.registry.name}
        | {agent.cell: name for name, agent in agents.cells.items()},
        registry_key=installed.manifest.registry_key,
    )
    run.note_released()
    run.check_packages()
    return run


def keep_evidence(agents: Agents, folder: Path) -> None:
    """Record the state of each node, and have each agent dump its stacks and end."""
    for agent in agents.all:
        shown = agent.node.run(["sh", "-c", EVIDENCE], check=False)
        folder.joinpath(f"{agent.name}.txt").write_text(shown.stdout + shown.stderr)
        if (pid := agent.pid) is not None:
            # faulthandler writes the stacks of all threads to the log.
            os.kill(pid, signal.SIGABRT)
    pause(1)
    for agent in agents.all:
        folder.joinpath(f"{agent.name}.log").write_text(agent.log_text())


EVIDENCE = """
set -x
ps ax -o pid,etime,args
ip -br address; ip route; ip -6 route; nft list ruleset
wg show | grep -v key
ls -l /run/uno/* /run/uno/*/frr /run/wireguard
for each in /run/uno/*/frr; do
  vtysh --vty_socket $each -c 'show bgp ipv4 summary' -c 'show bfd peers brief' -c 'show ip route'
  vtysh --vty_socket $each -c 'show running-config'
done
tail -n 50 /run/uno/*/frr/*.log /var/log/frr/*
"""


def main() -> int:
    """Run as a program; exit status 1 if something that must hold does not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--faults", type=int, default=200, metavar="N")
    parser.add_argument("--folder", type=Path, required=True, metavar="DIR")
    asked = parser.parse_args()
    os.environ["PYTHONFAULTHANDLER"] = "1"
    sys.stdout.write(f"seed {asked.seed}\n")

    def report(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    with ended_by_signals(), living(asked.folder, report=report) as agents:
        try:
            chaos(agents, seed=asked.seed, report=report).run(asked.faults)
        except UnoError as error:
            report(f"BROKEN: {error}")
            keep_evidence(agents, asked.folder)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
