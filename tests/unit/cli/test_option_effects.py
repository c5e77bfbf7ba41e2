"""Every option of every command changes what is printed, or what is made.

The options are taken from the commands themselves, so that a new one is tried here, or by another
test that names it, or this fails.
What the values of a specification do on hosts and phones is in tests/property/test_effects.py.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import pytest

from commands import Outcome, run
from documented import counts
from uno.cli.main import whole
from uno.host import systemd
from uno.host.command import Completed

Baselines: TypeAlias = Callable[[str, tuple[str, ...]], str]

TESTS = Path(__file__).parents[2]
SPEC = """
owner: john@example.org
address: registry.example.org
users:
  - {email: john@example.org, password: johns}
  - {email: jane@example.org, password: janes}
cells:
  - {name: a, address: a.example.org, allowed_lans: [192.168.1.0/24]}
  - {name: b, address: b.example.org, allowed_lans: [192.168.2.0/24]}
  - {name: c, allowed_lans: [192.168.3.0/24]}
particles:
  - {name: phone}
"""


class Recipe(NamedTuple):
    """How an option is tried: `typed` with `given` beside it, after the commands in `before`."""

    typed: str
    given: str
    before: tuple[str, ...] = ()


HOOK = "https://hooks.example.org/uno"
# Of `define uvn` and `config uvn`, which have them from one declaration.
UVN_VALUES = {
    **{f"--{vpn}-vpn-{key}": value
       for vpn in ("root", "particles", "backbone")
       for key, value in {"mtu": "1400", "keepalive": "10", "interface": "vpn{}"}.items()},
    "--root-vpn-push-port": "40001",
    "--root-vpn-pull-port": "40002",
    "--particles-vpn-port": "40003",
    "--backbone-vpn-port": "40004",
    "--root-vpn-subnet": "10.1.0.0/22",
    "--particles-vpn-subnet": "10.2.0.0/16",
    "--backbone-vpn-subnet": "10.3.0.0/20",
    "--backbone-vpn-allowed-ips": "172.30.0.0/24",
    "--address": "new.example.org",
    "--timing-profile": "fast",
    "--middleware": "connext",
    "--dds-domain": "7",
    "--disable-root-vpn": "",
    "--disable-particles-vpn": "",
    "--no-particles-vpn-masquerade": "",
    "--no-particles-vpn-tunnel": "",
    "--strategy": "circular",
    "--private-uplinks": "2",
    "--notify": HOOK,
    "--notify-via": f"b --notify {HOOK}",
    "--notify-hold": f"5 --notify {HOOK}",
    "--notify-heartbeat": "https://hc.example.org/ping",
}  # fmt: skip
# Of `define cell` and `config cell`.
CELL_VALUES = {
    "--owner": "jane@example.org",
    "--address": "new.example.org",
    "--network": "192.168.9.0/24",
    "--httpd-port": "8443",
    "--location": "attic",
    "--web-certificate": "/etc/page.pem --web-key /etc/page.key",
    "--web-key": "/etc/page.key --web-certificate /etc/page.pem",
    "--root-vpn-port": "40001",
    "--particles-vpn-port": "40002",
    "--backbone-vpn-port": "40003",
    "--timing-profile": "metered",
    "--disable-particles-vpn": "",
}
CONFIG = {
    "uvn": "-a x.example.org",
    "cell a": "-a x.example.org",
    "particle phone": "-n new",
    "user jane@example.org": "-n Jane",
}
# What switches the other way, after it was switched.
BACK = {
    "--enable-root-vpn": "--disable-root-vpn",
    "--enable-particles-vpn": "--disable-particles-vpn",
    "--particles-vpn-masquerade": "--no-particles-vpn-masquerade",
    "--particles-vpn-tunnel": "--no-particles-vpn-tunnel",
}
# The same, switched off by a specification.
OFF = {
    "--enable-root-vpn": "enable_root_vpn: false",
    "--enable-particles-vpn": "enable_particles_vpn: false",
    "--particles-vpn-masquerade": "particles_vpn: {masquerade: false}",
    "--particles-vpn-tunnel": "particles_vpn: {tunnel: false}",
}
ARGUMENTS, OTHERS = "-D '{a: [b, c]}'", "-D '{a: [b, c], b: [c]}'"
STATIC = f"config uvn -U -S static {ARGUMENTS}"
NEW_UVN = "define uvn net -o john@example.org -p secret"


def declaring() -> Iterator[tuple[str, str, Recipe]]:
    """Yield the options that change the definition, by command."""
    for option, value in UVN_VALUES.items():
        # It names a cell, which is in the file.
        typed = f"{NEW_UVN} -s {{spec}}" if option == "--notify-via" else NEW_UVN
        yield "define uvn", option, Recipe(typed, f"{option} {value}")
        yield "config uvn", option, Recipe("config uvn -U", f"{option} {value}")
    yield "define uvn", "--owner", Recipe(NEW_UVN, "-o jane@example.org")
    yield "config uvn", "--owner", Recipe("config uvn -U", "-o jane@example.org")
    static = f"define uvn net -s {{spec}} -S static {ARGUMENTS}"
    yield "define uvn", "--strategy-args", Recipe(static, OTHERS)
    yield "config uvn", "--strategy-args", Recipe("config uvn -U", OTHERS, (STATIC,))
    yield "redeploy", "--strategy-args", Recipe("redeploy", OTHERS, (STATIC,))
    yield "define uvn", "--spec", Recipe(NEW_UVN, "-s {spec}")
    for option, first in BACK.items():
        change = f"config uvn -U {first}"
        yield "config uvn", option, Recipe("config uvn -U", option, (change,))
        yield "define uvn", option, Recipe(f"{NEW_UVN} -s 'settings: {{{OFF[option]}}}'", option)
    yield (
        "config uvn",
        "--no-address",
        Recipe("config uvn -U", "--no-address", ("config uvn -U --disable-root-vpn",)),
    )
    notified = (f"config uvn -U --notify {HOOK}",)
    yield "config uvn", "--no-notify", Recipe("config uvn -U", "--no-notify", notified)
    for option, value in CELL_VALUES.items():
        yield "define cell", option, Recipe("define cell z", f"{option} {value}")
        yield "config cell", option, Recipe("config cell a -U", f"{option} {value}")
    for option, first, given in (
        ("--enable-particles-vpn", "--disable-particles-vpn", "--enable-particles-vpn"),
        ("--no-location", "--location attic", "--no-location"),
        ("--no-web-certificate", "--web-certificate /c --web-key /k", "--no-web-certificate"),
        ("--no-timing-profile", "--timing-profile metered", "--no-timing-profile"),
        ("--default-ports", "--root-vpn-port 40001", "--default-ports"),
        ("--add-network", "", "--add-network 192.168.9.0/24"),
        ("--remove-network", "", "--remove-network 192.168.1.0/24"),
        ("--no-address", "--root-vpn-port 40001", "--no-address"),
        ("--name", "", "-n z"),
    ):
        change = (f"config cell a -U {first}",) if first else ()
        yield "config cell", option, Recipe("config cell a -U", given, change)
    yield "define cell", "--link", Recipe("define cell z -a z.example.org -L a", "-L b", (STATIC,))
    yield "config cell", "--link", Recipe("config cell c -U", "-L a -L b", (STATIC,))
    yield "define particle", "--owner", Recipe("define particle pad", "-o jane@example.org")
    yield "config particle", "--owner", Recipe("config particle phone -U", "-o jane@example.org")
    yield "config particle", "--name", Recipe("config particle phone -U", "-n pad")
    yield "define user", "--name", Recipe("define user eve@example.org -p eves", "-n Eve")
    yield "config user", "--name", Recipe("config user jane@example.org -U", "-n Jane")
    yield "redeploy", "--strategy", Recipe("redeploy", "-S circular")
    yield "redeploy", "--private-uplinks", Recipe("redeploy", "--private-uplinks 2")
    yield "apply", "--spec", Recipe("apply", "-s 'cells: [{name: a, address: x.example.org}]'")
    yield "apply", "--prune", Recipe("apply -y -s '{owner: john@example.org}'", "--prune")

    for what, given in CONFIG.items():
        yield (
            " ".join(f"config {what}".split()[:2]),
            "--update",
            Recipe(f"config {what} {given}", "-U"),
        )


def printing() -> Iterator[tuple[str, str, Recipe]]:
    """Yield the options that change what is printed or written, by command."""
    for what, given in CONFIG.items():
        command = " ".join(f"config {what}".split()[:2])
        yield (
            command,
            "--query",
            Recipe(f"config {what}", f"-Q {'name' if given[1] == 'n' else 'address'}"),
        )
        yield command, "--print", Recipe(f"config {what} -U {given}", "-P")
    for what in ("cell z -N 10.9.0.0/24", "particle z", "user z@example.org -p z", "uvn net"):
        kind = what.split()[0]
        typed = NEW_UVN if kind == "uvn" else f"define {what}"
        yield f"define {kind}", "--print", Recipe(typed, "-P")
        yield f"define {kind}", "--query", Recipe(typed, "-Q name")
    yield "plan", "--spec", Recipe("plan", "-s 'cells: [{name: a, address: x.example.org}]'")
    yield "plan", "--prune", Recipe("plan -s '{owner: john@example.org}'", "--prune")
    yield "export", "--secrets", Recipe("export", "--secrets")
    yield "verify", "--depth", Recipe("verify", "--depth 2")
    yield "verify", "--assumptions", Recipe("verify", "--assumptions")
    yield "doctor", "--all", Recipe("doctor", "--all")
    yield "show cell", "--metrics-token", Recipe("show cell a", "--metrics-token")
    yield "history", "--number", Recipe("history", "-n 1", ("define particle pad",))
    yield "log", "--number", Recipe("log", "-n 1", ("define particle pad",))
    yield "guide", "--html", Recipe("guide a", "--html")
    yield "guide", "--output", Recipe("guide a", "-o {folder}/guide.md")
    yield "guide", "--all", Recipe("guide", "--all {folder}/guides")
    yield "guide", "--gateway", Recipe("guide a", "-g 192.168.1.77")
    for command, name in (("rekey uvn", ""), ("rekey cell", " a")):
        for option in ("--root-vpn", "--particles-vpn", "--backbone"):
            yield command, option, Recipe(f"{command}{name}", option)
    yield "rekey particle", "--cell", Recipe("rekey particle phone", "-c a")
    yield "show particle", "--cell", Recipe("show particle phone --qr", "-c a")
    yield "show particle", "--qr", Recipe("show particle phone -c a", "--qr")


def options(*, hidden: bool = True) -> Iterator[tuple[str, str]]:
    """Yield every command with each spelling of each of its options, long ones alone."""

    def walk(command: Any, tokens: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
        for name, below in getattr(command, "commands", {}).items():
            yield from walk(below, (*tokens, name))
        is_run = not hasattr(command, "commands") or command.invoke_without_command
        for each in command.params if tokens and is_run else ():
            if each.param_type_name != "option" or each.name == "help":
                continue
            if hidden or not each.hidden:
                yield " ".join(tokens), each.opts[-1]
                yield from ((" ".join(tokens), spelled) for spelled in each.secondary_opts)

    return walk(whole())


OPTIONS = set(options())
DECLARING = [each for each in declaring() if each[:2] in OPTIONS]
PRINTING = [each for each in printing() if each[:2] in OPTIONS]

# What asks, typed so that it does; `install` and the units ask in tests of their own.
NEWCOMER = "-o 'Eve <eve@example.org>'"
QUESTIONS = {
    "define cell": Recipe(f"define cell z {NEWCOMER}", ""),
    "define particle": Recipe(f"define particle z {NEWCOMER}", ""),
    "config uvn": Recipe(f"config uvn -U {NEWCOMER}", ""),
    "config cell": Recipe(f"config cell a -U {NEWCOMER}", ""),
    "config particle": Recipe(f"config particle phone -U {NEWCOMER}", ""),
    "apply": Recipe("apply --prune -s '{owner: john@example.org, users: []}'", ""),
    "rollback": Recipe("rollback 1", "", ("define particle pad",)),
    "delete cell": Recipe("delete cell a", ""),
    "delete particle": Recipe("delete particle phone", ""),
    "delete user": Recipe("delete user jane@example.org", ""),
}
ASKING_ELSEWHERE = {
    "backup": "test_at_rest.py::"
    "test_a_backup_is_not_replaced_without_a_yes_nor_put_into_the_registry",
    "passphrase remove": "test_at_rest.py::test_a_passphrase_is_changed_and_removed",
    "install": "commands/test_install.py::test_the_fingerprint_is_confirmed_or_denied_by_an_option",
    "cell install": "commands/test_install.py::"
    "test_the_fingerprint_is_confirmed_or_denied_by_an_option",
    "service install": "test_option_effects.py::"
    "test_the_unit_of_another_cell_is_replaced_after_a_yes",
    "cell service enable": "test_option_effects.py::"
    "test_the_unit_of_another_cell_is_replaced_after_a_yes",
}

UNIT = [("service install", option) for option in ("--agent", "--boot", "--start")]

# What takes a network, a terminal or two passwords: the test that tries it.
ELSEWHERE = {
    ("define uvn", "--password"): "unit/cli/commands/test_define.py::"
    "test_a_uvn_is_defined_with_its_owner_and_a_password",
    ("define uvn", "--password-file"): "unit/cli/commands/test_define.py::"
    "test_a_password_can_come_from_a_file",
    ("define user", "--password"): "unit/cli/commands/test_browse_history.py::"
    "test_no_password_is_in_the_log",
    **{
        (f"config {each}", "--generate"): "unit/cli/commands/test_config.py::"
        "test_packages_that_a_large_change_postponed_are_written"
        for each in ("uvn", "cell", "particle", "user")
    },
    ("define user", "--password-file"): "unit/cli/commands/test_define.py::"
    "test_a_password_can_come_from_a_file",
    ("config uvn", "--password"): "unit/cli/commands/test_config.py::"
    "test_the_owner_and_their_password_change",
    ("config uvn", "--password-file"): "unit/cli/commands/test_config.py::"
    "test_a_user_gets_another_name_and_password",
    ("config user", "--password"): "unit/cli/commands/test_config.py::"
    "test_a_user_gets_another_name_and_password",
    ("config user", "--password-file"): "unit/cli/commands/test_config.py::"
    "test_a_user_gets_another_name_and_password",
    ("restore", "--generation"): "unit/cli/test_at_rest.py::test_a_restore_can_go_on_at_a_number",
    ("passphrase change", "--new-passphrase-file"): "unit/cli/test_at_rest.py::"
    "test_a_passphrase_is_changed_and_removed",
    ("install", "--registry-key"): "unit/cli/commands/test_install.py::"
    "test_a_fingerprint_that_is_not_the_registrys_refuses_the_package",
    ("cell install", "--registry-key"): "unit/cli/commands/test_install.py::"
    "test_a_fingerprint_that_is_not_the_registrys_refuses_the_package",
    ("update", "--package"): "unit/cli/commands/test_update.py::"
    "test_a_newer_package_is_installed_and_applied",
    ("install", "--force"): "unit/cli/commands/test_install.py::"
    "test_a_package_to_keep_is_marked_so_for_the_agent",
    ("install", "--wait"): "unit/cli/commands/test_install.py::"
    "test_without_waiting_nothing_is_known_yet",
    ("cell install", "--force"): "unit/cli/commands/test_install.py::"
    "test_a_package_to_keep_is_marked_so_for_the_agent",
    ("cell install", "--wait"): "unit/cli/commands/test_install.py::"
    "test_without_waiting_nothing_is_known_yet",
    ("install", "--no-wait"): "unit/cli/commands/test_install.py::"
    "test_without_waiting_nothing_is_known_yet",
    ("cell install", "--no-wait"): "unit/cli/commands/test_install.py::"
    "test_without_waiting_nothing_is_known_yet",
    ("agent", "--web"): "lab/test_pages.py::"
    "test_the_page_at_the_registry_shows_every_cell_with_its_agent_and_what_is_left_without",
    ("web", "--address"): "lab/test_pages.py::"
    "test_the_page_at_the_registry_shows_every_cell_with_its_agent_and_what_is_left_without",
    ("web", "--port"): "unit/cli/commands/test_serve_web.py::"
    "test_a_port_that_is_taken_is_named_and_nothing_is_served",
    ("export", "--files"): "unit/cli/commands/test_export_cell.py::"
    "test_a_cell_is_exported_as_plain_files_that_only_the_owner_reads",
    ("export", "--lan-interface"): "unit/cli/commands/test_export_cell.py::"
    "test_another_export_replaces_the_first_and_nothing_else",
    ("notify mute", "--for"): "unit/cli/commands/test_notify.py::"
    "test_a_cell_is_muted_once_its_agent_has_advertised_it",
    ("rekey cell", "--stolen"): "unit/cli/commands/test_rekey.py::"
    "test_after_a_theft_the_new_package_is_to_be_carried_by_hand",
    ("service down", "--forget"): "lab/test_service.py::"
    "test_down_removes_exactly_what_uno_made_but_unreachable_routes_which_forget_removes",
    ("status", "--watch"): "unit/cli/commands/test_watch_status.py::"
    "test_watching_programs_get_an_object_a_line",
    ("sync", "--consistent-config"): "unit/cli/commands/test_run_sync.py::"
    "test_it_waits_for_the_configuration_and_by_default_for_routes",
    ("sync", "--max-wait-time"): "unit/cli/commands/test_run_sync.py::"
    "test_it_is_over_when_the_time_is_up_and_lists_the_cells_that_lag",
    ("service up", "--wait"): "lab/test_names.py::"
    "test_a_second_up_calls_a_neighbour_that_has_moved_at_its_new_address",
    ("agent", "--systemd"): "unit/cli/test_option_effects.py::"
    "test_an_agent_for_systemd_is_refused_where_it_awaits_none",
    ("lab up", "--agents"): "lab/test_demo.py::"
    "test_a_lab_with_agents_is_changed_by_the_command_that_it_names",
    ("lab down", "--all"): "lab/test_demo.py::"
    "test_a_lab_with_agents_is_changed_by_the_command_that_it_names",
    ("lab demo", "--spec"): "lab/test_demo.py::test_the_demo_passes_and_leaves_nothing",
}
# Without a test of their own, since what they choose is chosen by one condition.
UNTRIED = {
    ("define cell", "--enable-particles-vpn"): "what a new cell does without it, stated",
    ("lab exec", "--lab"): "which of several labs; with one it makes no difference",
    ("lab demo", "--keep"): "the lab stays, as for any other that `lab up` made",
}
# What all commands have, or all that change something. Declared once (`options.Common` and
# `Changing`), and so tried on some.
GENERAL = {
    "--root", "--verbose", "--quiet", "--yes", "--no", "--passphrase-file", "--json", "--dry-run",
    "--message", "--as",
}  # fmt: skip


def test_every_option_is_tried_here_or_elsewhere() -> None:
    tried = {(command, option) for command, option, _ in (*DECLARING, *PRINTING)}
    known = tried | set(UNIT) | ELSEWHERE.keys() | UNTRIED.keys()
    general = {each for each in OPTIONS if each[1] in GENERAL}

    assert known == OPTIONS - general
    assert [*counts("tests/unit/cli/test_option_effects.py").values()] == [
        len(OPTIONS),
        len(general),
        len(known) - len(UNTRIED),
        len(UNTRIED),
    ]


@pytest.mark.parametrize("named", sorted(set(ELSEWHERE.values())))
def test_what_tries_an_option_elsewhere_is_there(named: str) -> None:
    file, _, test = named.partition("::")

    assert f"def {test}(" in (TESTS / file).read_text()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("options")
    (folder / "uvn.yml").write_text(SPEC)
    done = run("define", "uvn", "net", "-s", str(folder / "uvn.yml"), "-r", str(folder / "uvn"))
    assert done.status == 0
    return folder


class Registry:
    """A copy of a registry, and commands on it."""

    def __init__(self, made: Path, folder: Path, before: tuple[str, ...] = ()) -> None:
        self.root, self.folder = folder / "uvn", folder
        folder.mkdir()
        self.spec = made / "uvn.yml"
        shutil.copytree(made / "uvn", self.root)
        for first in before:
            assert self.run(first).status == 0

    def run(self, typed: str) -> Outcome:
        if typed.startswith("define uvn"):
            shutil.rmtree(self.root, ignore_errors=True)
        places = {"{spec}": self.spec, "{folder}": self.folder}
        for name, path in places.items():
            typed = typed.replace(name, str(path))
        words = shlex.split(typed)
        done = run(*words, "-r", str(self.root))
        return Outcome(done.status, done.out.replace(str(self.folder), ""), done.err)

    def definition(self) -> str:
        # Addresses of notifications may hold secrets, which no export has.
        return self.run("export").out + self.run("config uvn").out

    def files(self) -> set[str]:
        return {str(path.relative_to(self.folder)) for path in self.folder.rglob("*")}


@pytest.fixture(scope="module")
def baselines(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Baselines:
    """Return the definition that a command leads to without the option, each made once."""

    @cache
    def definition(typed: str, before: tuple[str, ...]) -> str:
        registry = Registry(made, tmp_path_factory.mktemp("without") / "it", before)
        # These change nothing, or are refused, without an option.
        if not typed.startswith(("config", "apply")):
            assert registry.run(typed).status == 0
        return registry.definition()

    return definition


def named(found: tuple[str, str, Recipe]) -> str:
    return f"{found[0]} {found[1]}"


@pytest.mark.parametrize(("command", "option", "recipe"), DECLARING, ids=map(named, DECLARING))
def test_an_option_changes_what_is_declared(
    command: str,
    option: str,
    recipe: Recipe,
    made: Path,
    baselines: Baselines,
    tmp_path: Path,
) -> None:
    beside = Registry(made, tmp_path / "beside", recipe.before)

    done = beside.run(f"{recipe.typed} {recipe.given}")

    assert done.status == 0, (command, option, done.err)
    assert beside.definition() != baselines(recipe.typed, recipe.before)


@pytest.mark.parametrize(("command", "option", "recipe"), PRINTING, ids=map(named, PRINTING))
def test_an_option_changes_what_is_printed_or_written(
    command: str, option: str, recipe: Recipe, made: Path, tmp_path: Path
) -> None:
    without, beside = (
        Registry(made, tmp_path / name, recipe.before) for name in ("without", "beside")
    )
    before = without.run(recipe.typed)

    done = beside.run(f"{recipe.typed} {recipe.given}")

    assert done.status in {0, 1, 3}, (command, option, done.err)
    assert "InternalError" not in done.err
    assert (done.out, beside.files()) != (before.out, without.files())


@pytest.mark.parametrize("option", sorted(GENERAL - {"--passphrase-file"}))
def test_what_all_commands_have_has_an_effect(option: str, made: Path, tmp_path: Path) -> None:
    without, beside = (Registry(made, tmp_path / name) for name in ("without", "beside"))
    asks = option in {"--yes", "--no"}
    typed = "delete user jane@example.org" if asks else "config cell a -U --httpd-port 8443"
    value = {"--root": str(tmp_path / "elsewhere"), "--message": "why", "--as": "Ann"}

    before = without.run(typed)
    done = beside.run(f"{typed} {option} {value.get(option, '')}")
    history = [each.run("history -J").out for each in (without, beside)]

    if option == "--root":
        # The last one counts, which is the registry that there is.
        done = run(*typed.split(), "-r", str(tmp_path / "elsewhere"))
    assert (before.status, before.out, before.err, history[0]) != (
        done.status,
        done.out,
        done.err,
        history[1],
    )


@pytest.mark.feature("F052")
@pytest.mark.parametrize("option", ["--yes", "--no"])
def test_answers_are_listed_where_something_is_asked(option: str) -> None:
    listed = {command for command, spelled in options(hidden=False) if spelled == option}

    assert listed == QUESTIONS.keys() | ASKING_ELSEWHERE.keys()


@pytest.mark.parametrize("named", sorted(set(ASKING_ELSEWHERE.values())))
def test_what_asks_elsewhere_is_there(named: str) -> None:
    file, _, test = named.partition("::")

    assert f"def {test}(" in (Path(__file__).parent / file).read_text()


@pytest.mark.feature("F052")
@pytest.mark.parametrize("command", QUESTIONS)
def test_a_question_is_answered_by_an_option(command: str, made: Path, tmp_path: Path) -> None:
    typed, _, before = QUESTIONS[command]
    registry = Registry(made, tmp_path / "asked", before)
    first = registry.definition()

    unanswered, no = registry.run(typed), registry.run(f"{typed} --no")
    assert (unanswered.status, no.status) == (2, 2)
    assert "no terminal to answer" in unanswered.err
    assert " No; nothing was changed" in no.err
    assert registry.definition() == first

    yes = registry.run(f"{typed} -y")
    assert (yes.status, registry.definition() == first) == (0, False), yes.err


@pytest.mark.feature("F052")
def test_what_asks_nothing_takes_answers_as_well(made: Path) -> None:
    """The first uno's commands take `-y` and `--no`, and so do scripts that were made for it."""
    spelled = {command for command, option in OPTIONS if option == "--yes"}
    others = {command for command, _ in OPTIONS if not command.startswith("lab ")} - spelled
    uvn = str(made / "uvn")

    assert others <= {"schema"}
    assert run("list", "cells", "-y", "-r", uvn).out == run("list", "cells", "-r", uvn).out
    for command in ("list cells", "service status", "update"):
        done = run(*command.split(), "-y", "--no", "-r", uvn)
        assert (done.status, done.err) == (2, "uno: -y and --no contradict each other; use one\n")


@pytest.mark.feature("F100")
@pytest.mark.parametrize("option", [option for _, option in UNIT])
def test_an_option_of_a_unit_changes_the_unit_or_what_systemd_does(
    option: str, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "cell"
    assert run("install", str(made / "uvn/cells/net__a.uvn-agent"), "-r", str(root)).status == 0
    done: list[str] = []
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(systemd, "UNITS", tmp_path)
    monkeypatch.setattr(systemd, "BOOTED", tmp_path)

    def systemctl(argv: list[str], **_: object) -> Completed:
        done.append(" ".join(argv))
        return Completed(argv=tuple(argv), status=0, stdout="", stderr="")

    monkeypatch.setattr(systemd, "run", systemctl)
    found = []
    for words in ((), (option,)):
        done.clear()
        assert run("service", "install", "-r", str(root), *words).status == 0
        found.append(((tmp_path / systemd.UNIT).read_text(), tuple(done)))
        (tmp_path / systemd.UNIT).unlink()

    assert found[0] != found[1]


@pytest.mark.feature("F052")
@pytest.mark.feature("F100")
def test_the_unit_of_another_cell_is_replaced_after_a_yes(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(systemd, "UNITS", tmp_path)
    monkeypatch.setattr(systemd, "BOOTED", tmp_path)
    monkeypatch.setattr(systemd, "run", lambda *_, **__: None)
    roots = [tmp_path / name for name in ("one", "two")]
    for cell, root in zip("ab", roots, strict=True):
        assert run("install", str(made / f"uvn/cells/net__{cell}.uvn-agent"), "-r", str(root))
    unit = tmp_path / systemd.UNIT
    assert run("service", "install", "-r", str(roots[0])).status == 0
    first = unit.read_text()

    for word in ("", "--no"):
        refused = run("service", "install", "-r", str(roots[1]), *word.split())
        assert refused.status == 2
        assert f"{systemd.UNIT} is for {roots[0]}. Replace it?" in refused.err
        assert unit.read_text() == first
    assert run("service", "install", "-r", str(roots[0])).status == 0

    assert run("service", "install", "-r", str(roots[1]), "-y").status == 0
    assert str(roots[1]) in unit.read_text()


@pytest.mark.feature("F104")
def test_an_agent_for_systemd_is_refused_where_it_awaits_none(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)

    done = run("agent", "--systemd", "-r", str(made / "uvn"))

    assert done.status == 2
    assert "systemd awaits no notification of this process" in done.err
