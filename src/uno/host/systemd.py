"""The units that start an agent, or connect a cell, at boot.

Sources: systemd.service(5), systemd.unit(5), systemd.kill(5), sd_notify(3), systemctl(1).
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from uno.diagnostics import ActionNeeded
from uno.files import write_if_changed
from uno.host import sandbox
from uno.host.command import run

UNIT = "uvn-agent.service"
REGISTRY_UNIT = "uvn-registry.service"
UNITS = Path("/etc/systemd/system")

# Exists where systemd is the init system: sd_booted(3).
BOOTED = Path("/run/systemd/system")

# Seconds: at boot, names may not resolve yet, and neighbours may start later after a power cut.
BOOT_WAIT = 90

# WatchdogSec: systemd restarts an agent that sends no WATCHDOG=1 for so many seconds.
WATCHDOG = 60

# Seconds: a minute for LANs to come up, and the time of a start on a small machine.
_START = 180

# Seconds for systemctl, which waits until a unit has started.
_PATIENCE = _START + 20

_OWNED = "# Made by `uno service install` for "


def unit(root: Path, *, program: Sequence[str], name: str, reads: Sequence[Path] = ()) -> str:
    """Return the unit that connects the cell in `root` once. `program` is `uno` and its arguments.

    `reads` are files and directories that it reads, beside those of the system.

    While a link is missing, as its name cannot be resolved yet, the command fails and is started
    again, without end: what is up by then stays up. So the processes that go on running (WireGuard,
    FRR), which are in the unit's control group, are not killed with it; ExecStop= ends them.
    """
    command = " ".join(_quoted(word) for word in program)
    where = _quoted(str(root))
    return f"""{_OWNED}{root}
[Unit]
Description=uno: {name.replace("%", "%%")}
Wants=network-online.target
After=network-online.target docker.service ufw.service nftables.service
StartLimitIntervalSec=0

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={command} service up -q --wait {BOOT_WAIT} -r {where}
ExecReload={command} service up -q -r {where}
ExecStop={command} service down -q -r {where}
KillMode=process
Restart=on-failure
RestartSec=10
TimeoutStartSec={BOOT_WAIT + 60}
{sandbox.directives(root, programs=reads, of_cell=True)}
[Install]
WantedBy=multi-user.target
"""


def agent_unit(
    root: Path,
    *,
    program: Sequence[str],
    name: str,
    options: Sequence[str] = (),
    reads: Sequence[Path] = (),
    of_cell: bool = True,
) -> str:
    """Return the unit that runs the agent of `root`, a cell's or the registry's.

    `reads` are files and directories that it reads, beside those of the system.

    When a cell's unit stops, systemd ends the agent alone: WireGuard and FRR run on, and the next
    agent finds them. The registry's agent takes its network down itself.
    """
    words = (*program, "agent", "-r", str(root), *options)
    of_a_cell = "ExecReload=/bin/kill -HUP $MAINPID\nKillMode=process\n" if of_cell else ""
    return f"""{_OWNED}{root}
[Unit]
Description=uno: agent of {name.replace("%", "%%")}
Wants=network-online.target
After=network-online.target docker.service ufw.service nftables.service
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={" ".join(_quoted(word) for word in words)}
{of_a_cell}Restart=always
RestartSec=5
WatchdogSec={WATCHDOG}
TimeoutStartSec={_START}
{sandbox.directives(root, programs=reads, of_cell=of_cell)}
[Install]
WantedBy=multi-user.target
"""


def install(text: str, root: Path, *, unit: str = UNIT) -> bool:
    """Write the unit file for `root`, and return whether it changed.

    A daemon of the unit's former version is stopped first, without the new version's ExecStop.
    Raises `UnoError` if a unit of that name is for another directory, or is not uno's.
    """
    _require_systemd()
    path = UNITS / unit
    owner = _owner(path)
    if owner is not None and owner != str(root):
        raise ActionNeeded(
            f"{path} is there already, for {owner or 'something that is not uno'}",
            f"remove it first: uno service remove -r {shlex.quote(owner or 'DIR')}",
        )
    if owner is not None and path.read_text() != text and _is_daemon(path.read_text()):
        run(["systemctl", "stop", unit], timeout=_PATIENCE)
    changed = write_if_changed(path, text.encode(), mode=0o644)
    if changed:
        run(["systemctl", "daemon-reload"])
    return changed


def start(text: str, *, changed: bool, unit: str = UNIT) -> None:
    """Start the installed unit `text`; restart it if it runs and has `changed`."""
    # A oneshot unit is active once it has connected: a reload applies what has changed.
    again = "restart" if _is_daemon(text) else "reload-or-restart"
    switch(again if changed else "start", unit=unit)


def switch(verb: str, *, unit: str = UNIT) -> None:
    """Run one systemctl verb on a unit, such as `enable`."""
    _require_systemd()
    run(["systemctl", verb, unit], timeout=_PATIENCE)


def other_owner(root: Path, *, unit: str = UNIT) -> Path | None:
    """Return the directory other than `root` that this host's unit of that name is for."""
    owner = _owner(UNITS / unit)
    return Path(owner) if owner and owner != str(root) else None


def runs_agent(root: Path, *, unit: str = UNIT) -> bool:
    """Whether this host has a unit that runs the agent of what is in `root`."""
    path = UNITS / unit
    if not BOOTED.exists() or _owner(path) != str(root):
        return False
    return _is_daemon(path.read_text())


def remove(root: Path, *, unit: str = UNIT) -> bool:
    """Stop, disable and delete the unit for `root`; return whether there was one."""
    _require_systemd()
    path = UNITS / unit
    owner = _owner(path)
    if owner is None:
        return False
    if owner != str(root):
        raise ActionNeeded(
            f"{path} is not for {root}, but for {owner or 'something that is not uno'}"
        )
    run(["systemctl", "disable", "--now", unit], timeout=_PATIENCE)
    path.unlink(missing_ok=True)
    run(["systemctl", "daemon-reload"])
    return True


def _is_daemon(text: str) -> bool:
    return "\nType=notify\n" in text


def _owner(path: Path) -> str | None:
    """Return the directory of a unit; empty if it is not uno's, None if there is no unit."""
    try:
        first = path.read_text(errors="replace").partition("\n")[0]
    except FileNotFoundError:
        return None
    return first.removeprefix(_OWNED) if first.startswith(_OWNED) else ""


def _require_systemd() -> None:
    if not BOOTED.exists():
        raise ActionNeeded(
            "this host does not run systemd",
            "have its init system keep `uno agent -r DIR` running, or without an agent run"
            " `uno service up -r DIR` at boot",
        )


def _quoted(word: str) -> str:
    """Quote an argument of ExecStart=: systemd.service(5), "Command lines"."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return escaped if word and not set(word) & set(" \t'\";") else f'"{escaped}"'
