"""The unit that connects a cell at boot.

Sources: systemd.service(5), systemd.unit(5), systemctl(1).
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from uno.diagnostics import UnoError
from uno.files import write_if_changed
from uno.host.command import run

UNIT = "uvn-agent.service"
UNITS = Path("/etc/systemd/system")

# systemd's own sign that it is the init system: sd_booted(3).
BOOTED = Path("/run/systemd/system")

# Seconds: at boot names may not be resolved yet, and neighbours after a power cut be slower.
BOOT_WAIT = 90

_OWNED = "# Made by `uno service install` for "


def unit(root: Path, *, program: Sequence[str], name: str) -> str:
    """Return the unit that connects the cell in `root` with `program`, the words of `uno`.

    The processes that stay (WireGuard, FRR) live in the unit's control group until it stops.
    """
    command = " ".join(_quoted(word) for word in program)
    where = _quoted(str(root))
    return f"""{_OWNED}{root}
[Unit]
Description=uno: {name.replace("%", "%%")}
Wants=network-online.target
After=network-online.target docker.service ufw.service nftables.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={command} service up -q --wait {BOOT_WAIT} -r {where}
ExecReload={command} service up -q -r {where}
ExecStop={command} service down -q -r {where}
Restart=on-failure
RestartSec=10
TimeoutStartSec={BOOT_WAIT + 60}

[Install]
WantedBy=multi-user.target
"""


def install(text: str, root: Path) -> bool:
    """Put the unit for `root` in place, and return whether that changed anything.

    Raises `UnoError` where a unit of that name is another cell's or somebody else's.
    """
    _require_systemd()
    path = UNITS / UNIT
    owner = _owner(path)
    if owner is not None and owner != str(root):
        raise UnoError(
            f"{path} is there already, for {owner or 'something that is not uno'}",
            f"remove it first: uno service remove -r {shlex.quote(owner or 'DIR')}",
        )
    changed = write_if_changed(path, text.encode(), mode=0o644)
    if changed:
        run(["systemctl", "daemon-reload"])
    return changed


def switch(verb: str) -> None:
    """Have systemctl do one thing with the unit, such as `enable` or `start`."""
    _require_systemd()
    run(["systemctl", verb, UNIT], timeout=150)


def remove(root: Path) -> bool:
    """Stop, disable and delete the unit for `root`; return whether there was one."""
    _require_systemd()
    path = UNITS / UNIT
    owner = _owner(path)
    if owner is None:
        return False
    if owner != str(root):
        raise UnoError(f"{path} is not for {root}, but for {owner or 'something that is not uno'}")
    run(["systemctl", "disable", "--now", UNIT], timeout=150)
    path.unlink(missing_ok=True)
    run(["systemctl", "daemon-reload"])
    return True


def _owner(path: Path) -> str | None:
    """Return the directory that a unit is for; empty if uno did not make it, None if none is."""
    try:
        first = path.read_text(errors="replace").partition("\n")[0]
    except FileNotFoundError:
        return None
    return first.removeprefix(_OWNED) if first.startswith(_OWNED) else ""


def _require_systemd() -> None:
    if not BOOTED.exists():
        raise UnoError(
            "this host does not run systemd",
            "have its init system run `uno service up -r DIR` at boot",
        )


def _quoted(word: str) -> str:
    """Quote a word for ExecStart=: systemd.service(5), "Command lines"."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return escaped if word and not set(word) & set(" \t'\";") else f'"{escaped}"'
