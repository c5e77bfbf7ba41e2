"""What `wg show all dump` prints, as values; what is given to `wg setconf`."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest

from uno.host import programs
from uno.host.command import Completed
from uno.host.wireguard import interfaces
from uno.model.key_ids import Secret
from uno.model.tunnel import Peer, Tunnel
from uno.ports.host import PeerStatus

DUMP = """\
uwg-b0\tPRIVATE0=\tPUBLIC0=\t63550\toff
uwg-b0\tZED=\tPSK=\t198.51.100.2:63551\t::/0,0.0.0.0/0\t1700000000\t1480\t920\t25
uwg-b0\tALPHA=\t(none)\t(none)\t(none)\t0\t0\t0\toff
uwg-v0\tPRIVATE1=\tPUBLIC1=\t40123\t0x1
uwg-v0\tREG=\tPSK1=\t[2001:db8::1]:63447\tfd00::1/128,10.255.128.1/32\t0\t0\t148\toff
wg-home\t(none)\t(none)\t0\toff
"""


class Wg:
    """Stands for the `wg` program."""

    def __init__(self, stdout: str = "") -> None:
        self.stdout = stdout
        self.asked: list[list[str]] = []
        self.given = ""

    def __call__(self, argv: list[str], *, stdin: str = "", **_: object) -> Completed:
        self.asked.append(argv)
        self.given = stdin
        return Completed(argv=tuple(argv), status=0, stdout=self.stdout, stderr="")


@pytest.mark.feature("F065")
@pytest.mark.feature("F086")
def test_a_dump_is_read_interface_by_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interfaces, "run", Wg(DUMP))

    dumps = interfaces.dump(["uwg-v0", "uwg-b0", "wg-home", "gone"])

    assert list(dumps) == ["uwg-b0", "uwg-v0", "wg-home"]
    link, root, home = dumps.values()
    assert (link.port, link.private_key) == (63550, Secret("PRIVATE0="))
    assert (link.mark, root.mark) == (0, 1)
    assert link.peers == (
        Peer(public_key="ALPHA="),
        Peer(
            public_key="ZED=",
            psk=Secret("PSK="),
            endpoint="198.51.100.2:63551",
            allowed_ips=(IPv4Network("0.0.0.0/0"), IPv6Network("::/0")),
            keepalive=25,
        ),
    )
    assert link.status[0] == PeerStatus(
        public_key="ZED=",
        endpoint="198.51.100.2:63551",
        handshake=1700000000,
        received=1480,
        sent=920,
    )
    assert root.peers[0].endpoint == "[2001:db8::1]:63447"
    assert root.peers[0].allowed_ips == (
        IPv4Network("10.255.128.1/32"),
        IPv6Network("fd00::1/128"),
    )
    assert (home.port, home.peers, home.status) == (0, (), ())
    assert "PRIVATE" not in repr(dumps)
    assert "PSK" not in repr(dumps)


def test_the_port_of_an_interface_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    program = Wg("40001\n")
    monkeypatch.setattr(interfaces, "run", program)

    assert interfaces.port("uwg-b0") == 40001
    assert program.asked == [["wg", "show", "uwg-b0", "listen-port"]]


def test_no_interfaces_take_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    program = Wg(DUMP)
    monkeypatch.setattr(interfaces, "run", program)

    assert interfaces.dump([]) == {}
    assert program.asked == []


@pytest.mark.feature("G51")
def test_the_packets_of_an_interface_get_its_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    program = Wg()
    monkeypatch.setattr(interfaces, "run", program)
    tunnel = Tunnel(
        name="uwg-b0", private_key=Secret("PRIVATE="), mtu=1320, addresses=(), mark=0xB7
    )

    interfaces.configure(tunnel, endpoints={}, fresh=False)

    assert program.given == "[Interface]\nPrivateKey = PRIVATE=\nFwMark = 0xb7\n"


@pytest.mark.feature("F066")
def test_keys_go_in_by_standard_input_and_never_by_the_command_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = Wg()
    monkeypatch.setattr(interfaces, "run", program)
    tunnel = Tunnel(
        name="uwg-b0",
        private_key=Secret("PRIVATE="),
        mtu=1320,
        addresses=(),
        peers=(
            Peer(
                public_key="ONE=",
                psk=Secret("PSK="),
                endpoint="gw.example.org:63550",
                allowed_ips=(IPv4Network("0.0.0.0/0"), IPv6Network("::/0")),
                keepalive=25,
            ),
            Peer(public_key="TWO=", endpoint="gone.example.org:63550"),
        ),
        port=63550,
    )

    interfaces.configure(tunnel, endpoints={"gw.example.org:63550": "192.0.2.1:63550"}, fresh=True)

    assert program.asked == [["wg", "setconf", "uwg-b0", "/proc/self/fd/0"]]
    assert program.given == (
        "[Interface]\nPrivateKey = PRIVATE=\nListenPort = 63550\n"
        "[Peer]\nPublicKey = ONE=\nPresharedKey = PSK=\nEndpoint = 192.0.2.1:63550\n"
        "AllowedIPs = 0.0.0.0/0, ::/0\nPersistentKeepalive = 25\n"
        "[Peer]\nPublicKey = TWO=\nPresharedKey = AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
        "AllowedIPs = \nPersistentKeepalive = off\n"
    )


@pytest.mark.feature("G07")
def test_a_tunnel_at_work_is_changed_by_the_difference_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = Wg()
    monkeypatch.setattr(interfaces, "run", program)
    tunnel = Tunnel(name="uwg-b0", private_key=Secret("K="), mtu=1320, addresses=())

    interfaces.configure(tunnel, endpoints={}, fresh=False)

    assert program.asked == [["wg", "syncconf", "uwg-b0", "/proc/self/fd/0"]]
    assert program.given == "[Interface]\nPrivateKey = K=\n"


def test_a_new_session_is_started_by_removing_the_peer_and_adding_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = Wg()
    monkeypatch.setattr(interfaces, "run", program)
    peer = Peer(public_key="ONE=", psk=Secret("PSK="), allowed_ips=(IPv4Network("10.0.0.0/8"),))

    interfaces.initiate_handshake("x", peer, endpoint="192.0.2.1:1")

    assert program.asked[0] == ["wg", "set", "x", "peer", "ONE=", "remove"]
    assert " ".join(program.asked[1]) == (
        "wg set x peer ONE= allowed-ips 10.0.0.0/8 endpoint 192.0.2.1:1 "
        "persistent-keepalive 0 preshared-key /proc/self/fd/0"
    )
    assert program.given == "PSK=\n"


@pytest.mark.feature("G30")
@pytest.mark.parametrize(
    ("kinds", "reported"),
    [
        ([], "none"),
        (["wireguard", "wireguard"], "kernel"),
        (["tun"], "wireguard-go v0.0.20220316"),
        (["tun", "wireguard"], "wireguard-go v0.0.20220316"),
    ],
)
def test_the_kind_is_the_kernel_or_name_and_version_of_the_program(
    kinds: list[str], reported: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interfaces, "_program", lambda: "/usr/bin/wireguard-go")
    monkeypatch.setattr(programs, "version", lambda _: "wireguard-go v0.0.20220316\n\nUserspace\n")

    assert interfaces.kind(kinds) == reported


@pytest.mark.parametrize("queue", [False, True])
def test_an_interface_of_the_kernel_gets_a_queue_on_request(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, queue: bool
) -> None:
    program = Wg()
    monkeypatch.setattr(interfaces, "run", program)

    interfaces.create("uwg-v0", log=tmp_path / "log", queue=queue)

    command = ["tc", "qdisc", "replace", "dev", "uwg-v0", "root", "pfifo"]
    assert program.asked[1:] == ([command] if queue else [])
