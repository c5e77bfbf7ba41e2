"""Interfaces of a userspace WireGuard, read through its socket, as values."""

from __future__ import annotations

import socket
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from threading import Barrier, Thread

import pytest

from uno.host.command import Completed
from uno.host.wireguard import interfaces, uapi
from uno.host.wireguard.uapi import SocketReader
from uno.model.key_ids import Secret
from uno.model.tunnel import Peer
from uno.ports.host import PeerStatus

KEYS = {name: bytes([number] * 32) for number, name in enumerate(("own", "b", "a", "psk"), start=1)}
TOLD = f"""\
private_key={KEYS["own"].hex()}
listen_port=63550
public_key={KEYS["b"].hex()}
preshared_key={KEYS["psk"].hex()}
protocol_version=1
endpoint=198.51.100.2:63551
last_handshake_time_sec=1700000000
last_handshake_time_nsec=5
tx_bytes=920
rx_bytes=1480
persistent_keepalive_interval=25
allowed_ip=::/0
allowed_ip=0.0.0.0/0
public_key={KEYS["a"].hex()}
preshared_key={"0" * 64}
protocol_version=1
last_handshake_time_sec=0
last_handshake_time_nsec=0
tx_bytes=0
rx_bytes=0
persistent_keepalive_interval=0
errno=0

"""


# wireguard-go returns peers in any order.
_OWN, _FIRST, _SECOND = TOLD.removesuffix("errno=0\n\n").split("public_key=")
OTHER_ORDER = f"{_OWN}public_key={_SECOND}public_key={_FIRST}errno=0\n\n"


@pytest.fixture(autouse=True)
def _sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uapi, "SOCKETS", tmp_path)


@contextmanager
def served(name: str, answer: bytes) -> Iterator[list[bytes]]:
    """Serve one request; the list has it afterwards."""
    asked: list[bytes] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.bind(str(uapi.SOCKETS / f"{name}.sock"))
        door.listen()

        def serve() -> None:
            caller, _ = door.accept()
            with caller:
                asked.append(caller.recv(64))
                caller.sendall(answer)

        thread = Thread(target=serve)
        thread.start()
        try:
            yield asked
        finally:
            thread.join(5)


def dump_of(answer: str) -> interfaces.Dump:
    with served("uwg-b9", answer.encode()):
        return interfaces.dump(["uwg-b9"])["uwg-b9"]


def key(name: str) -> str:
    return b64encode(KEYS[name]).decode()


def test_an_interface_is_read_with_its_peers_and_how_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(interfaces, "run", None)
    with served("uwg-b0", TOLD.encode()) as asked:
        dumps = interfaces.dump(["uwg-b0"])

    (found,) = dumps.values()
    assert asked == [b"get=1\n\n"]
    assert (found.private_key, found.port) == (Secret(key("own")), 63550)
    assert found.peers == (
        Peer(
            public_key=key("b"),
            psk=Secret(key("psk")),
            endpoint="198.51.100.2:63551",
            allowed_ips=(IPv4Network("0.0.0.0/0"), IPv6Network("::/0")),
            keepalive=25,
        ),
        Peer(public_key=key("a")),
    )
    assert found.status[0] == PeerStatus(
        public_key=key("b"),
        endpoint="198.51.100.2:63551",
        handshake=1700000000,
        received=1480,
        sent=920,
    )
    assert found.status[1].handshake == 0


def test_how_the_peers_are_is_read_over_a_connection_that_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(interfaces, "run", None)
    reader = interfaces.InterfaceReader()
    with served("uwg-b0", TOLD.encode()):
        found = reader.peer_status(["uwg-b0"])
        assert reader.peer_status([]) == {}

    assert found == {"uwg-b0": dump_of(TOLD).status}
    assert [each.public_key for each in found["uwg-b0"]] == [key("b"), key("a")]
    assert uapi.peer_status(OTHER_ORDER.encode()) == found["uwg-b0"]


def test_interfaces_without_a_process_are_left_to_wg(monkeypatch: pytest.MonkeyPatch) -> None:
    row = ["uwg-b0", "B=", "(none)", "198.51.100.2:63551", "::/0", "1700000000", "3", "4", "off"]
    listed = "uwg-b0\tK=\tP=\t63550\toff\n" + "\t".join(row) + "\n"
    done = Completed(argv=("wg",), status=0, stdout=listed, stderr="")
    monkeypatch.setattr(interfaces, "run", lambda _: done)

    (status,) = interfaces.InterfaceReader().peer_status(["uwg-b0", "gone"])["uwg-b0"]

    assert (status.handshake, status.received, status.sent) == (1700000000, 3, 4)


@pytest.mark.parametrize("reported", [b"", TOLD.encode()[:-1], b"errno=0"])
def test_who_does_not_finish_has_not_answered(reported: bytes) -> None:
    with served("uwg-b0", reported):
        assert uapi.query("uwg-b0") is None


def test_a_socket_without_a_process_does_not_answer() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(uapi.SOCKETS / "uwg-b0.sock"))

    assert not uapi.answers("uwg-b0")
    assert uapi.query("uwg-b0") is None
    assert uapi.query("uwg-b1") is None


@pytest.mark.feature("G51")
def test_a_connection_is_kept_and_made_anew_where_the_process_has_ended() -> None:
    reader = SocketReader()
    assert reader.read("uwg-b0") is None

    with served("uwg-b0", TOLD.encode()) as asked:
        assert reader.read("uwg-b0") == TOLD.encode()
    assert asked == [b"get=1\n\n"]
    # The process has ended after its first response.
    assert reader.read("uwg-b0") is None
    (uapi.SOCKETS / "uwg-b0.sock").unlink()

    with served("uwg-b0", TOLD.encode()):
        assert reader.read("uwg-b0") == TOLD.encode()
        reader.retain([])


@pytest.mark.feature("G51")
def test_all_processes_are_asked_before_the_first_response_is_read() -> None:
    reader, asked = SocketReader(), Barrier(2, timeout=20)

    def serve(door: socket.socket) -> None:
        caller, _ = door.accept()
        with caller:
            caller.recv(64)
            # No process answers before the other is asked.
            asked.wait()
            caller.sendall(TOLD.encode())

    with ExitStack() as stack:
        threads = []
        for name in ("uwg-b0", "uwg-b1"):
            door = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            door.bind(str(uapi.SOCKETS / f"{name}.sock"))
            door.listen()
            threads.append(Thread(target=serve, args=(door,)))
            threads[-1].start()
        found = reader.read_all(("uwg-b0", "uwg-b1", "uwg-b2"))
        for each in threads:
            each.join(20)

    assert found == {"uwg-b0": TOLD.encode(), "uwg-b1": TOLD.encode(), "uwg-b2": None}
    reader.retain([])


@pytest.mark.feature("G51")
@pytest.mark.parametrize(
    ("now", "differs"),
    [
        (TOLD, False),
        (OTHER_ORDER, False),
        (TOLD.replace("rx_bytes=1480", "rx_bytes=1512"), False),
        (TOLD.replace("time_sec=1700000000", "time_sec=1700000120"), False),
        (TOLD.replace("198.51.100.2:63551", "203.0.113.9:4711"), False),
        (TOLD.replace("interval=25", "interval=0"), True),
        (TOLD.replace("allowed_ip=::/0\n", ""), True),
        (TOLD.replace("listen_port=63550", "listen_port=63551"), True),
        (TOLD.replace(KEYS["psk"].hex(), "0" * 64), True),
    ],
    ids=[
        "same",
        "order",
        "bytes",
        "handshake",
        "roamed",
        "keepalive",
        "allowed-ips",
        "port",
        "psk",
    ],
)
def test_what_is_read_changes_with_the_configuration_alone(now: str, *, differs: bool) -> None:
    found, reader = [], SocketReader()
    for text in (TOLD, now):
        with served("uwg-b0", text.encode()):
            found.append(uapi.configured(reader.read("uwg-b0") or b""))
            reader.forget("uwg-b0")
        (uapi.SOCKETS / "uwg-b0.sock").unlink()

    assert (found[0] != found[1]) is differs
