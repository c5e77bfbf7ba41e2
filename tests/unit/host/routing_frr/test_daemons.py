"""uno's own FRR: the script that starts it, and how it is seen and ended."""

from __future__ import annotations

import os
import pwd
import signal
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest

from uno.diagnostics import ActionNeeded, TransientFailure, UnoError
from uno.host.command import Process, run, start
from uno.host.routing_frr import daemons as frr
from uno.host.routing_frr.daemons import Frr
from uno.ports.host import Routing

NAMES = ("zebra", "bfdd", "bgpd")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "frr"


def script_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, does: str) -> Path:
    """The script in `tmp_path` that starts a daemon `name` which runs these shell commands."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / name).write_text(f"#!/bin/sh\n{does}\n")
    (programs / name).chmod(0o755)
    monkeypatch.setattr(frr, "PROGRAMS", programs)
    script = tmp_path / "daemon.sh"
    script.write_text(frr.daemons_script(tmp_path, 150))
    return script


@pytest.mark.feature("F083")
@pytest.mark.parametrize("name", ["frr", "with space", "with'quote", "with$dollar"])
def test_the_daemons_script_is_a_shell_script(name: str, tmp_path: Path) -> None:
    script = tmp_path / "daemon.sh"
    script.write_text(frr.daemons_script(tmp_path / name, frr.SWEEP_SECONDS))

    run(["sh", "-n", str(script)])

    assert f"-K {frr.SWEEP_SECONDS}" in script.read_text()


@pytest.mark.feature("F083")
@pytest.mark.feature("G25")
@pytest.mark.parametrize(
    ("name", "help_", "extra"),
    [
        ("zebra", "", "-s 2000000 --v6-rr-semantics -K 150"),
        ("bfdd", "--bfdctl  Specify bfdd control socket", "--bfdctl {here}/bfdd.sock"),
        ("bfdd", "of FRR 10", ""),
        ("bgpd", "", "-p 1790"),
    ],
)
def test_a_daemon_is_started_with_everything_in_unos_folder(
    name: str, help_: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    does = f'[ "$1" = --help ] && echo "{help_}" || echo "$@"'
    script = script_for(tmp_path, monkeypatch, name, does)

    run(["sh", str(script), "start", name])

    here = str(tmp_path)
    assert (tmp_path / f"{name}.start").read_text().split() == (
        f"-d --vty_socket {here} -z {here}/zserv.api -P 0 -f {here}/{name}.startup "
        f"-i {here}/{name}.pid --log file:{here}/frr.log --log-level notifications "
        f"{extra.format(here=here)}"
    ).split()


@pytest.mark.parametrize(("name", "memory"), [("zebra", "unlimited"), ("bgpd", "1048576")])
def test_what_is_refused_cannot_take_the_memory_of_the_host(
    name: str, memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = script_for(tmp_path, monkeypatch, name, "ulimit -v")

    run(["sh", str(script), "start", name])

    assert (tmp_path / f"{name}.start").read_text() == f"{memory}\n"


def test_a_daemon_that_does_not_start_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = script_for(tmp_path, monkeypatch, "bgpd", "echo 'no such option' >&2; exit 3")

    done = run(["sh", str(script), "start", "bgpd"], check=False)

    assert (done.status, done.stderr) == (1, "no such option\n")


@pytest.mark.feature("G51")
@pytest.mark.parametrize(("permitted", "bound"), [(20_000, 10_000), (4_000, 4_000)])
def test_daemons_allocate_for_no_more_open_files_than_they_need(
    permitted: int, bound: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container the limit may be a thousand million, for which bgpd has no memory."""
    script = script_for(tmp_path, monkeypatch, "bgpd", "ulimit -n; exit 1")
    words = Frr(tmp_path).watchdog(Routing(daemons=()))
    before = words[: words.index(str(frr.PROGRAMS / "watchfrr"))]

    for program in (["sh", str(script), "start", "bgpd"], [*before, "sh", "-c", "ulimit -n >&2"]):
        # As a cell's agent, which has no right to raise it.
        limited = f'ulimit -n {permitted}; exec setpriv --bounding-set=-sys_resource "$@"'
        done = run(["sh", "-c", limited, "sh", *program], check=False)
        assert done.stderr == f"{bound}\n"


@pytest.mark.feature("G51")
def test_nothing_in_run_is_executed(folder: Path) -> None:
    script = folder / "daemon.sh"
    routing = Routing(daemons=(("zebra", ""), ("bgpd", "")))

    words = Frr(folder).watchdog(routing)

    assert frr._shell(script) == ["sh", str(script)]
    options = {each: words[words.index(each) + 1] for each in ("-s", "-r", "-k")}
    assert options == {
        "-s": f"sh {script} start %s",
        "-r": f"sh {script} restart %s",
        "-k": f"sh {script} stop %s",
    }


@pytest.mark.parametrize("words", [["start", "ospfd"], ["stop"], ["status", "zebra"], []])
def test_the_daemons_script_does_nothing_that_it_does_not_know(
    words: list[str], tmp_path: Path
) -> None:
    script = tmp_path / "daemon.sh"
    script.write_text(frr.daemons_script(tmp_path, 150))

    done = run(["sh", str(script), *words], check=False)

    assert done.status == (0 if words == ["stop"] else 2)
    assert {path.name for path in tmp_path.iterdir()} <= {"daemon.sh"}


def test_routing_runs_when_the_watchdog_and_all_daemons_do(folder: Path) -> None:
    with Daemons(folder, ["watchfrr", *NAMES]) as daemons:
        assert Frr(folder).running() == Routing(
            daemons=tuple((name, f"! {name}\n") for name in NAMES)
        )

        daemons.end("bfdd")

        assert Frr(folder).running() is None
        assert Frr(folder).leftovers()


@pytest.mark.feature("F084")
def test_a_daemon_that_the_watchdog_starts_at_the_same_moment_is_as_good(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_started_meanwhile(*_: object, **__: object) -> NoReturn:
        (folder / "bgpd.pid").write_text(pid)
        raise TransientFailure("bgpd is already running")

    with Daemons(folder, ["watchfrr", *NAMES]):
        (folder / "daemon.sh").touch()
        pid = (folder / "bgpd.pid").read_text()
        (folder / "bgpd.pid").unlink()
        monkeypatch.setattr(frr, "_require_port", is_started_meanwhile)
        monkeypatch.setattr(Frr, "_await_sockets", lambda *_: None)
        routing = Routing(daemons=tuple((name, f"! {name}\n") for name in NAMES))

        Frr(folder).start(routing, others_have_routes=False)

        (folder / "bgpd.pid").unlink()
        monkeypatch.setattr(frr, "_require_port", lambda: None)
        monkeypatch.setattr(frr, "run", is_started_meanwhile)

        Frr(folder).start(routing, others_have_routes=False)

        assert Frr(folder).running() == routing


@pytest.mark.feature("F084")
def test_a_daemon_that_does_not_start_without_a_watchdog_is_an_error_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_refused() -> NoReturn:
        raise TransientFailure("another program has the port")

    monkeypatch.setattr(frr, "_require_port", is_refused)
    with Daemons(folder, ["zebra", "bfdd"]):
        (folder / "daemon.sh").touch()
        routing = Frr(folder)._configured()

        with pytest.raises(TransientFailure, match="has the port"):
            Frr(folder).start(Routing(daemons=routing), others_have_routes=False)


def test_a_process_that_only_has_the_same_number_is_not_ours(folder: Path) -> None:
    with Daemons(folder, ["watchfrr", *NAMES]):
        (folder / "bgpd.pid").write_text(f"{os.getpid()}\n")

        assert Frr(folder).running() is None


def test_a_start_that_was_cut_short_can_be_stopped(folder: Path) -> None:
    folder.mkdir()

    Frr(folder).stop()
    Frr(folder).stop()

    assert not folder.exists()


def test_running_daemons_are_ended_and_their_folder_removed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[list[str]] = []
    homes: list[dict[str, str]] = []

    def note(argv: list[str], *, env: dict[str, str], **_: object) -> None:
        reported.append(argv)
        homes.append(env)

    with Daemons(folder, ["watchfrr", *NAMES]) as daemons:
        monkeypatch.setattr(frr, "run", note)
        (folder / "bgpd.conf").write_text("!\nrouter bgp 4200000003\n exit\n")

        Frr(folder).stop()

        assert daemons.statuses() == dict.fromkeys(["watchfrr", *NAMES], -signal.SIGTERM)
    assert not folder.exists()
    assert reported[0][:5] == ["vtysh", "--vty_socket", str(folder), "-d", "bgpd"]
    # It leaves no history in the user's home.
    assert homes == [{"HOME": str(folder)}]
    assert reported[0][6::2] == [
        "configure terminal",
        "router bgp 4200000003",
        "bgp shutdown message uno service down",
    ]


def test_where_this_process_may_not_end_a_daemon_the_capability_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> NoReturn:
        raise PermissionError(1, "Operation not permitted")

    with Daemons(folder, ["watchfrr", *NAMES]), monkeypatch.context() as patched:
        patched.setattr(frr.os, "kill", refuse)
        with pytest.raises(ActionNeeded, match="may not end FRR's watchfrr") as caught:
            Frr(folder).stop()

    assert "KILL" in caught.value.hint
    assert folder.exists()


class Reloading:
    """Records commands to FRR's daemons over their sockets, and to frr-reload.py."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: list[tuple[str, tuple[str, ...]]] = []
        self.asked: list[str] = []
        self.programs: list[str] = []
        self.refuses = self.forgets = self.is_broken = self.is_gone = False
        self.shows: dict[str, str] = {}
        self.folder = folder
        folder.mkdir()
        monkeypatch.setattr(frr.vty, "configure", self.configure)
        monkeypatch.setattr(frr.vty, "query", self.ask)
        monkeypatch.setattr(frr, "run", self.run)
        Frr(folder)._write(ROUTING)

    def configure(self, _: Path, daemon: str, steps: list[tuple[str, ...]]) -> None:
        if self.refuses and steps != [CHOOSE]:
            raise TransientFailure("it is refused")
        if self.is_gone and steps == [CHOOSE]:
            raise ConnectionRefusedError("nobody listens")
        self.steps += [(daemon, step) for step in steps]

    def ask(self, _: Path, daemon: str, command: str) -> str:
        self.asked.append(command)
        if self.shows:
            return self.shows[daemon]
        return "" if self.forgets else dict(OTHER.daemons)[daemon]

    def run(self, argv: list[str], **_: object) -> None:
        self.programs.append(Path(argv[0]).name)
        if self.is_broken:
            raise TransientFailure("it is broken")

    @property
    def configured(self) -> dict[str, str]:
        return {path.stem: path.read_text() for path in self.folder.glob("*d.conf")}


LIST = "ip prefix-list PREFIXES-2 seq"
CHOOSE = (
    *("router bgp 1", "address-family ipv4 unicast", "maximum-paths 8"),
    *("exit-address-family", "exit"),
)
ROUTING = Routing(
    daemons=(
        ("zebra", ""),
        ("bfdd", "bfd\nexit\n"),
        ("bgpd", f"{LIST} 7 permit 10.0.0.0/24\nrouter bgp 1\nexit\n"),
    )
)
OTHER = Routing(
    daemons=(
        *ROUTING.daemons[:2],
        ("bgpd", f"{LIST} 8 permit 10.0.1.0/24\nrouter bgp 1\nexit\n"),
    )
)


@pytest.fixture
def reloading(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Reloading:
    return Reloading(folder, monkeypatch)


@pytest.mark.feature("G07")
def test_only_what_differs_is_changed_and_then_routes_are_filtered_again(
    reloading: Reloading,
) -> None:
    Frr(reloading.folder).reload(OTHER)

    assert reloading.steps == [
        ("bgpd", (f"{LIST} 8 permit 10.0.1.0/24",)),
        ("bgpd", (f"no {LIST} 7 permit 10.0.0.0/24",)),
        ("bgpd", CHOOSE),
    ]
    assert reloading.programs == []
    assert reloading.asked == [
        "show running-config",
        "clear bgp ipv4 unicast * soft in",
        "clear bgp ipv6 unicast * soft in",
        # To be recorded, of each daemon.
        *["show running-config"] * 3,
    ]
    assert reloading.configured["bgpd"] == dict(OTHER.daemons)["bgpd"]


@pytest.mark.feature("G51")
def test_what_another_program_changes_in_a_daemon_is_observed_and_reverted(
    reloading: Reloading, monkeypatch: pytest.MonkeyPatch
) -> None:
    routing = Frr(reloading.folder)
    monkeypatch.setattr(Frr, "_alive", lambda *_: 1)
    reloading.shows = {"zebra": "x", "bfdd": "bfd\nexit\n", "bgpd": "router bgp 1\n a\n b\nexit\n"}
    routing.reload(ROUTING)
    before = dict(reloading.shows)
    assert routing.running() == ROUTING
    reloading.shows["bgpd"] = "router bgp 1\n b\n a\nexit\n"
    assert routing.running() == ROUTING

    reloading.shows["bgpd"] = f"{LIST} 9 permit any\n{before['bgpd']}"
    reloading.shows["zebra"] = "y\nroute-map z permit 1\nexit\n"
    reloading.steps.clear()
    reloading.asked.clear()

    assert routing.running() == Routing(daemons=tuple(reloading.shows.items()))
    monkeypatch.setattr(reloading, "configure", partial(configure_as, reloading, before))
    monkeypatch.setattr(frr.vty, "configure", reloading.configure)
    routing.reload(ROUTING)
    assert reloading.steps[:3] == [
        ("zebra", ("x", "no y")),
        ("zebra", ("no route-map z permit 1",)),
        ("bgpd", (f"no {LIST} 9 permit any",)),
    ]
    assert reloading.asked.count("clear bgp ipv4 unicast * soft in") == 1
    assert reloading.programs == []
    assert routing.running() == ROUTING


@pytest.mark.feature("G51")
def test_what_cannot_be_reverted_by_commands_is_left_to_frrs_own_program(
    reloading: Reloading,
) -> None:
    routing = Frr(reloading.folder)
    reloading.shows = {"zebra": "x", "bfdd": "bfd\nexit\n", "bgpd": "router bgp 1\nexit\n"}
    routing.reload(ROUTING)
    reloading.shows["bgpd"] = "router bgp 2\nexit\n"
    reloading.refuses = True

    routing.reload(ROUTING)

    assert reloading.programs == ["frr-reload.py"]


def configure_as(
    reloading: Reloading,
    shown: dict[str, str],
    _: Path,
    daemon: str,
    steps: list[tuple[str, ...]],
) -> None:
    """Have the daemons show a configuration once they have commands."""
    reloading.steps += [(daemon, step) for step in steps]
    reloading.shows = shown


@pytest.mark.feature("G51")
def test_zebra_installs_routes_again_whose_source_address_was_removed(
    reloading: Reloading, monkeypatch: pytest.MonkeyPatch
) -> None:
    routing = Frr(reloading.folder)
    lines = "ip protocol bgp route-map A", "ipv6 protocol bgp route-map B"
    routing._write(Routing(daemons=(("zebra", "\n".join(lines)), *ROUTING.daemons[1:])))
    routing.reinstall_routes()
    assert reloading.steps == []

    monkeypatch.setattr(Frr, "_alive", lambda *_: 1)
    routing.reinstall_routes()

    assert reloading.steps == [("zebra", (f"no {line}", line)) for line in lines]


@pytest.mark.feature("G07")
def test_a_change_whose_routes_are_not_filtered_again_is_not_recorded(reloading: Reloading) -> None:
    reloading.is_gone = True

    with pytest.raises(UnoError, match="bgpd does not respond: nobody listens"):
        Frr(reloading.folder).reload(OTHER)

    assert reloading.configured["bgpd"] == dict(ROUTING.daemons)["bgpd"]


@pytest.mark.parametrize("what", ["refuses", "forgets"])
def test_what_frr_does_not_take_or_keep_is_left_to_its_own_program(
    reloading: Reloading, what: str
) -> None:
    setattr(reloading, what, True)

    Frr(reloading.folder).reload(OTHER)

    assert reloading.programs == ["frr-reload.py"]
    assert reloading.configured["bgpd"] == dict(OTHER.daemons)["bgpd"]


def test_after_a_failed_reload_no_configuration_is_recorded(reloading: Reloading) -> None:
    reloading.refuses = reloading.is_broken = True

    with pytest.raises(UnoError, match="it is broken"):
        Frr(reloading.folder).reload(OTHER)
    assert "bgpd" not in reloading.configured

    reloading.is_broken = False
    Frr(reloading.folder).reload(OTHER)

    assert reloading.programs == ["frr-reload.py", "frr-reload.py"]
    assert reloading.configured["bgpd"] == dict(OTHER.daemons)["bgpd"]


class Daemons:
    """Processes that look like FRR's by their command lines and pid files."""

    def __init__(self, folder: Path, names: list[str]) -> None:
        self.folder = folder
        self.processes: dict[str, Process] = {}
        self.names = names

    def __enter__(self) -> Daemons:
        self.folder.mkdir()
        for name in self.names:
            if name != "watchfrr":
                (self.folder / f"{name}.conf").write_text(f"! {name}\n")
            process = start(["tail", "-f", "/dev/null", str(self.folder / f"{name}.conf")])
            self.processes[name] = process
            (self.folder / f"{name}.pid").write_text(f"{process.pid}\n")
            # Linux shows the command line a little after exec.
            while not Path(f"/proc/{process.pid}/cmdline").read_bytes():
                pass
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            if process.status() is None:
                process.stop()

    def end(self, name: str) -> None:
        self.processes[name].stop()

    def statuses(self) -> dict[str, int | None]:
        return {name: process.status() for name, process in self.processes.items()}


@pytest.mark.feature("G51")
def test_a_host_without_frrs_user_is_an_error_for_people(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(name: str) -> NoReturn:
        raise KeyError(name)

    monkeypatch.setattr(pwd, "getpwnam", none)

    with pytest.raises(UnoError, match="this host has no user frr"):
        Frr(folder)._write(Routing(daemons=(("zebra", ""),)))
