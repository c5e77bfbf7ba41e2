"""The agents of a UVN in a world: start, stop, kill and observe them.

Views are read from the agents' control sockets, so that one process can observe a whole UVN: a
command for each observation would take more processor time than the agents.
"""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from types import MappingProxyType

from uno import control
from uno.diagnostics import TransientFailure, UnoError
from uno.host.command import Completed
from uno.lab import deploy, netns
from uno.lab.deploy import Deployment, in_parallel
from uno.lab.node import Node, Program
from uno.model.messages import REGISTRY
from uno.model.status import CellView, UvnView
from uno.unprivileged.confinement import BUS, WEB

# Seconds between two reads of the agents' views.
_PAUSE = 0.1
# What a process may take to end, in seconds; all share this machine's processors.
_END = 60.0
# Lines of a log that a message about an agent ends with.
_LOG_LINES = 12


@dataclass(kw_only=True)
class Agent:
    """The agent of one directory on one node. `cell` is its cell's id, 0 for the registry's."""

    node: Node
    root: Path
    cell: int
    _program: Program | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The cell's name, or `registry`."""
        return self.node.name if self.cell else "registry"

    @property
    def log(self) -> Path:
        """What all of its runs wrote, one after the other."""
        return self.node.directory / f"agent-{self.cell}.log"

    @property
    def socket(self) -> Path:
        """Its socket, as seen from outside of the node; it may not exist."""
        found = self.node.directory.glob(f"run/uno/*-{self.cell}/agent.sock")
        return next(found, self.node.directory / "run/uno/no-agent.sock")

    @property
    def pid(self) -> int | None:
        """The host's process id of the agent itself, None where it does not run."""
        if self._program is None or self._program.status() is not None:
            return None
        # In front of it is nsenter, which forks to enter the process namespace.
        return _child(self._program.pid)

    @property
    def bus_pid(self) -> int | None:
        """The host's process id of the process that parses datagrams, None without one."""
        parent = self.pid
        return None if parent is None else _named_child(parent, BUS.name)

    @property
    def page_pid(self) -> int | None:
        """The host's process id of the process that serves the web page, None without one."""
        parent = self.pid
        return None if parent is None else _named_child(parent, WEB.name)

    def start(self, *options: str, env: Mapping[str, str] | None = None) -> None:
        """Start it with `options`; nothing if it runs. Does not wait until it serves."""
        if self._program is None or self._program.status() is not None:
            words = ("agent", *options, "-r", str(self.root))
            self._program = deploy.start_uno(self.node, *words, log=self.log, env=env)

    def stop(self) -> int:
        """End it as an init system does, and return its exit status."""
        self._send(signal.SIGTERM)
        return self._ended()

    def kill(self) -> None:
        """Kill it as a crash does: the process, not its children."""
        self._send(signal.SIGKILL)
        self._ended()

    def ended(self) -> int | None:
        """Its exit status, None while it runs or if it was never started."""
        return self._program.status() if self._program else None

    def view(self) -> UvnView:
        """Its view of the UVN. Raises `UnoError` if it does not answer."""
        return control.request_view(self.socket, control.ControlRequest.VIEW)

    def view_or_none(self) -> UvnView | None:
        """Its view of the UVN, or None while it does not answer."""
        try:
            return self.view()
        except UnoError:
            return None

    def log_text(self) -> str:
        """All that it has written to its log."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def _send(self, number: int) -> None:
        deadline = time.monotonic() + _END
        while self._program is not None and self._program.status() is None:
            if (pid := self.pid) is not None:
                os.kill(pid, number)
                return
            # It has not entered its node yet.
            _wait(deadline, f"the agent of {self.name} does not start")

    def _ended(self) -> int:
        return self._program.wait(_END) if self._program else 0


@dataclass(frozen=True, kw_only=True)
class Agents:
    """All agents of a deployment: the registry's, and those of the cells by name."""

    deployment: Deployment
    registry: Agent
    cells: Mapping[str, Agent]

    @property
    def all(self) -> tuple[Agent, ...]:
        """The registry's agent, then the cells'."""
        return (self.registry, *self.cells.values())

    def start(self, agents: Iterable[Agent] | None = None, *, within: float | None = None) -> None:
        """Start agents, or all, as many at once as the pace allows, and wait until they serve.

        One after the other has to serve within `within` seconds; by default a time that grows with
        the cells. Raises `UnoError`.
        """
        pace = self.deployment.pace
        waiting = deque(self.all if agents is None else agents)
        starting: deque[Agent] = deque()
        patience = pace.command if within is None else within
        deadline = time.monotonic() + patience
        while waiting or starting:
            while waiting and len(starting) < pace.at_once:
                starting.append(waiting.popleft())
                starting[-1].start()
            agent = starting[0]
            if agent.view_or_none() is not None:
                starting.popleft()
                deadline = time.monotonic() + patience
                continue
            if agent.ended() is not None:
                raise TransientFailure(f"the agent of {agent.name} ended: {_log_tail(agent)}")
            _wait(deadline, f"the agent of {agent.name} does not serve", agent)

    def stop(self) -> None:
        """End all that run."""
        for agent in self.all:
            if agent.pid is not None:
                agent.stop()

    def kill(self) -> None:
        """Kill all that run, as a crash does."""
        for agent in self.all:
            if agent.pid is not None:
                agent.kill()

    def sync(self, *arguments: str, timeout: float = 120, check: bool = True) -> Completed:
        """Run `uno sync ARGUMENTS` at the registry."""
        root = str(self.deployment.registry_root)
        words = ("sync", *arguments, "-r", root)
        return deploy.uno(self.registry.node, *words, timeout=timeout, check=check)

    def await_settled(self, *, agents: Iterable[Agent] | None = None, within: float = 60) -> float:
        """Wait until these agents, or all, have a settled view: consistent, routed, not pending.

        Return the seconds that it took. Raises `UnoError` with the view of an agent that differs.
        """
        chosen = self.all if agents is None else tuple(agents)
        return self.await_views(is_settled, agents=chosen, within=within)

    def await_views(
        self,
        condition: Callable[[UvnView], bool],
        *,
        agents: Iterable[Agent] | None = None,
        within: float = 60,
    ) -> float:
        """Wait until the views of these agents, or all, satisfy `condition`; return the seconds."""
        chosen = self.all if agents is None else tuple(agents)
        began = time.monotonic()
        waiting = list(chosen)
        while waiting:
            view = waiting[0].view_or_none()
            if view is not None and condition(view):
                waiting.pop(0)
                continue
            difference = f"the agent of {waiting[0].name} sees {describe(view)}"
            _wait(began + within, difference, waiting[0])
        return time.monotonic() - began


def agents_of(deployment: Deployment) -> Agents:
    """The agents of a deployment and of those of its cells that are installed; none runs yet."""
    from uno.agent.commit.ledger import Ledger  # noqa: PLC0415 - takes a fifth of a second

    def agent(node: Node) -> Agent | None:
        root = deployment.cell_root(node)
        installed = Ledger(root).current()
        return Agent(node=node, root=root, cell=installed.plan.cell) if installed else None

    found = in_parallel(agent, deployment.cells)
    world = deployment.world
    return Agents(
        deployment=deployment,
        registry=Agent(node=world.registry, root=deployment.registry_root, cell=REGISTRY),
        cells=MappingProxyType({name: each for name, each in found.items() if each}),
    )


def is_healthy(view: UvnView) -> bool:
    """Whether no roll-out is under way, and every cell is consistent and routed."""
    return view.consistent and view.routed and not view.rollout


def is_settled(view: UvnView) -> bool:
    """Whether the view is healthy, and no step of a change is pending."""
    return is_healthy(view) and not any(cell.status and cell.status.pending for cell in view.cells)


def describe(view: UvnView | None) -> str:
    """Return what is not settled in a view."""
    if view is None:
        return "nothing: it does not answer"
    wrong = [found for cell in view.cells if (found := _wrong(cell))]
    state = f", {view.rollout}" if view.rollout else ""
    return f"generation {view.generation}{state}; {'; '.join(wrong) or 'all cells healthy'}"


def _wrong(cell: CellView) -> str:
    if cell.status is None or not cell.alive:
        return f"{cell.name} without contact"
    if not cell.consistent:
        return f"{cell.name} runs {cell.status.generation}, not {cell.package}"
    if cell.status.pending:
        return f"{cell.name} pending: {', '.join(cell.status.pending)}"
    if not cell.status.routed:
        lost = ", ".join(map(str, cell.status.unreachable))
        return f"{cell.name} does not reach {lost or 'its own LANs'}"
    return ""


def _child(pid: int) -> int | None:
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return None
    alive = [int(each) for each in found if netns.start_time(int(each)) is not None]
    return alive[0] if alive else None


def _named_child(parent: int, name: str) -> int | None:
    """Return the child of this name of a process that starts and ends others all the time.

    The kernel's list of children leaves some out while others end (proc_tid_children(5)).
    """
    for each in Path("/proc").iterdir():
        if not each.name.isdigit():
            continue
        try:
            found, _, rest = (each / "stat").read_text().partition("(")[2].rpartition(")")
        except OSError:  # it has ended meanwhile
            continue
        state, owner = rest.split()[:2]
        if found == name and int(owner) == parent and state not in "ZX":
            return int(each.name)
    return None


def _wait(deadline: float, what: str, agent: Agent | None = None) -> None:
    if time.monotonic() > deadline:
        raise TransientFailure(f"{what}{': ' + _log_tail(agent) if agent else ''}")
    Event().wait(_PAUSE)


def _log_tail(agent: Agent) -> str:
    return "\n".join(agent.log_text().splitlines()[-_LOG_LINES:]) or "its log is empty"
