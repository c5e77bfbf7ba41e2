"""Options that set a value, as settings: the option, the place in the definition, the value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uno.registry.edits import Setting

if TYPE_CHECKING:
    from uno.cli.options import CellOptions, UvnOptions

_VPN_OPTIONS = {
    "root_vpn": ("push_port", "pull_port", "subnet", "mtu"),
    "particles_vpn": ("port", "subnet", "mtu"),
    "backbone_vpn": ("port", "subnet", "mtu"),
}
# Where an option and the key that it sets are called differently.
_VPN_KEYS = {"mtu": "peer_mtu", "push_port": "peer_port", "pull_port": "port"}


def of_uvn(options: UvnOptions) -> tuple[Setting, ...]:
    """Return the settings of the UVN that were given."""
    given: dict[tuple[str, ...], tuple[str, object]] = {
        ("address",): ("-a", options.address),
        ("settings", "timing_profile"): ("--timing-profile", options.timing_profile),
        ("settings", "dds_domain"): ("--dds-domain", options.dds_domain),
        ("settings", "enable_root_vpn"): (
            "--disable-root-vpn",
            False if options.disable_root_vpn else None,
        ),
        ("settings", "enable_particles_vpn"): (
            "--disable-particles-vpn",
            False if options.disable_particles_vpn else None,
        ),
        ("settings", "enable_dds_security"): (
            "--enable-dds-security",
            True if options.enable_dds_security else None,
        ),
    }
    for vpn, keys in _VPN_OPTIONS.items():
        for key in keys:
            option = f"--{vpn}-{key}".replace("_", "-")
            path = ("settings", vpn, _VPN_KEYS.get(key, key))
            given[path] = (option, getattr(options, f"{vpn}_{key}"))
    return tuple(
        Setting(option=option, path=path, value=value)
        for path, (option, value) in given.items()
        if value is not None
    )


def of_cell(options: CellOptions) -> tuple[Setting, ...]:
    """Return the settings of a cell that were given, with paths relative to the cell."""
    given: dict[str, object] = {
        "httpd_port": options.httpd_port,
        "location": options.location,
        "root_vpn_port": options.root_vpn_port,
        "particles_vpn_port": options.particles_vpn_port,
        "backbone_vpn_port": options.backbone_vpn_port,
        "enable_particles_vpn": False if options.disable_particles_vpn else None,
    }
    return tuple(
        Setting(option=_option_of(key), path=("settings", key), value=value)
        for key, value in given.items()
        if value is not None
    )


def _option_of(key: str) -> str:
    return "--" + key.replace("enable_", "disable_").replace("_", "-")
