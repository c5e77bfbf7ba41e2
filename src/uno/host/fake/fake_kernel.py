"""The kernel of a fake host: interfaces, routes, parameters, nftables.

It refuses what Linux 6 refused in trials with iproute2, wireguard-go and nft. It keeps its state as
Linux does: keys are clamped, and a prefix that is routed into a second interface leaves
the first.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from msgspec import Struct, field
from msgspec.structs import replace

from uno.diagnostics import ActionNeeded, TransientFailure
from uno.model.key_ids import Secret
from uno.model.net import Network, network_order
from uno.model.tunnel import InterfaceAddress, Peer, Tunnel
from uno.ports.host import Nic, Underlay

# The kernel parameters that there are, with the values of a host that does not forward.
PARAMETERS: Mapping[str, str] = {
    "net.ipv4.conf.all.accept_redirects": "1",
    "net.ipv4.ip_forward": "0",
    "net.ipv4.fib_multipath_hash_policy": "0",
    "net.ipv6.conf.all.forwarding": "0",
    "net.ipv6.fib_multipath_hash_policy": "0",
}

# Those of each interface, and of `default`, which later ones inherit.
INTERFACE_PARAMETERS: Mapping[str, str] = {
    "net.ipv4.conf.{}.forwarding": "0",
    "net.ipv6.conf.{}.accept_ra": "1",
    "net.ipv6.conf.{}.forwarding": "0",
}


class FakeInterface(Struct):
    """An interface that uno made: a WireGuard one if it has a key.

    `table` is the routing table of its own, `blackhole_routes` lead into it. `up` is the
    administrative state.
    """

    up: bool = False
    mtu: int = 1500
    addresses: list[InterfaceAddress] = field(default_factory=list)
    key: Secret | None = None
    port: int | None = None
    mark: int = 0
    peers: tuple[Peer, ...] = ()
    table: int | None = None
    blackhole_routes: list[Network] = field(default_factory=list)


class FakeKernel:
    """Interfaces, addresses, routes, parameters and uno's table. Refusals are `UnoError`."""

    def __init__(self, *, nics: Iterable[Nic], fixed: Iterable[str]) -> None:
        """Start with the host's own `nics`. `fixed` are parameters that cannot be written."""
        self.nics: dict[str, Nic] = {}
        self.links: dict[str, FakeInterface] = {}
        self.unreachable_routes: set[Network] = set()
        self.firewall: str | None = None
        self.fixed = frozenset(fixed)
        self.underlay: Underlay | None = None
        self._advertised: set[str] = set()
        self._routes: dict[tuple[Network, int | None], str] = {}
        self._parameters = {**PARAMETERS, **_interface_parameters("default")}
        for nic in nics:
            self.plug(nic)

    def plug(self, nic: Nic) -> None:
        """Add an interface of the host's own, or change it; a new one has the default settings."""
        if nic.name not in self.nics:
            self._parameters |= {
                _named(key, nic.name): self._parameters[_named(key, "default")]
                for key in INTERFACE_PARAMETERS
            }
        self.nics[nic.name] = nic

    def advertise(self, name: str) -> bool:
        """Advertise a default router on an interface; return whether the kernel accepts it."""
        accepts = self.parameter(_named("net.ipv6.conf.{}.accept_ra", name))
        forwards = self.parameter(_named("net.ipv6.conf.{}.forwarding", name)) != "0"
        if accepts == "0" or (forwards and accepts != "2"):
            return False
        self.nics[name] = replace(self.nics[name], has_default_route=True)
        self._advertised.add(name)
        return True

    def has_parameter(self, key: str) -> bool:
        """Whether there is a kernel parameter; those of an interface go with it."""
        return key in self._parameters and key not in self._gone()

    def parameter(self, key: str) -> str:
        """Read a kernel parameter."""
        if not self.has_parameter(key):
            raise TransientFailure(
                f"cannot read the kernel parameter {key} (No such file or directory)"
            )
        return self._parameters[key]

    def set_parameter(self, key: str, value: str) -> None:
        """Write a kernel parameter."""
        self.parameter(key)
        if key in self.fixed:
            raise ActionNeeded(f"cannot set the kernel parameter {key} (Read-only file system)")
        if not value.isdigit():
            raise ActionNeeded(
                f"cannot set the kernel parameter {key} to {value} (Invalid argument)"
            )
        changed = self._parameters[key] != value
        self._parameters[key] = value
        if not changed:
            return
        if key == "net.ipv4.ip_forward":
            self._parameters["net.ipv4.conf.all.accept_redirects"] = "0" if value == "1" else "1"
            self._forward_everywhere("net.ipv4.conf.{}.forwarding", value)
        if key == "net.ipv6.conf.all.forwarding":
            self._forward_everywhere("net.ipv6.conf.{}.forwarding", value)
            if value == "1":
                self._drop_advertised_routes()

    def _forward_everywhere(self, key: str, value: str) -> None:
        for name in ("default", *self.nics):
            self._parameters[_named(key, name)] = value

    def _drop_advertised_routes(self) -> None:
        for name in tuple(self._advertised):
            if self._parameters[_named("net.ipv6.conf.{}.accept_ra", name)] != "2":
                self.nics[name] = replace(self.nics[name], has_default_route=False)
                self._advertised.remove(name)

    def add_link(self, name: str) -> None:
        """Make an interface."""
        if name in self.links or name in self.nics or name == "lo":
            raise TransientFailure(f"ip link add {name}: File exists")
        if not re.fullmatch(r"[^\s/:]{1,15}", name):
            raise TransientFailure(f'ip link add {name}: "dev" not a valid ifname')
        self.links[name] = FakeInterface()

    def remove_link(self, name: str) -> None:
        """Delete an interface that uno made, if it is there."""
        if self.links.pop(name, None) is not None:
            self._remove_routes(name)

    def bring_up(self, name: str) -> None:
        """Bring an interface up."""
        self.link(name).up = True

    def set_mtu(self, name: str, mtu: int) -> None:
        """Set the number of bytes that an interface carries."""
        self.link(name).mtu = mtu

    def set_wireguard(self, tunnel: Tunnel) -> None:
        """Set the key, port and peers of an interface."""
        link = self.link(tunnel.name)
        key = _clamped(tunnel.private_key)
        taken = {other.port for other in self.links.values() if other is not link} - {None}
        if tunnel.port in taken:
            raise TransientFailure("wg setconf: Unable to modify interface: Address already in use")
        link.key, link.port, link.table = key, tunnel.port, tunnel.table
        link.mark = tunnel.mark
        link.peers = tuple(sorted(tunnel.peers, key=lambda peer: peer.public_key))

    def flush(self, name: str) -> None:
        """Remove the addresses of an interface, and the routes into it."""
        self.link(name).addresses.clear()
        self.link(name).blackhole_routes.clear()
        self._remove_routes(name)

    def add_address(self, name: str, address: InterfaceAddress) -> None:
        """Give an address to an interface."""
        link = self.link(name)
        if address in link.addresses:
            raise TransientFailure(f"ip addr add {address} dev {name}: Address already assigned")
        # RFC 8200 section 5: no IPv6 on a link that cannot carry 1280 bytes.
        if address.version == 6 and link.mtu < 1280:
            raise TransientFailure(f"ip addr add {address} dev {name}: Invalid argument")
        link.addresses.append(address)

    def add_route(self, prefix: Network, name: str, table: int | None) -> None:
        """Route a prefix into an interface, away from any other in the same table."""
        self.link(name)
        self._routes[prefix, table] = name

    def routes_into(self, name: str, table: int | None) -> tuple[Network, ...]:
        """Return the prefixes that a table routes into an interface, sorted."""
        found = (p for (p, of), device in self._routes.items() if (of, device) == (table, name))
        return tuple(sorted(found, key=network_order))

    def replace_table(self, ruleset: str | None) -> None:
        """Put a ruleset in place of uno's table."""
        if ruleset is not None:
            _refuse_ruleset(ruleset)
        self.firewall = ruleset

    def link(self, name: str) -> FakeInterface:
        """Return an interface that uno made."""
        if name not in self.links:
            raise TransientFailure(f'Cannot find device "{name}"')
        return self.links[name]

    def lines(self) -> Iterator[str]:
        """Print all, without secrets."""
        for name in sorted(self.nics):
            yield f"link {name}{'' if self.nics[name].up else ' down'}"
            yield from (f"addr {address} dev {name}" for address in self.nics[name].addresses)
        for prefix in sorted(self.unreachable_routes, key=network_order):
            yield f"route unreachable {prefix}"
        if self.underlay:
            yield from (f"rule {family} underlay" for family in self.underlay.families)
            for route in self.underlay.routes:
                way = f" via {route.gateway}" if route.gateway else ""
                yield f"route underlay {route.destination}{way} dev {route.interface}"
        for name in sorted(self.links):
            yield from self._link_lines(name, self.links[name])
        gone = self._gone()
        for key in sorted(self._parameters.keys() - gone):
            yield f"sysctl {key} = {self._parameters[key]}"
        yield from (f"nft {line}" for line in (self.firewall or "").splitlines())

    def _link_lines(self, name: str, link: FakeInterface) -> Iterator[str]:
        yield f"link {name} mtu {link.mtu}{'' if link.up else ' down'}"
        yield from (f"addr {address} dev {name}" for address in link.addresses)
        where = f" table {link.table}" if link.table else ""
        yield from (
            f"route {prefix} dev {name}{where}" for prefix in self.routes_into(name, link.table)
        )
        yield from (f"sink {prefix} dev {name}" for prefix in link.blackhole_routes)
        if link.key:
            marked = f" fwmark {link.mark:#x}" if link.mark else ""
            port = link.port or "any"
            yield f"wg {name} public-key {_public(link.key)} listen-port {port}{marked}"
        for peer in link.peers:
            words = f"wg {name} peer {peer.public_key} endpoint {peer.endpoint or '(none)'}"
            allowed = ",".join(map(str, peer.allowed_ips)) or "(none)"
            psk = " preshared-key (hidden)" if peer.psk else ""
            yield f"{words} allowed-ips {allowed} keepalive {peer.keepalive or 'off'}{psk}"

    def _remove_routes(self, name: str) -> None:
        self._routes = {key: device for key, device in self._routes.items() if device != name}

    def _gone(self) -> set[str]:
        """Return the parameters of interfaces that have been unplugged."""
        names = ("default", *self.nics)
        there = {key for name in names for key in _interface_parameters(name)}
        return self._parameters.keys() - PARAMETERS.keys() - there


def _interface_parameters(name: str) -> dict[str, str]:
    return {_named(key, name): value for key, value in INTERFACE_PARAMETERS.items()}


def _named(key: str, name: str) -> str:
    """Return the parameter of an interface as sysctl(8) names it."""
    return key.format(name.replace(".", "/"))


def _refuse_ruleset(ruleset: str) -> None:
    tables = re.findall(r"^table .*$", ruleset, re.MULTILINE)
    if tables not in (["table inet uno {"], ["table inet uno_registry {"]):
        raise TransientFailure(f"nft -f -: not uno's one table but {', '.join(tables) or 'none'}")
    if ruleset.count("{") != ruleset.count("}"):
        raise TransientFailure("nft -f -: syntax error, unexpected end of file")


def _clamped(key: Secret) -> Secret:
    """Return a private key as WireGuard keeps it (RFC 7748, section 5)."""
    octets = bytearray(_octets(key))
    octets[0] &= 0b11111000
    octets[31] = octets[31] & 0b01111111 | 0b01000000
    return Secret(b64encode(octets).decode())


def _public(key: Secret) -> str:
    private = X25519PrivateKey.from_private_bytes(_octets(key))
    return b64encode(private.public_key().public_bytes_raw()).decode()


def _octets(key: Secret) -> bytes:
    try:
        octets = b64decode(key.reveal, validate=True)
    except ValueError:
        octets = b""
    if len(octets) != 32:
        raise TransientFailure("wg: Key is not the correct length or format")
    return octets
