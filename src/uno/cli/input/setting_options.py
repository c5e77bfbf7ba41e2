"""Options that set a value, as settings: the option, the place in the definition, the value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from uno.diagnostics import Problem, Rejected
from uno.model.uvn import CellSettings, Particle, Settings
from uno.registry.changes.edits import Setting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from msgspec import Struct

    from uno.cli.input.options import CellChanges, CellOptions, ParticleOptions, UvnOptions
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


def of_uvn(options: UvnOptions) -> tuple[Setting, ...]:
    """Return the settings of the UVN that were given."""
    given: dict[tuple[str, ...], tuple[str, object]] = {("address",): ("-a", options.address)}
    for key in _keys_of(options, Settings):
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
    for key, value in (
        ("to", tuple(options.notify_to or ())),
        ("via", tuple(options.notify_via or ())),
        ("heartbeat", options.notify_heartbeat),
        ("hold", options.notify_hold),
    ):
        option = "--notify" if key == "to" else f"--notify-{key}"
        given["settings", "notify", key] = (option, value)
    return tuple(
        Setting(option=option, path=path, value=value)
        for path, (option, value) in given.items()
        if value not in (None, ())
    )


def without_notifications(options: UvnOptions, *, wanted: bool) -> tuple[Setting, ...]:
    """Return what clears all of the notifications, if `wanted`. Raises `Rejected` for both."""
    if wanted and (options.notify_to or options.notify_via or options.notify_heartbeat):
        raise Rejected(_both("--no-notify", "whom to notify"))
    empty: tuple[tuple[str, object], ...] = (("to", ()), ("via", ()), ("heartbeat", None))
    return tuple(
        Setting(option="--no-notify", path=("settings", "notify", key), value=value)
        for key, value in empty
        if wanted
    )


def of_cell(options: CellOptions) -> tuple[Setting, ...]:
    """Return the settings of a cell that were given, with paths relative to the cell."""
    return (*_given(options, CellSettings, above=("settings",)), *_own_certificate(options))


def _own_certificate(options: CellOptions) -> Iterator[Setting]:
    for key, value in (("certificate", options.web_certificate), ("key", options.web_key)):
        if value is not None:
            yield Setting(option=f"--web-{key}", path=("settings", "web", key), value=value)


def of_particle(options: ParticleOptions) -> tuple[Setting, ...]:
    """Return the settings of a particle that were given, with paths relative to the particle."""
    return tuple(each for each in _given(options, Particle) if each.path != ("owner",))


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
        *cleared(
            ("settings", "timing_profile"),
            options.timing_profile,
            wanted=changes.no_timing_profile,
        ),
        *_no_certificate(options, wanted=changes.no_web_certificate),
        *reset,
    )


def _no_certificate(options: CellOptions, *, wanted: bool) -> Iterator[Setting]:
    given = options.web_certificate or options.web_key
    for key in ("certificate", "key"):
        path = ("settings", "web", key)
        for each in cleared(path, given, wanted=wanted):
            yield replace(each, option="--no-web-certificate")


def _keys_of(options: object, model: type[Struct]) -> Iterator[str]:
    """Yield the fields of `model` that `options` has, too."""
    return (key for key in model.__struct_fields__ if hasattr(options, key))


def _given(options: object, model: type[Struct], *, above: Path = ()) -> Iterator[Setting]:
    """Yield a setting for each field of `model` that an option of the same name gives."""
    for key in _keys_of(options, model):
        value = getattr(options, key)
        if value not in (None, []):
            given = tuple(value) if isinstance(value, list) else value
            yield Setting(option=_option_of(key, value), path=(*above, key), value=given)


def cleared(path: Path, value: object, *, wanted: bool) -> tuple[Setting, ...]:
    """Return what clears the value at `path` if that is `wanted`. Raises `Rejected` for both."""
    name = str(path[-1]).replace("_", "-")
    option = f"--no-{name}"
    if wanted and value is not None:
        raise Rejected(_both(option, f"the {name.replace('-', ' ')}"))
    return (Setting(option=option, path=path, value=None),) if wanted else ()


def _address(address: str | None) -> tuple[Setting, ...]:
    return () if address is None else (Setting(option="-a", path=("address",), value=address),)


def _both(option: str, what: str) -> Problem:
    return Problem(what=f"{what} is both set and cleared", hint="give one of them", option=option)


def _option_of(key: str, value: object) -> str:
    name = key.replace("_", "-")
    if value is not False:
        return f"--{name}"
    return f"--{name.replace('enable-', 'disable-')}" if "enable-" in name else f"--no-{name}"
