"""uno's table goes in and out in one transaction each, and nothing else is named."""

from __future__ import annotations

import errno
import json
import os
from typing import NoReturn

import pytest

from uno.diagnostics import ActionNeeded, TransientFailure, UnoError
from uno.host.command import CommandFailed, Completed
from uno.host.firewall import nft
from uno.host.netlink import rtnetlink


class Nft:
    """Stands for the `nft` program."""

    def __init__(self, *, status: int = 0, stdout: str = "") -> None:
        self.status, self.stdout = status, stdout
        self.asked: list[str] = []
        self.given: list[str] = []

    def __call__(self, argv: list[str], *, stdin: str = "", check: bool = True) -> Completed:
        assert self.status == 0 or not check
        self.asked.append(" ".join(argv))
        self.given.append(stdin)
        return Completed(argv=tuple(argv), status=self.status, stdout=self.stdout, stderr="")


OLD = """table inet uno {
	set lans {
		type ipv4_addr
		elements = { 192.0.2.0 }
	}

	set links {
		type ifname
	}

	chain from_uwg-b0 {
		accept
	}

	chain forward {
		type filter hook forward priority filter; policy accept;
		iifname vmap { "uwg-b0" : goto from_uwg-b0 }
	}
}
"""
NEW = "table inet uno {\n  set lans {\n    type ipv4_addr\n  }\n\n  chain forward {\n  }\n}\n"


def test_what_each_chain_has_dropped_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def rule(chain: str, *parts: object) -> dict[str, object]:
        return {"rule": {"family": "inet", "table": "uno", "chain": chain, "expr": parts}}

    counted = {"counter": {"packets": 3, "bytes": 180}}
    listed = {
        "nftables": [
            {"metainfo": {"version": "1.0.6"}},
            rule("input", {"match": {}}, counted, {"drop": None}),
            rule("input", counted, {"drop": None}),
            rule("forward", counted, {"accept": None}),
            rule("forward", {"drop": None}),
            rule("output", {"counter": {"packets": 0, "bytes": 0}}, {"drop": None}),
        ]
    }
    program = Nft(stdout=json.dumps(listed))
    monkeypatch.setattr(nft, "run", program)

    assert nft.dropped("uno") == {"input": 6}
    assert program.asked == ["nft -j -t list table inet uno"]
    monkeypatch.setattr(nft, "run", Nft(status=1))
    assert nft.dropped("uno") == {}


@pytest.mark.feature("F080")
@pytest.mark.feature("G25")
def test_the_table_is_made_and_removed_in_one_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    program = Nft()
    monkeypatch.setattr(nft, "run", program)

    nft.replace_table("uno", NEW)
    nft.replace_table("uno", None)

    clear = "table inet uno\ndelete table inet uno\n"
    assert [each for each in program.asked if "list" not in each] == ["nft -f -", "nft -f -"]
    assert [each for each in program.given if each] == [clear + NEW, clear]


@pytest.mark.feature("G07")
def test_a_table_that_is_there_is_changed_in_one_transaction_that_removes_no_chain_it_keeps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = Nft(stdout=OLD)
    monkeypatch.setattr(nft, "run", program)

    nft.replace_table("uno", NEW)

    (given,) = filter(None, program.given)
    assert given == (
        "flush table inet uno\n"
        "flush set inet uno lans\n"
        "flush set inet uno links\n"
        "delete set inet uno links\n"
        "delete chain inet uno from_uwg-b0\n" + NEW
    )


def test_a_table_with_more_than_is_known_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    program = Nft(stdout="table inet uno {\n\tmap foreign {\n\t\ttype mark : verdict\n\t}\n}\n")
    monkeypatch.setattr(nft, "run", program)

    nft.replace_table("uno", NEW)

    (given,) = filter(None, program.given)
    assert given == f"table inet uno\ndelete table inet uno\n{NEW}"


def test_a_table_is_listed_without_its_counters(monkeypatch: pytest.MonkeyPatch) -> None:
    program = Nft(stdout="table inet uno {\n}\n")
    monkeypatch.setattr(nft, "run", program)

    assert nft.listing("uno") == "table inet uno {\n}\n"
    assert program.asked == ["nft -s list table inet uno"]


def test_no_table_is_no_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nft, "run", Nft(status=1))

    assert nft.listing("uno") is None


@pytest.mark.feature("G51")
@pytest.mark.parametrize("code", [errno.EINVAL, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT])
def test_a_kernel_without_nftables_is_named_and_what_to_do(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise TransientFailure("the kernel refuses") from OSError(code, os.strerror(code))

    monkeypatch.setattr(rtnetlink, "answered", refuse)

    with pytest.raises(ActionNeeded, match="this kernel has no nftables") as caught:
        nft.generation()

    assert "modprobe nf_tables" in caught.value.hint


def test_another_failure_of_netlink_stays_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise TransientFailure("no room") from OSError(errno.ENOBUFS, "no room")

    monkeypatch.setattr(rtnetlink, "answered", fail)

    with pytest.raises(TransientFailure, match="no room"):
        nft.generation()


@pytest.mark.feature("G51")
@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("Operation not supported", ActionNeeded),
        ("No such file or directory", ActionNeeded),
        ("Device or resource busy", CommandFailed),
    ],
)
def test_a_kernel_that_lacks_a_part_of_nftables_is_named_with_the_modules(
    reason: str, kind: type[UnoError], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(argv: list[str], **_: object) -> NoReturn:
        raise CommandFailed(argv, "failed", stderr=f"Error: Could not process rule: {reason}")

    monkeypatch.setattr(nft, "run", run)

    with pytest.raises(kind) as caught:
        nft.replace_table("uno", None)

    assert ("nft_ct" in caught.value.hint) == (kind is ActionNeeded)


@pytest.mark.parametrize(("status", "accepted"), [(0, True), (1, False)])
def test_rules_that_this_kernel_may_not_accept_are_checked_once_and_not_set(
    monkeypatch: pytest.MonkeyPatch, *, status: int, accepted: bool
) -> None:
    program = Nft(status=status)
    monkeypatch.setattr(nft, "run", program)
    nft.accepts.cache_clear()

    found = [nft.accepts("some rules"), nft.accepts("some rules")]

    nft.accepts.cache_clear()
    assert found == [accepted, accepted]
    assert (program.asked, program.given) == (["nft --check -f -"], ["some rules"])
