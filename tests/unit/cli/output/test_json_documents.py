"""What commands print with --json is of the types that are documented, for every command."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from commands import Uno, run
from script_modules import script_module
from uno.cli import main
from uno.cli.commands import doctor, explain, watch_status
from uno.cli.output import json_documents
from uno.cli.output.json_documents import DOCUMENTS, printed
from uno.diagnosis.check_result import CheckResult, CheckState, Diagnosis
from uno.diagnosis.explained_path import Cause, Direction, Explanation, Hop, HopState
from uno.model import codec
from uno.model.messages import Ack, Phase
from uno.model.net import network
from uno.model.status import CellStatus, CellView, LanState, LinkState, UndonePackage, UvnView

ROOT = Path(__file__).resolve().parents[4]
SPEC = "{owner: john@example.org, cells: [{name: a, address: new.example.org}]}"
# What is typed after each command; `;` separates several calls.
TYPED = {
    "define uvn": "net -o john@example.org -p x",
    "define cell": "c -N 192.168.3.0/24; d -a d.example.org --dry-run",
    "define particle": "pad",
    "define user": "eve@example.org -p x -n Eve",
    "config uvn": "",
    "config cell": "a; a -U --location attic",
    "config particle": "phone",
    "config user": "john@example.org",
    "redeploy": "-S circular; -S full-mesh",
    "apply": f"-s '{SPEC}'",
    "plan": f"-s '{SPEC}'",
    "rollback": "3 -y",
    "ban cell": "b -y",
    "ban particle": "phone -y",
    "ban user": "jane@example.org -y",
    "unban cell": "b -y",
    "unban particle": "phone -y",
    "unban user": "jane@example.org -y",
    "delete cell": "b -y",
    "delete particle": "phone -y",
    "delete user": "jane@example.org -y",
    "rekey uvn": "-R; -P",
    "rekey cell": "a -B; a --stolen",
    "rekey particle": "phone",
    "rekey backbone": "",
    "rekey registry": "",
    "verify": "; --depth 2",
    "history": "; -n 1",
    "log": "",
    "diff": "; 1 3",
    "list users": "",
    "list cells": "",
    "list particles": "",
    "list links": "",
    "list keys": "",
    "list generations": "",
    "show uvn": "",
    "show cell": "a; b",
    "show particle": "phone",
    "show user": "john@example.org",
    "show link": "a b",
    "show generation": "2",
    "show plan": "",
    "show backbone": "",
    "show ca": "",
}
BEFORE = {
    "ban user": "define user jane@example.org -p x",
    "unban user": "define user jane@example.org -p x; ban user jane@example.org -y",
    "delete user": "define user jane@example.org -p x",
    "unban cell": "ban cell b -y",
    "unban particle": "ban particle phone -y",
    "list cells": "ban cell b -y",
    "list particles": "define particle pad; ban particle phone -y",
    "verify": "define cell c -N 192.168.3.0/24",
}
# What takes an agent or a host: by the values that they print.
ELSEWHERE = {"status", "sync", "service status", "doctor", "explain"}


def commands_with_json() -> Iterator[str]:
    def walk(command: Any, tokens: tuple[str, ...] = ()) -> Iterator[str]:
        for name, below in getattr(command, "commands", {}).items():
            yield from walk(below, (*tokens, name))
        for each in command.params if not hasattr(command, "commands") else ():
            if "--json" in each.opts:
                assert "-J" in each.opts, tokens
                yield " ".join(tokens)

    return walk(main.whole())


@pytest.mark.feature("G41")
def test_every_command_with_json_is_documented_and_tried() -> None:
    assert sorted(commands_with_json()) == sorted(DOCUMENTS)
    assert TYPED.keys() | ELSEWHERE == DOCUMENTS.keys()


@pytest.mark.feature("G41")
@pytest.mark.parametrize("command", TYPED)
def test_a_command_prints_what_is_documented(command: str, site: Uno, tmp_path: Path) -> None:
    for words in BEFORE.get(command, "").split(";"):
        assert not words or site(*shlex.split(words)).status == 0
    # A new UVN is of a directory of its own, which is the last that is named.
    elsewhere = ("-r", str(tmp_path / "new")) if command == "define uvn" else ()
    for words in TYPED[command].split(";"):
        typed = (*command.split(), *shlex.split(words), "-J")
        done = run(*typed, *elsewhere) if elsewhere else site(*typed)

        assert done.status in {0, 1, 3}, done.out + done.err
        whole(done.out, DOCUMENTS[command])


def whole(text: str, kind: Any) -> None:
    """Check that `text` is a value of `kind` and holds nothing else."""
    value = codec.decode(text, printed(kind))

    assert json.loads(codec.encode(value)) == json.loads(text)


STATUS = CellStatus(
    generation=4,
    lans=(LanState(network=network("192.168.1.0/24"), interface="eth0"),),
    links=(LinkState(cell=2, interface="uwg-b0", bgp="Established"),),
    undone=UndonePackage(generation=3, reason="no contact", age=12),
)
VIEW = UvnView(
    uvn="net",
    viewer=0,
    generation=4,
    cells=(
        CellView(
            id=1,
            name="a",
            package=4,
            status=STATUS,
            ack=Ack(generation=4, phase=Phase.CONFIRMED, running=4),
            age=1.5,
            alive=True,
        ),
        CellView(id=2, name="b"),
    ),
)


@pytest.mark.feature("G41")
@pytest.mark.parametrize(
    ("command", "more"),
    [
        ("status", {"not_released": {"generations": [5], "revoked": ["ban of cell b"]}}),
        ("sync", {"done": False, "missing": ["b  no contact yet"]}),
    ],
)
def test_a_view_is_what_is_documented(command: str, more: dict[str, Any]) -> None:
    whole(json.dumps({**watch_status.as_dict(VIEW), **more}), DOCUMENTS[command])


@pytest.mark.feature("G42")
def test_a_diagnosis_is_what_is_documented() -> None:
    result = CheckResult(check="clock", state=CheckState.WARNING, what="it is slow")
    found = Diagnosis(uvn="net", subject="a", results=(result,))

    whole(codec.encode(doctor.as_dict(found)).decode(), DOCUMENTS["doctor"])


@pytest.mark.feature("G42")
@pytest.mark.parametrize("reaches", [True, False, None])
def test_an_explanation_is_what_is_documented(*, reaches: bool | None) -> None:
    hop = Hop(source="a", target="b", state=HopState.UP, rtt=1.5)
    cause = Cause(where="b", what="it is off", remedy="start it")
    way = Direction(source="a", target="b", hops=(hop,), reaches=reaches, cause=cause)
    found = Explanation(uvn="net", viewer="a", a="LAN 1", b="LAN 2", forth=way, back=way)

    whole(codec.encode(explain.as_dict(found)).decode(), DOCUMENTS["explain"])


@pytest.mark.feature("G41")
@pytest.mark.parametrize("words", ["show cell c", "apply -s '{cells: 5}'", "lsit", "show cell"])
def test_a_failure_is_what_is_documented(site: Uno, words: str) -> None:
    done = site(*shlex.split(words), "-J")

    assert done.status == 2
    whole(done.out, json_documents.ErrorDocument)


@pytest.mark.feature("G41")
def test_the_schema_of_a_command_is_printed(uno: Uno) -> None:
    found = json.loads(uno("schema", "list", "cells", in_root=False).out)

    assert found["$schema"].startswith("https://json-schema.org/")
    assert found["items"] == {"$ref": "#/$defs/ListedCell"}
    cell = found["$defs"]["ListedCell"]
    assert "links" in cell["required"]
    assert "node4" not in cell["required"]
    # A later uno may print more.
    assert "additionalProperties" not in cell


def test_a_command_without_json_has_no_schema(uno: Uno) -> None:
    refused = uno("schema", "list", "cell", in_root=False)

    assert refused.status == 2
    assert refused.err == "uno: no command 'list cell' prints JSON; did you mean list cells?\n"


@pytest.fixture
def reference() -> ModuleType:
    return script_module("json_reference")


@pytest.mark.feature("G41")
def test_the_reference_is_current(reference: ModuleType) -> None:
    assert reference.PAGE.read_text() == reference.page(), "run: python scripts/json_reference.py"
