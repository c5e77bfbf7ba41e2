"""Observes the registry's directory and its agent for its checks. Nothing is changed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

from uno import control
from uno.agent import pidfile
from uno.cli.cell_observation import OTHERS_SECONDS, begun, clock, disks
from uno.controller import release_store, unreleased
from uno.diagnosis.cell_facts import AgentProcess
from uno.diagnosis.registry_checks import RegistryFacts
from uno.host import systemd
from uno.host.linux import RUN
from uno.host.wireguard import endpoint_lookup
from uno.model.messages import REGISTRY
from uno.model.plan import Plan
from uno.model.status import UvnView
from uno.registry.publish import package_files
from uno.registry.store import backup_record, directory
from uno.registry.store.generation_store import Entry


def observe(root: Path) -> RegistryFacts:
    """Return what the registry in `root` shows. Raises `UnoError` if it cannot be opened."""
    with directory.opened(root, for_change=False) as registry:
        plan = registry.store.head().plan
        waiting = release_store.not_released(registry.store)
        last = backup_record.last(registry.store.database)
        history = registry.store.history()
        is_complete = package_files.is_complete(registry)
    now = begun(lambda: clock(root))
    space = begun(lambda: tuple(disks(root)))
    view = begun(lambda: registry_view(plan.identity))
    observed = begun(lambda: _agent(root, plan.identity))
    resolved = begun(lambda: _resolved(plan), seconds=OTHERS_SECONDS)
    agent = observed.result()
    agent_runs = isinstance(agent, AgentProcess) and agent.runs
    return RegistryFacts(
        plan=plan,
        view=view.result(),
        agent=agent,
        clock=now.result(),
        disks=space.result(),
        unreleased=tuple(unreleased.lines(waiting, agent_runs=agent_runs)),
        revokes=bool(waiting.revoked),
        not_backed_up=_not_backed_up(history, last.generation if last else 0),
        packages_complete=is_complete,
        resolved=resolved.result(),
    )


def registry_view(identity: str) -> UvnView | None:
    """Return the view of the registry's agent, None where none runs. Raises `UnoError`."""
    try:
        return control.request_view(control.socket_path(identity, REGISTRY))
    except control.NoAgent:
        return None


def _agent(root: Path, identity: str) -> AgentProcess:
    folder = RUN / f"{identity[:8]}-{REGISTRY}"
    return AgentProcess(
        runs=pidfile.running(folder) is not None,
        wanted=systemd.runs_agent(root.resolve(), unit=systemd.REGISTRY_UNIT),
        crashed=pidfile.has_crashed(folder),
    )


def _not_backed_up(history: Iterable[Entry], last: int) -> int | None:
    """Return the age of the oldest generation after `last`, in seconds."""
    times = [datetime.fromisoformat(str(each.time)) for each in history if each.number > last]
    if not times:
        return None
    return int(time.time() - min(times).timestamp())  # noqa: TID251 - the age of a backup


def _resolved(plan: Plan) -> Mapping[str, tuple[str, ...]]:
    names = {
        f"cell {cell.member.name}": cell.member.endpoint
        for cell in plan.cells
        if cell.member.endpoint
    }
    if plan.root is not None and plan.root.endpoint:
        names["the registry"] = plan.root.endpoint
    written = {whose: f"[{it}]:1" if ":" in it else f"{it}:1" for whose, it in names.items()}
    found = endpoint_lookup.resolve(written.values())
    return {whose: found.get(each, ()) for whose, each in written.items()}
