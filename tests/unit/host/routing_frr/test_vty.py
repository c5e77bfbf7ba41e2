"""Asking FRR: its framing over a real socket, and its answers (taken from FRR 8.4) as values."""

from __future__ import annotations

import gc
import json
import socket
import warnings
from pathlib import Path

import pytest

from uno.diagnostics import UnoError
from uno.host.routing_frr import vty
from uno.host.socket_timeout import limit_calls
from uno.ports.host import SessionStatus
from vty_daemon import daemon


def test_an_answer_ends_with_three_zeros_and_a_status(tmp_path: Path) -> None:
    with daemon(tmp_path, "zebra", {"show version": "FRRouting 8.4\n"}) as received:
        assert vty.query(tmp_path, "zebra", "show version") == "FRRouting 8.4\n"

    assert received == ["enable", "show version"]


def test_an_answer_in_pieces_is_put_together(tmp_path: Path) -> None:
    long = "x" * 300_000

    with daemon(tmp_path, "bgpd", {"show": long}):
        assert vty.query(tmp_path, "bgpd", "show") == long


def test_a_daemon_that_hangs_up_is_an_error(tmp_path: Path) -> None:
    with daemon(tmp_path, "bgpd", {}), pytest.raises(OSError, match="closed the connection"):
        vty.query(tmp_path, "bgpd", "show")


def test_a_daemon_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        vty.query(tmp_path, "bgpd", "show")


def test_a_kept_connection_is_used_again_and_made_anew_where_the_daemon_has_ended(
    tmp_path: Path,
) -> None:
    kept = vty.VtyConnection(tmp_path / "bgpd.vty")
    assert kept.query("show") is None

    with daemon(tmp_path, "bgpd", {"show": "one"}) as received:
        assert [kept.query("show"), kept.query("show")] == [b"one", b"one"]
        # The daemon hangs up, and does not listen any more.
        assert kept.query("unknown") is None
    assert received == ["enable", "show", "show", "unknown"]
    (tmp_path / "bgpd.vty").unlink()

    with daemon(tmp_path, "bgpd", {"show": "two"}):
        assert kept.query("show") == b"two"
        kept.close()


def test_all_daemons_are_asked_at_once_and_each_answers_for_itself(tmp_path: Path) -> None:
    zebra, bfdd, bgpd = (vty.VtyConnection(tmp_path / f"{it}.vty") for it in ("zebra", "bfdd", "b"))

    with daemon(tmp_path, "zebra", {"show": "1"}), daemon(tmp_path, "bfdd", {"show": "2"}):
        assert vty.query_all([(bfdd, "show"), (bgpd, "show"), (zebra, "show")]) == (
            b"2",
            None,
            b"1",
        )
        assert vty.query_all([(zebra, "show"), (bfdd, "unknown")]) == (b"1", None)
        zebra.close()


def test_a_daemon_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vty, "limit_calls", lambda one, _: limit_calls(one, 0.1))
    kept = vty.VtyConnection(tmp_path / "bgpd.vty")

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as hangs:
        hangs.bind(str(kept.path))
        hangs.listen()

        assert kept.query("show") is None


def test_a_kept_connection_goes_with_its_owner(tmp_path: Path) -> None:
    kept = vty.VtyConnection(tmp_path / "bgpd.vty")

    with warnings.catch_warnings(record=True) as caught, daemon(tmp_path, "bgpd", {"show": "one"}):
        warnings.simplefilter("always")
        assert kept.query("show") == b"one"
        del kept
        gc.collect()

    assert caught == []


def test_steps_are_done_in_configuration_mode_one_after_the_other(tmp_path: Path) -> None:
    reported = {"configure terminal": "", "bfd": "", "no peer 10.0.0.1": "", "exit": ""}

    with daemon(tmp_path, "bfdd", reported) as received:
        vty.configure(tmp_path, "bfdd", [("bfd", "no peer 10.0.0.1", "exit"), ("bfd", "exit")])

    assert received == [
        "enable",
        "configure terminal",
        "bfd",
        "no peer 10.0.0.1",
        *("exit", "bfd"),
        "exit",
    ]


def test_a_command_that_is_refused_is_named_with_the_reason(tmp_path: Path) -> None:
    reported = {"configure terminal": "", "bfd": "", "peer x": "% [BFD] Unknown command: peer x\n"}

    with (
        daemon(tmp_path, "bfdd", reported),
        pytest.raises(UnoError, match=r"bfdd refused `peer x`: % \[BFD\] Unknown command"),
    ):
        vty.configure(tmp_path, "bfdd", [("bfd",), ("peer x",), ("exit",)])


def test_a_session_has_the_prefixes_of_both_families_and_its_bfd_state(tmp_path: Path) -> None:
    found = sessions(
        tmp_path,
        bgp={
            "ipv4Unicast": {"peers": {"10.1.0.3": peer("Established", 2), "10.1.0.1": peer()}},
            "ipv6Unicast": {"peers": {"10.1.0.3": peer("Established", 1), "10.1.0.1": peer()}},
        },
        bfd=[{"multihop": False, "peer": "10.1.0.3", "status": "up"}],
    )

    assert found == (
        SessionStatus(neighbor="10.1.0.1", state="Active", prefixes=0, bfd="none", flaps=0),
        SessionStatus(neighbor="10.1.0.3", state="Established", prefixes=3, bfd="up", flaps=4),
    )


def test_without_neighbours_there_are_no_sessions(tmp_path: Path) -> None:
    assert sessions(tmp_path, bgp={}, bfd=[]) == ()


def test_where_a_daemon_is_silent_no_session_is_known(tmp_path: Path) -> None:
    bgpd, bfdd = connections(tmp_path)
    known = {"ipv4Unicast": {"peers": {"10.1.0.1": peer()}}}
    assert vty.sessions(bgpd, bfdd) == ()

    with daemon(tmp_path, "bgpd", {"show bgp summary json": json.dumps(known)}):
        assert vty.sessions(bgpd, bfdd) == ()
        bgpd.close()


_SUMMARY = json.dumps({"ipv4Unicast": {"peers": {"10.1.0.1": {"state": "Established"}}}})


@pytest.mark.parametrize(
    ("bgp", "bfd"),
    [
        (_SUMMARY[:40], "[]"),
        ("% Unknown command: show bgp summary json\n", "[]"),
        ("[]", "[]"),
        ('{"ipv4Unicast": {"peers": {"10.1.0.1": "up"}}}', "[]"),
        ('{"ipv4Unicast": {"peers": {"10.1.0.1": {"pfxRcd": "many"}}}}', "[]"),
        (_SUMMARY, '[{"peer": "10.1.'),
        (_SUMMARY, "[{}]"),
        (_SUMMARY, "\xff"),
    ],
)
def test_what_is_no_answer_of_a_daemon_leaves_its_sessions_unknown(
    tmp_path: Path, bgp: str, bfd: str
) -> None:
    bgpd, bfdd = connections(tmp_path)
    with (
        daemon(tmp_path, "bgpd", {"show bgp summary json": bgp}),
        daemon(tmp_path, "bfdd", {"show bfd peers json": bfd}),
    ):
        assert vty.sessions(bgpd, bfdd) == ()
        bgpd.close()
        bfdd.close()


def peer(state: str = "Active", prefixes: int = 0) -> dict[str, object]:
    dropped = 4 if prefixes else 0
    return {
        "remoteAs": 4200000002,
        "pfxRcd": prefixes,
        "state": state,
        "peerState": "OK",
        "connectionsDropped": dropped,
    }


def sessions(
    folder: Path, *, bgp: dict[str, object], bfd: list[dict[str, object]]
) -> tuple[SessionStatus, ...]:
    """Return the sessions that daemons with these answers have."""
    bgpd, bfdd = connections(folder)
    with (
        daemon(folder, "bgpd", {"show bgp summary json": json.dumps(bgp)}),
        daemon(folder, "bfdd", {"show bfd peers json": json.dumps(bfd)}),
    ):
        found = vty.sessions(bgpd, bfdd)
        bgpd.close()
        bfdd.close()
    return found


def connections(folder: Path) -> tuple[vty.VtyConnection, vty.VtyConnection]:
    return vty.VtyConnection(folder / "bgpd.vty"), vty.VtyConnection(folder / "bfdd.vty")
