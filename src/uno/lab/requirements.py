"""What this machine must have for a lab, and what of it is missing."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from uno.diagnostics import ActionNeeded
from uno.host.command import find

# Each program with the Debian package that has it.
FOR_A_WORLD = {
    "ip": "iproute2",
    "nft": "nftables",
    "nsenter": "util-linux",
    "setsid": "util-linux",
    "unshare": "util-linux",
}
_FOR_A_DEPLOYMENT = {
    **FOR_A_WORLD,
    "wg": "wireguard-tools",
    "vtysh": "frr",
    "/usr/lib/frr/bgpd": "frr",
    "/usr/lib/frr/frr-reload.py": "frr-pythontools",
}
FOR_A_CAPTURE = {"tcpdump": "tcpdump"}


def for_a_deployment() -> dict[str, str]:
    """What running uno in a world takes; userspace WireGuard only where the kernel has none."""
    in_kernel = Path("/sys/module/wireguard").exists()
    return _FOR_A_DEPLOYMENT | ({} if in_kernel else {"wireguard-go": "wireguard-go"})


def missing(programs: Iterable[str]) -> tuple[str, ...]:
    """Return what this machine lacks for a lab with these programs; empty if nothing."""
    lacking = [f"no {name}" for name in programs if find(name) is None]
    if os.geteuid() != 0:
        lacking.insert(0, "not root")
    elif not Path("/dev/net/tun").exists():
        lacking.insert(0, "no /dev/net/tun")
    return tuple(lacking)


def require(programs: dict[str, str]) -> None:
    """Raise `UnoError` that names all that is missing, and the packages to install."""
    lacking = missing(programs)
    if not lacking:
        return
    packages = sorted({package for name, package in programs.items() if f"no {name}" in lacking})
    advice = ["run it as root"] if "not root" in lacking else []
    if packages:
        install = "apt-get install --no-install-recommends"
        advice.append(f"install with `{install} {' '.join(packages)}`")
    raise ActionNeeded(f"a lab cannot be made here: {', '.join(lacking)}", ", ".join(advice))
