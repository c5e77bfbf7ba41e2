"""The directives of a unit that take from an agent what it does not need.

Sources: systemd.exec(5), systemd.resource-control(5), systemd.service(5). `systemd-analyze
security` rates them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from uno.host.privileges import NICENESS, OF_CELL, OF_REGISTRY, needed

# Directories that ProtectHome= and PrivateTmp= hide.
_HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
_TEMPORARY = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - names, where nothing is written

_SAME_FOR_ALL = """\
NoNewPrivileges=yes
ProtectSystem=strict
RuntimeDirectory=uno wireguard
RuntimeDirectoryMode=0711
RuntimeDirectoryPreserve=yes
InaccessiblePaths=-/run/systemd/private -/run/dbus -/run/docker.sock -/run/containerd
PrivateMounts=yes
PrivateDevices=yes
BindPaths=-/dev/net/tun
DeviceAllow=/dev/net/tun rw
ProtectProc=invisible
ProtectKernelTunables=yes
ReadWritePaths=/proc/sys/net
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service landlock_create_ruleset landlock_add_rule landlock_restrict_self
SystemCallErrorNumber=EPERM
KeyringMode=private
UMask=0077
MemoryMax=75%
OOMPolicy=continue
"""


def directives(directory: Path, *, programs: Iterable[Path], of_cell: bool) -> str:
    """Return the lines for the agent of `directory`, which it writes to.

    `programs` are other files and directories that it reads.
    """
    paths = (directory, *programs)
    capabilities = needed(OF_CELL if of_cell else OF_REGISTRY, directory=directory)
    families = ["AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK", *(["AF_PACKET"] if of_cell else [])]
    names = " ".join(each.name for each in sorted(capabilities))
    # A directory of a person is not hidden where uno is in one.
    home = "read-only" if _is_below(_HOMES, paths) else "yes"
    lines = [
        f"CapabilityBoundingSet={names}",
        f"RestrictAddressFamilies={' '.join(families)}",
        f"LimitNICE={NICENESS}",
        f"ReadWritePaths={_quoted(directory)}",
        f"ProtectHome={home}",
    ]
    if not _is_below(_TEMPORARY, paths):
        lines.append("PrivateTmp=yes")
    return "\n".join(lines) + "\n" + _SAME_FOR_ALL


def _is_below(places: Iterable[Path], paths: Iterable[Path]) -> bool:
    return any(path.is_relative_to(place) for path in paths for place in places)


def _quoted(path: Path) -> str:
    escaped = str(path).replace("%", "%%").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"' if set(escaped) & set(" \t'\"\\") else escaped
