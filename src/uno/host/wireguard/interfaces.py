"""WireGuard interfaces, of the kernel or of a userspace process.

Sources: wg(8), wireguard-go's README.

The kernel is tried first. The userspace implementation is a process per interface; it ends when
its interface is deleted, and is configured with `wg` like the kernel's, through a socket.
"""

from __future__ import annotations

import os
import threading
import time
from base64 import b64encode
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from uno.diagnostics import ActionNeeded, TransientFailure, UnoError
from uno.host import programs
from uno.host.command import CommandFailed, find, run, start
from uno.host.wireguard import uapi
from uno.host.wireguard.kernel_settings import KernelReader
from uno.model.key_ids import Secret
from uno.model.net import network, network_order
from uno.model.tunnel import Peer, Tunnel
from uno.ports.host import PeerStatus

# Not /dev/stdin, which is made at boot and not everywhere.
STDIN = "/proc/self/fd/0"

# A userspace process forwards packets, and should wait for few programs; it has less priority than
# FRR's daemons (`daemons.NICENESS`), whose packets it carries.
NICENESS = -5

# wg(8): a preshared key of zeros is none.
_NO_PSK = b64encode(bytes(32)).decode()

# Time for a userspace process to answer; it takes 6 ms on an idle machine.
READY_SECONDS = 10.0


class Dump(Struct, frozen=True, kw_only=True):
    """One interface as it is now; endpoints are those that peers roamed to."""

    name: str
    private_key: Secret
    port: int
    mark: int
    peers: tuple[Peer, ...]
    status: tuple[PeerStatus, ...]


def create(name: str, *, log: Path, queue: bool = False) -> None:
    """Create an interface, in the kernel or else by the userspace implementation.

    With `queue`, sending to a peer without an endpoint is no error.
    """
    done = run(["ip", "link", "add", "dev", name, "type", "wireguard"], check=False)
    if done.status == 0:
        if queue:
            _set_queue(name)
        return
    if "Unknown device type" not in done.stderr and "not supported" not in done.stderr:
        raise CommandFailed(done.argv, f"ended with status {done.status}", stderr=done.stderr)
    _create_userspace(name, log)


def configure(tunnel: Tunnel, *, endpoints: dict[str, str], fresh: bool) -> None:
    """Set keys, port and peers; peers that stay as they are keep their sessions.

    `endpoints` are the resolved endpoints by name as written; a peer whose endpoint is not
    among them is set without one.
    """
    verb = "setconf" if fresh else "syncconf"
    words = ["wg", verb, tunnel.name, STDIN]
    done = run(words, stdin=configuration(tunnel, endpoints), check=False)
    if done.status != 0:
        taken = "in use" in done.stderr and tunnel.port is not None
        raise CommandFailed(
            words,
            f"ended with status {done.status}",
            stderr=done.stderr,
            hint=f"find the program that uses UDP port {tunnel.port} with `ss -lunp`"
            if taken
            else "",
        )


def port(name: str) -> int:
    """Return the UDP port that an interface has now."""
    return int(run(["wg", "show", name, "listen-port"]).stdout)


def initiate_handshake(name: str, peer: Peer, *, endpoint: str) -> None:
    """Remove a peer's session, and initiate a handshake at once.

    An unanswered handshake is retried after 5 s (REKEY_TIMEOUT in the WireGuard paper, section
    6.1), and so are later ones; a new peer has no such delay.
    """
    run(["wg", "set", name, "peer", peer.public_key, "remove"])
    allowed = ",".join(map(str, peer.allowed_ips))
    words = ["wg", "set", name, "peer", peer.public_key, "allowed-ips", allowed]
    words += ["endpoint", endpoint, "persistent-keepalive", str(peer.keepalive)]
    if peer.psk:
        run([*words, "preshared-key", STDIN], stdin=peer.psk.reveal + "\n")
    else:
        run(words)


def set_endpoint(name: str, peer: Peer, *, endpoint: str) -> None:
    """Set a peer's endpoint; its session stays."""
    run(["wg", "set", name, "peer", peer.public_key, "endpoint", endpoint])


def dump(names: Iterable[str]) -> dict[str, Dump]:
    """Return those of these interfaces that exist, by name."""
    wanted = frozenset(names)
    settings = {name: uapi.query(name) for name in sorted(wanted)}
    found = {name: _from_uapi(name, each) for name, each in settings.items() if each is not None}
    if found.keys() == wanted:
        return found
    return found | {name: each for name, each in _from_wg().items() if name in wanted}


class InterfaceReader:
    """Reads interfaces again and again, without a program to start where that is possible."""

    def __init__(self) -> None:
        """Keep connections to userspace processes from the first read on."""
        self._userspace = uapi.SocketReader()
        self._kernel = KernelReader()

    def configured(self, names: Iterable[str]) -> object:
        """Return what is configured on these interfaces, without what peers and packets change.

        Raises `UnoError`.
        """
        responses = self._responses(names)
        return {
            name: self._kernel.read(name) if response is None else uapi.configured(response)
            for name, response in responses.items()
        }

    def peer_status(self, names: Iterable[str]) -> dict[str, tuple[PeerStatus, ...]]:
        """Return the peers of those of these interfaces that exist. Raises `UnoError`."""
        responses = self._responses(names)
        found = {
            name: uapi.peer_status(response)
            for name, response in responses.items()
            if response is not None
        }
        if found.keys() == responses.keys():
            return found
        dumps = _from_wg()
        return found | {name: dumps[name].status for name in responses.keys() & dumps.keys()}

    def _responses(self, names: Iterable[str]) -> dict[str, bytes | None]:
        """Return the response of each interface's process, None of those without one."""
        wanted = sorted(names)
        self._userspace.retain(wanted)
        return self._userspace.read_all(wanted)


def _from_uapi(name: str, settings: list[tuple[str, str]]) -> Dump:
    private_key, port, mark = uapi.interface(settings)
    peers = uapi.peers(settings)
    return Dump(
        name=name,
        private_key=private_key,
        port=port,
        mark=mark,
        peers=tuple(peer for peer, _ in peers),
        status=tuple(status for _, status in peers),
    )


def _from_wg() -> dict[str, Dump]:
    """Return all interfaces that `wg` shows, those of the kernel included."""
    rows = [line.split("\t") for line in run(["wg", "show", "all", "dump"]).stdout.splitlines()]
    return {
        row[0]: Dump(
            name=row[0],
            private_key=Secret(row[1]),
            port=int(row[3]),
            mark=0 if row[4] == "off" else int(row[4], 0),
            peers=_sorted(_peer(each) for each in rows if len(each) == 9 and each[0] == row[0]),
            status=tuple(_status(each) for each in rows if len(each) == 9 and each[0] == row[0]),
        )
        for row in rows
        if len(row) == 5
    }


def kind(interface_kinds: Iterable[str]) -> str:
    """Return the implementation of interfaces of these driver kinds."""
    kinds = set(interface_kinds)
    if not kinds:
        return "none"
    if kinds == {"wireguard"}:
        return "kernel"
    program = _program()
    if program is None:
        return "userspace"
    printed = programs.version(Path(program)).splitlines()
    return printed[0].strip() if printed else Path(program).name


def _set_queue(name: str) -> None:
    """Give an interface of the kernel a queueing discipline, as a userspace one has by default.

    Without one, sending fails each time: with `Destination address required` while a peer has no
    endpoint, with `Required key not available` without a peer (Linux 6.1).
    """
    # Without tc, or kernel support for it, programs that send get those errors, and lose nothing.
    with suppress(UnoError):
        run(["tc", "qdisc", "replace", "dev", name, "root", "pfifo"], check=False)


def _create_userspace(name: str, log: Path) -> None:
    program = _program()
    if program is None:
        raise ActionNeeded(
            f"cannot create interface {name}: this kernel has no WireGuard, "
            "and there is no wireguard-go",
            "install the package wireguard-go, or a kernel with WireGuard",
        )
    words = ["nice", "-n", str(NICENESS), program, "--foreground", name]
    process = start(words, log=log, env={"LOG_LEVEL": "error"})
    # With autogroup scheduling, nice has effect within a session only (sched(7), "The autogroup
    # feature"), and this program has a session of its own.
    with suppress(OSError):
        Path(f"/proc/{process.pid}/autogroup").write_text(str(NICENESS))
    deadline = time.monotonic() + READY_SECONDS
    while not uapi.answers(name):
        if process.status() is not None:
            raise ActionNeeded(f"`{program} {name}` ended at once: {_last_line(log)}", _NO_TUN)
        if time.monotonic() > deadline:
            process.stop()
            raise TransientFailure(
                f"`{program} {name}` did not respond within {READY_SECONDS:g} s", _NO_TUN
            )
        threading.Event().wait(0.005)


_NO_TUN = (
    "check that /dev/net/tun can be opened, and fs.inotify.max_user_instances if there are "
    "more than a hundred interfaces"
)


def is_available() -> bool:
    """Whether the kernel has WireGuard, loaded, built in or as a module, or a program provides it.

    The lists of modules are those of modules.dep(5) and kmod's modules.builtin.
    """
    if Path("/sys/module/wireguard").exists() or _program() is not None:
        return True
    modules = Path("/lib/modules") / os.uname().release
    for name in ("modules.builtin", "modules.dep"):
        with suppress(OSError):
            if "/wireguard.ko" in (modules / name).read_text(errors="replace"):
                return True
    return False


def _program() -> str | None:
    chosen = os.environ.get("WG_QUICK_USERSPACE_IMPLEMENTATION", "wireguard-go")
    return find(chosen)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return lines[-1] if lines else "no output"


def configuration(tunnel: Tunnel, endpoints: Mapping[str, str]) -> str:
    """Return the configuration of an interface as `wg setconf` reads it.

    `endpoints` are as for `configure`.
    """
    lines = ["[Interface]", f"PrivateKey = {tunnel.private_key.reveal}"]
    if tunnel.port is not None:
        lines.append(f"ListenPort = {tunnel.port}")
    if tunnel.mark:
        lines.append(f"FwMark = {tunnel.mark:#x}")
    for peer in tunnel.peers:
        lines += ["[Peer]", f"PublicKey = {peer.public_key}"]
        # `wg syncconf` keeps what a file does not mention of a peer that stays.
        lines.append(f"PresharedKey = {peer.psk.reveal if peer.psk else _NO_PSK}")
        if peer.endpoint and peer.endpoint in endpoints:
            lines.append(f"Endpoint = {endpoints[peer.endpoint]}")
        lines.append(f"AllowedIPs = {', '.join(map(str, peer.allowed_ips))}")
        lines.append(f"PersistentKeepalive = {peer.keepalive or 'off'}")
    return "\n".join(lines) + "\n"


def _peer(row: list[str]) -> Peer:
    _, public_key, psk, endpoint, allowed, _, _, _, keepalive = row
    networks = [network(each) for each in allowed.split(",") if allowed != "(none)"]
    return Peer(
        public_key=public_key,
        psk=None if psk == "(none)" else Secret(psk),
        endpoint=None if endpoint == "(none)" else endpoint,
        allowed_ips=tuple(sorted(networks, key=network_order)),
        keepalive=0 if keepalive == "off" else int(keepalive),
    )


def _status(row: list[str]) -> PeerStatus:
    return PeerStatus(
        public_key=row[1],
        endpoint=None if row[3] == "(none)" else row[3],
        handshake=int(row[5]),
        received=int(row[6]),
        sent=int(row[7]),
    )


def _sorted(peers: Iterable[Peer]) -> tuple[Peer, ...]:
    return tuple(sorted(peers, key=lambda peer: peer.public_key))
