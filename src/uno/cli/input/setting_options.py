"""Options that set a value, as settings: the option, the place in the definition, the value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uno.diagnostics import Problem, Rejected
from uno.registry.changes.edits import Setting

if TYPE_CHECKING:
    from uno.cli.input.options import CellChanges, CellOptions, UvnOptions
    from uno.model.checks.finding import Path

_VPN_OPTIONS = {
    "root_vpn": ("push_port", "pull_port", "subnet", "mtu", "keepalive", "interface"),
    "particles_vpn": (
        "port", "subnet", "mtu", "keepalive", "interface", "masquerade", "tunnel",
    ),
    "backbone_vpn": ("port", "subnet", "mtu", "keepalive", "interface", "allowed_ips"),
}  # fmt: skip
# Where an option and the key that it sets are called differently.
_VPN_KEYS = {"mtu": "peer_mtu", "push_port": "peer_port", "pull_port": "port"}
_UVN_KEYS = (
    "timing_profile", "middleware", "dds_domain", "enable_root_vpn", "enable_particles_vpn",
    "enable_dds_security",
)  # fmt: skip
_CELL_KEYS = (
    "httpd_port", "location", "root_vpn_port", "particles_vpn_port", "backbone_vpn_port",
    "enable_particles_vpn",
)  # fmt: skip


def of_uvn(options: UvnOptions) -> tuple[Setting, ...]:
    """Return the settings of the UVN that were given."""
    given: dict[tuple[str, ...], tuple[str, object]] = {("address",): ("-a", options.address)}
    for key in _UVN_KEYS:
        value = getattr(options, key)
        given["settings", key] = (_option_of(key, value), value)
    for vpn, keys in _VPN_OPTIONS.items():
        for key in keys:
            value = getattr(options, f"{vpn}_{key}")
            path = ("settings", vpn, _VPN_KEYS.get(key, key))
            given[path] = (
                _option_of(f"{vpn}_{key}", value),
                tuple(value) if isinstance(value, list) else value,
            )
    return tuple(
        Setting(option=option, path=path, value=value)
        for path, (option, value) in given.items()
        if value not in (None, ())
    )


def of_cell(options: CellOptions) -> tuple[Setting, ...]:
    """Return the settings of a cell that were given, with paths relative to the cell."""
    given = {key: getattr(options, key) for key in _CELL_KEYS}
    return tuple(
        Setting(option=_option_of(key, value), path=("settings", key), value=value)
        for key, value in given.items()
        if value is not None
    )


def of_changed_cell(options: CellOptions, changes: CellChanges) -> tuple[Setting, ...]:
    """Return the settings of a cell that were given or cleared. Raises `Rejected` for both."""
    ports = ("root_vpn_port", "particles_vpn_port", "backbone_vpn_port")
    if changes.default_ports and any(getattr(options, port) is not None for port in ports):
        raise Rejected(_both("--default-ports", "the port"))
    reset = [
        Setting(option="--default-ports", path=("settings", port), value=None)
        for port in ports
        if changes.default_ports
    ]
    return (
        *of_cell(options),
        *_address(options.address),
        *cleared(("address",), options.address, wanted=changes.no_address),
        *cleared(("settings", "location"), options.location, wanted=changes.no_location),
        *reset,
    )


def cleared(path: Path, value: object, *, wanted: bool) -> tuple[Setting, ...]:
    """Return what clears the value at `path` if that is `wanted`. Raises `Rejected` for both."""
    option = f"--no-{path[-1]}"
    if wanted and value is not None:
        raise Rejected(_both(option, f"the {path[-1]}"))
    return (Setting(option=option, path=path, value=None),) if wanted else ()


def _address(address: str | None) -> tuple[Setting, ...]:
    return () if address is None else (Setting(option="-a", path=("address",), value=address),)


def _both(option: str, what: str) -> Problem:
    return Problem(
        what=f"{what} is both to be set and to be cleared", hint="say one of them", option=option
    )


def _option_of(key: str, value: object) -> str:
    name = key.replace("_", "-")
    if value is not False:
        return f"--{name}"
    return f"--{name.replace('enable-', 'disable-')}" if "enable-" in name else f"--no-{name}"
