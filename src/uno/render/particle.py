"""What a particle's owner gets: a WireGuard configuration per cell, and a page to import from."""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    collapse_addresses,
)

from uno.model.net import Network
from uno.render import particle_page
from uno.render.qr import Code, fits

# What wg-quick(8), the Android app and NetworkManager take for the name of an interface: up to 15
# characters (IFNAMSIZ of linux/if.h) of [a-zA-Z0-9_=+.-].
FILE_LENGTH = 15
# Names that Linux refuses or has already, and those that Windows has for devices.
_RESERVED = frozenset({"lo", "all", "default", "con", "prn", "aux", "nul"}) | {
    f"{device}{number}" for device in ("com", "lpt") for number in range(10)
}

# The earliest time that a zip can hold, so that the same package is the same bytes.
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """A way into the network: the cell, where it listens (`host:port`), and what `conf` made.

    `file` is the name of its files without ending, from `file_name`; `owner` is the e-mail address
    of the cell's owner, for the page.
    """

    cell: str
    file: str
    endpoint: str
    conf: str = field(repr=False)
    owner: str | None = None


def conf(  # noqa: PLR0913 - each is a line of the file
    *,
    private_key: str,
    address4: IPv4Address,
    address6: IPv6Address,
    mtu: int,
    public_key: str,
    psk: str,
    endpoint: str,
    keepalive: int,
    tunnel: bool = True,
    pools: tuple[Network, ...] = (),
) -> str:
    """Return the configuration of a particle at one cell, as wg-quick(8) and the apps read it.

    `private_key` and `address4`/`address6` are the particle's, `public_key` and `endpoint`
    (`host:port`) the cell's; `mtu` is bytes, `keepalive` seconds, 0 for none. With `tunnel` all
    traffic goes through the cell, without only what is for `pools`: the networks of the UVN.
    """
    if not tunnel and not pools:
        raise ValueError("without a tunnel for everything there have to be networks to reach")
    routes = "0.0.0.0/0, ::/0" if tunnel else _listed(pools)
    lines = (
        "[Interface]",
        f"PrivateKey = {private_key}",
        f"Address = {address4}/32, {address6}/128",
        f"MTU = {mtu}",
        "",
        "[Peer]",
        f"PublicKey = {public_key}",
        f"PresharedKey = {psk}",
        f"AllowedIPs = {routes}",
        f"Endpoint = {endpoint}",
        *([f"PersistentKeepalive = {keepalive}"] if keepalive else []),
    )
    return "".join(f"{line}\n" for line in lines)


def package(uvn: str, particle: str, configs: Iterable[Configuration]) -> bytes:
    """Return the zip for the owner of `particle`: for each cell a configuration and its QR codes.

    All of it is in one directory of the package's name, with `index.html` to start from; the
    comment of a configuration's entry is the name of its cell. The same input makes the same bytes.
    """
    name = package_name(uvn, particle)
    items = [
        _Item(config=config, code=_code(config.conf))
        for config in sorted(configs, key=lambda config: config.cell)
    ]
    drawings = {
        item.config.file: item.code.svg(f"{particle} at {item.config.cell}")
        for item in items
        if item.code
    }
    page = particle_page.render(
        uvn=uvn,
        particle=particle,
        ways=[
            particle_page.Way(
                cell=item.config.cell,
                endpoint=item.config.endpoint,
                owner=item.config.owner,
                file=item.config.file,
                svg=drawings.get(item.config.file),
            )
            for item in items
        ],
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(_entry(f"{name}/", stat.S_IFDIR | 0o700), b"")
        archive.writestr(_entry(f"{name}/index.html"), page)
        for item in items:
            config = item.config
            archive.writestr(_entry(f"{name}/{config.file}.conf", comment=config.cell), config.conf)
            if item.code:
                archive.writestr(_entry(f"{name}/{config.file}.png"), item.code.png())
                archive.writestr(_entry(f"{name}/{config.file}.svg"), drawings[config.file])
    return out.getvalue()


def file_name(cell: str, number: int) -> str:
    """Return the name of a cell's files, without their endings: the cell's own name if it fits.

    WireGuard's programs name the interface by the file, and take `FILE_LENGTH` characters. A longer
    name, or one that a system reserves, is shortened and gets `number`, the cell's id, as a suffix.
    So the name depends on no other cell; it is unique, since no name of a cell has a `_`.
    """
    if len(cell) <= FILE_LENGTH and cell not in _RESERVED:
        return cell
    suffix = f"_{number}"
    return cell[: FILE_LENGTH - len(suffix)].rstrip("-") + suffix


def package_name(uvn: str, particle: str) -> str:
    """Return the name of a particle's package, without `.zip`."""
    return f"{uvn}__{particle}"


def terminal_qr(conf: str) -> str:
    """Return the QR code of a configuration, for a terminal. Raises UnoError if it is too long."""
    return Code(conf).terminal()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    """One cell's files. There is no code where the configuration is too long for one."""

    config: Configuration
    code: Code | None


def _code(text: str) -> Code | None:
    return Code(text) if fits(text) else None


def _listed(networks: tuple[Network, ...]) -> str:
    # Joined where they touch, because a QR code holds no more than some 150 networks.
    joined: tuple[Network, ...] = (
        *collapse_addresses(it for it in networks if isinstance(it, IPv4Network)),
        *collapse_addresses(it for it in networks if isinstance(it, IPv6Network)),
    )
    return ", ".join(map(str, joined))


def _entry(name: str, mode: int = stat.S_IFREG | 0o600, *, comment: str = "") -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, date_time=_EPOCH)
    entry.comment = comment.encode()
    entry.create_system = 3  # Unix, for the mode to mean something
    entry.external_attr = mode << 16 | (0x10 if stat.S_ISDIR(mode) else 0)
    entry.compress_type = zipfile.ZIP_STORED if stat.S_ISDIR(mode) else zipfile.ZIP_DEFLATED
    return entry
