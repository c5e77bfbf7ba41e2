"""`uno doctor` and `uno explain` as they are typed: output, JSON, exit status, completion."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import typer

from commands import Uno
from uno.cli.input import completion
from uno.cli.output import diagnosis_view, explanation_view
from uno.diagnosis.check_result import CheckResult, CheckState, Diagnosis
from uno.diagnosis.explained_path import Cause, Direction, Explanation, Hop, HopState
from uno.registry.store import backup_record, directory

NO_AGENT = ("cells", "clocks", "links", "reach")


@pytest.mark.feature("G42")
def test_at_a_registry_without_an_agent_what_is_not_checked_has_its_reason(site: Uno) -> None:
    found = site("doctor")

    lines = found.out.splitlines()
    assert found.status == 1
    assert lines[0].startswith("registry of net: 12 checks, ")
    assert any(line.startswith("not checked: cells, clocks, links, reach: ") for line in lines)
    assert max(map(len, lines)) <= 80

    everything = site("doctor", "-a").out
    assert "disk: there is room for files" in everything
    assert "disk" not in found.out

    as_json = json.loads(site("doctor", "--json").out)
    assert as_json["subject"] == "registry"
    states = {each["check"]: each["state"] for each in as_json["results"]}
    assert len(states) == 12
    assert {states[check] for check in NO_AGENT} == {"not checked"}


def test_a_directory_without_cell_or_registry_is_refused(uno: Uno, tmp_path: Path) -> None:
    for words in (("doctor",), ("explain", "a", "b")):
        found = uno(*words, "-r", str(tmp_path), in_root=False)
        assert found.status == 2
        assert "neither a registry nor a cell" in found.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_directory_that_cannot_be_read_leaves_the_checks_of_the_host(
    uno: Uno, tmp_path: Path
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    found = uno("doctor", "-r", str(closed), in_root=False)

    assert found.status in {1, 2}
    assert "the cell's package cannot be read" in " ".join(found.out.split())


@pytest.mark.feature("G42")
def test_explain_at_a_registry_without_an_agent_shows_the_planned_path(site: Uno) -> None:
    found = site("explain", "192.168.1.9", "b")

    assert found.status == 1
    assert found.out.splitlines()[0] == (
        "192.168.1.9 (LAN 192.168.1.0/24 of a) and cell b, seen from the registry:"
    )
    assert "  planned: a – b" in found.out
    assert "not enough is known here to tell" in found.out
    assert "note: no agent runs at the registry" in found.out

    as_json = json.loads(site("explain", "a", "b", "-J").out)
    assert as_json["reaches"] is None
    assert as_json["forth"]["planned"] == ["a", "b"]
    assert as_json["back"]["hops"][0]["state"] == "unknown"


@pytest.mark.feature("G42")
def test_a_ban_that_is_not_released_is_explained(site: Uno) -> None:
    assert site("ban", "particle", "phone", "-y").status == 0

    found = site("explain", "phone", "192.168.1.0/24")

    assert found.status == 2
    assert "cause: particle phone is banned" in found.out
    assert "→ if that is not right: uno unban particle phone; uno sync" in found.out


def test_what_nobody_has_is_refused_with_a_hint(site: Uno) -> None:
    found = site("explain", "phon", "10.9.9.9")

    assert found.status == 2
    assert "did you mean phone?" in found.err


def test_names_that_can_be_explained_are_completed(site: Uno, root: Path) -> None:
    assert site("list", "cells").status == 0
    context = typer.Context(typer.main.get_command(typer.Typer(callback=print)))  # type: ignore[arg-type]
    context.params["root"] = root

    assert completion.places(context, "") == [
        *("a", "b", "phone", "192.168.1.0/24", "192.168.2.0/24"),
    ]
    assert completion.places(context, "192.168.2") == ["192.168.2.0/24"]


def test_a_backup_is_recorded(site: Uno, root: Path, tmp_path: Path) -> None:
    (tmp_path / "word").write_text("secret secret secret\n")
    done = site("backup", str(tmp_path / "b"), "--passphrase-file", str(tmp_path / "word"))
    assert done.status == 0, done.err

    with directory.opened(root, for_change=False) as registry:
        last = backup_record.last(registry.store.database)

    assert last is not None
    assert last.generation == 4


def test_results_are_wrapped_faults_first_and_good_ones_on_request() -> None:
    long = "the clock is wrong and " * 8
    results = (
        CheckResult(check="disk", state=CheckState.GOOD, what="there is room"),
        CheckResult(check="clock", state=CheckState.WARNING, what=long, remedy="set it"),
        CheckResult(check="links", state=CheckState.FAULT, what="one is down", remedy="look"),
        CheckResult(check="mtu", state=CheckState.NOT_CHECKED, what="no root"),
        CheckResult(check="loss", state=CheckState.NOT_CHECKED, what="no root"),
    )
    found = Diagnosis(uvn="net", subject="home", results=results)

    lines = [each.plain for each in diagnosis_view.lines(found)]

    assert found.exit_status == 2
    assert lines[0] == "home of net: 5 checks, 1 fault, 1 warning, 2 not checked"
    assert lines[1:3] == ["fault: links: one is down", "  → look"]
    assert lines[3].startswith("warning: clock: ")
    assert lines[-1] == "not checked: mtu, loss: no root"
    assert max(map(len, lines)) <= 80
    shown = [each.plain for each in diagnosis_view.lines(found, everything=True)]
    assert shown[-1] == "disk: there is room"
    good = Diagnosis(uvn="net", subject="home", results=results[:1])
    assert (good.exit_status, diagnosis_view.summary(good)) == (0, "1 check, all good")


def test_an_explanation_is_wrapped_with_path_cause_and_remarks() -> None:
    names = tuple(f"a-cell-with-a-long-name-{n}" for n in range(5))
    hop = Hop(
        source=names[0],
        target=names[1],
        state=HopState.DOWN,
        interface="uwg-b0",
        handshake=900,
        bgp="Active",
        bfd="down",
        rtt=12.34,
        loss=0.5,
        mtu=1320,
    )
    cause = Cause(where=names[0], what="nothing answers " * 8, remedy="look there " * 9)
    one = Direction(
        source="LAN 1",
        target="LAN 2",
        planned=names,
        used=names[::-1],
        hops=(hop,),
        reaches=False,
        cause=cause,
        remarks=("it is late",),
    )
    found = Explanation(uvn="net", viewer="home", a="LAN 1", b="LAN 2", forth=one, back=one)

    lines = [each.plain for each in explanation_view.lines(found)]

    assert lines[:2] == ["LAN 1 and LAN 2, seen from home:", "they do not reach each other"]
    assert max(map(len, lines)) <= 80
    text = " ".join(" ".join(lines).split())
    for part in ("down, handshake 15 min ago, BGP Active", "12.3 ms, 50% lost, MTU 1320"):
        assert part in text
    assert "cause: nothing answers" in text
    assert "note: it is late" in text
    assert lines.count("LAN 1 → LAN 2") == 2
