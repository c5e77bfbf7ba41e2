from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from uno.diagnostics import Position, Rejected, Severity
from uno.model.checks import Finding
from uno.model.key_ids import Secret
from uno.model.syntax import Mailbox
from uno.model.uvn import Strategy
from uno.spec import Spec, arguments, parse, problems
from uno.spec.document import read
from uno.spec.written_values import (
    CellSpec,
    DeploymentSpec,
    SettingsSpec,
    UserSpec,
    VpnSpec,
)


def place(line: int, column: int) -> Position:
    return Position(file="uvn.yml", line=line, column=column)


def spec_of(text: str) -> Spec:
    return parse(text, file="uvn.yml").spec


@pytest.mark.feature("F019")
def test_what_is_written_is_kept_and_nothing_else() -> None:
    assert spec_of(
        "owner: John Doe <john@example.org>\n"
        "users:\n"
        "  - {email: john@example.org, name: J, password: secret, config: {excluded: true}}\n"
        "cells:\n  - {name: a, allowed_lans: [10.0.0.0/24]}\n"
        "settings:\n  dds_domain: 7\n  root_vpn: {port: 0x10}\n  deployment: {strategy: static}\n"
    ) == Spec(
        owner=Mailbox("john@example.org", "John Doe"),
        users=(
            UserSpec(email="john@example.org", name="J", password=Secret("secret"), excluded=True),
        ),
        cells=(CellSpec(name="a", allowed_lans=(IPv4Network("10.0.0.0/24"),)),),
        settings=SettingsSpec(
            dds_domain=7,
            root_vpn=VpnSpec(port=16),
            deployment=DeploymentSpec(strategy=Strategy.STATIC),
        ),
    )


@pytest.mark.feature("F020")
def test_json_is_yaml() -> None:
    assert spec_of('{"name": "net", "cells": [{"name": "\\u0061", "address": null}]}') == Spec(
        name="net", cells=(CellSpec(name="a"),)
    )


def test_null_is_unset_wherever_it_stands() -> None:
    assert spec_of("name: ~\nusers:\ncells: null\nsettings:\nconfig:\n") == Spec()
    assert spec_of("settings: {dds_domain: null}") == Spec(settings=SettingsSpec())


def test_an_empty_list_of_users_differs_from_none() -> None:
    assert spec_of("users: []").users == ()
    assert spec_of("users:").users is None


def test_values_know_their_places_and_blocks_are_at_their_keys() -> None:
    positions = parse(
        "name: net\ncells:\n  - name: a\n    allowed_lans: [10.0.0.0/24, 10.0.1.0/24]\n"
        "    settings:\n      httpd_port: 8443\n",
        file="uvn.yml",
    ).positions

    assert positions == {
        (): place(1, 1),
        ("name",): place(1, 7),
        ("cells",): place(2, 1),
        ("cells", 0): place(3, 5),
        ("cells", 0, "name"): place(3, 11),
        ("cells", 0, "allowed_lans"): place(4, 19),
        ("cells", 0, "allowed_lans", 0): place(4, 20),
        ("cells", 0, "allowed_lans", 1): place(4, 33),
        ("cells", 0, "settings"): place(5, 5),
        ("cells", 0, "settings", "httpd_port"): place(6, 19),
    }


@pytest.mark.feature("F019")
def test_config_wins_over_the_section_that_it_is_in_wherever_it_stands() -> None:
    before = "config: {address: b, settings: {dds_domain: 2}}\n"
    section = "address: a\nsettings: {dds_domain: 1, middleware: connext}\n"

    for text in (before + section, section + before):
        spec = spec_of(text)
        assert spec.address == "b"
        assert spec.settings
        assert (spec.settings.dds_domain, spec.settings.middleware) == (2, "connext")


def test_a_value_of_config_is_placed_where_it_stands() -> None:
    positions = parse("address: a\nconfig: {address: b}\n", file="uvn.yml").positions

    assert positions["address",] == place(2, 19)


def test_config_of_a_user_has_a_name() -> None:
    users = spec_of("users: [{email: a@b.c, name: A, config: {name: B}}]").users

    assert users == (UserSpec(email="a@b.c", name="B"),)


@pytest.mark.parametrize(
    ("text", "owner"),
    [
        ("a@b.c", Mailbox("a@b.c")),
        ("Ann B. <a@b.c>", Mailbox("a@b.c", "Ann B.")),
        ("<a@b.c>", Mailbox("a@b.c")),
        ("' Ann  <  a@b.c  > '", Mailbox("a@b.c", "Ann")),
        ("Ann <a@b.c> x", Mailbox("Ann <a@b.c> x")),
    ],
)
@pytest.mark.feature("F028")
def test_an_owner_has_an_e_mail_address_and_perhaps_a_name(text: str, owner: Mailbox) -> None:
    assert spec_of(f"owner: {text}").owner == owner


def test_parse_reports_every_problem_of_the_text_at_once() -> None:
    with pytest.raises(Rejected) as caught:
        parse("nam: net\ncells: 4\nsettings: {dds_domain: x}\n", file="uvn.yml")

    assert [problem.where.line for problem in caught.value.problems if problem.where] == [1, 2, 3]


@pytest.mark.feature("F041")
@pytest.mark.parametrize("value", ["true", "false"])
def test_a_key_of_an_earlier_version_is_refused_with_what_to_do(value: str) -> None:
    with pytest.raises(Rejected) as caught:
        parse(f"settings:\n  enable_dds_security: {value}\n", file="uvn.yml")

    (problem,) = caught.value.problems
    assert problem.what == "'enable_dds_security' is not supported any more"
    assert problem.hint == "remove the line: uno signs and seals all messages itself"
    assert problem.where is not None
    assert problem.where.line == 2


def test_what_cannot_be_read_does_not_hide_what_can() -> None:
    document = read(
        "name: net\ncells:\n  - 7\n  - name: b\n    allowed_lans: [x, 10.0.0.0/8]\n", file="f"
    )

    assert document.spec.cells == (
        CellSpec(),
        CellSpec(name="b", allowed_lans=(IPv4Network("10.0.0.0/8"),)),
    )
    assert ("cells", 0) in document.broken
    assert document.positions["cells", 1, "allowed_lans", 0].column == 23


def test_a_flood_of_problems_is_cut() -> None:
    document = read("cells: [" + "1, " * 5000 + "]", file="f")

    assert len(document.problems) == 200


def test_findings_get_the_place_of_their_path_or_of_the_nearest_around_it() -> None:
    positions = {(): place(1, 1), ("cells",): place(2, 1), ("cells", 0, "name"): place(3, 5)}

    def where(*path: str | int) -> Position | None:
        return problems([Finding(path=path, what="w", hint="h")], positions, "uvn.yml")[0].where

    assert where("cells", 0, "name") == place(3, 5)
    assert where("cells", 1, "name") == place(2, 1)
    assert where("settings", "dds_domain") == place(1, 1)
    assert problems([Finding(path=("x",), what="w", hint="h")], {}, "uvn.yml")[0].where == place(
        1, 1
    )


def test_a_finding_about_a_default_is_placed_where_something_was_written() -> None:
    finding = Finding(
        path=("settings", "a"),
        what="w",
        hint="h",
        also=(("settings", "b"), ("settings", "c"), ("settings", "d")),
        severity=Severity.WARNING,
    )
    positions = {(): place(1, 1), ("settings", "b"): place(5, 5), ("settings", "d"): place(9, 9)}

    (problem,) = problems([finding], positions, "uvn.yml")

    assert (problem.where, problem.also) == (place(5, 5), (place(9, 9),))
    assert problem.severity is Severity.WARNING


@pytest.mark.feature("F060")
def test_arguments_are_a_mapping_of_plain_values() -> None:
    found = arguments("{a: [b, 'c'], d: {e: 1, f: 1.5, g: true, h: null}, 1: x}", file="-D")

    assert found == {
        "a": ["b", "c"],
        "d": {"e": 1, "f": 1.5, "g": True, "h": None},
        "1": "x",
    }
    assert arguments("", file="-D") == {}


@pytest.mark.feature("F060")
@pytest.mark.parametrize(
    "text", ["[a]", "a", "~", "{a: .inf}", "{a: 1e999}", "{a: 1, a: 2}", "{[a]: b}"]
)
def test_arguments_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(Rejected, match=r"^-D:1:"):
        arguments(text, file="-D")
