"""`uno install`: what the person at the cell's host types, and reads."""

from __future__ import annotations

import io
import signal
import stat
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from uno import control
from uno.agent.commit.commit_machine import InstallVerdict, PendingCommit, PersistentState
from uno.agent.commit.ledger import Ledger
from uno.agent.commit.reachability import Reachability
from uno.agent.pidfile import hold_pidfile
from uno.cli.main import main
from uno.model.messages import Phase
from uno.model.plan import CellPlan, Member, Pools, Roster, Timing
from uno.render import package_file

FINGERPRINT = "SHA256:Vkdap1RjR0wChd9dvyvKtz2mUTWIOem3dIGy6rEHcIw"


@pytest.mark.feature("F075")
@pytest.mark.parametrize("command", [["install"], ["cell", "install"]])
def test_installing_makes_the_directory_and_shows_what_to_do_next(
    command: list[str], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = uno(*command, "lan-a.uvn-agent", "-r", "opt/uvn")

    out, err = capsys.readouterr()
    assert (status, err) == (0, "")
    assert out == (
        "Installed: cell lan-a of UVN my-uvn, generation 1, in opt/uvn\n"
        f"Registry key: {FINGERPRINT}; trusted on first use: compare it with uno show uvn at the"
        " registry\n"
        "Next, for its agent now and at every boot: uno service install -r opt/uvn -a -b -s\n"
        "Without systemd: uno agent -r opt/uvn; without an agent: uno service up -r opt/uvn\n"
    )
    assert modes(place / "opt/uvn") == {".": 0o700, "package.uvn-agent": 0o600}


@pytest.mark.feature("F075")
def test_without_a_directory_the_current_one_is_meant(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "here").mkdir()
    monkeypatch.chdir(place / "here")

    assert uno("install", "../lan-a.uvn-agent") == 0
    assert "without an agent: uno service up -r .\n" in capsys.readouterr().out
    assert modes(place / "here") == {".": 0o700, "package.uvn-agent": 0o600}


@pytest.mark.feature("G20")
def test_newer_packages_update_and_older_ones_are_refused(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_private(place / "two", package(generation=2))

    statuses = [uno("install", name, "-r", "uvn") for name in (FIRST, "two", "two", FIRST)]

    out, err = capsys.readouterr()
    assert statuses == [0, 0, 0, 2]
    assert "Updated from generation 1: cell lan-a of UVN my-uvn, generation 2, in uvn\n" in out
    assert "Already installed: cell lan-a of UVN my-uvn, generation 2, in uvn\n" in out
    assert err == (
        "uno: lan-a.uvn-agent: this package is generation 1, older than the generation 2 that is"
        " here; copy the newest package from the registry\n"
    )


@pytest.mark.feature("G20")
def test_a_fingerprint_that_is_not_the_registrys_refuses_the_package(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = uno("install", FIRST, "-r", "uvn", "--registry-key", "SHA256:other")
    assert (refused, (place / "uvn").exists()) == (2, False)
    assert f"signed by another registry, with the key {FINGERPRINT}" in capsys.readouterr().err

    assert uno("install", FIRST, "-r", "uvn", "--registry-key", FINGERPRINT) == 0
    assert f"Registry key: {FINGERPRINT}\n" in capsys.readouterr().out


@pytest.mark.feature("G20")
@pytest.mark.parametrize(("answer", "status"), [("y\n", 0), ("n\n", 2), ("\n", 2)])
def test_at_a_terminal_a_person_confirms_the_fingerprint_of_the_first_package(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: str,
    status: int,
) -> None:
    at_a_terminal(monkeypatch, answer)

    assert uno("install", FIRST, "-r", "uvn") == status

    out, err = capsys.readouterr()
    assert f"has the key {FINGERPRINT}." in err
    assert (place / "uvn").exists() is (status == 0)
    if status == 0:
        assert f"Registry key: {FINGERPRINT}\n" in out
        # The next package is of a registry that this host trusts.
        assert uno("install", FIRST, "-r", "uvn") == 0
        assert "has the key" not in capsys.readouterr().err


@pytest.mark.feature("F052")
@pytest.mark.feature("G20")
def test_the_fingerprint_is_confirmed_or_denied_by_an_option(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert uno("install", FIRST, "-r", "uvn", "--no") == 2
    assert "print the same at the registry? No; nothing was changed" in capsys.readouterr().err
    assert not (place / "uvn").exists()
    assert uno("install", FIRST, "-r", "uvn", "-y", "--no") == 2

    assert uno("install", FIRST, "-r", "uvn", "-y") == 0
    assert f"Registry key: {FINGERPRINT}\n" in capsys.readouterr().out


def at_a_terminal(monkeypatch: pytest.MonkeyPatch, answers: str) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(sys, "stdin", Terminal(answers))
    monkeypatch.setattr(type(sys.stderr), "isatty", lambda _: True, raising=False)


def test_a_package_that_others_can_read_is_warned_about(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / FIRST).chmod(0o644)

    assert uno("install", FIRST, "-r", "uvn") == 0
    assert capsys.readouterr().err == (
        "uno: warning: lan-a.uvn-agent is readable by others and holds keys; delete it:"
        " rm lan-a.uvn-agent\n"
    )


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("none", 2, "cannot read none: there is no such file or directory; check the path"),
        ("folder", 2, "cannot read folder: it is a directory; name a file"),
        (
            "text",
            2,
            (
                "text: this is not a whole .uvn-agent package: it does not unpack;"
                " if it should be one, copy it from the registry again"
            ),
        ),
    ],
)
def test_what_cannot_be_installed_is_reported_in_one_line(
    name: str, status: int, message: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "folder").mkdir()
    write_private(place / "text", b"hello\n")

    assert uno("install", name, "-r", "uvn") == status
    assert capsys.readouterr().err == f"uno: {message}\n"
    assert not (place / "uvn").exists()


def test_a_directory_that_is_used_for_something_else_is_left_alone(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = modes(place)

    assert uno("install", FIRST, "-r", ".") == 2
    assert "is not empty, and is not the directory of a cell" in capsys.readouterr().err
    assert modes(place) == before


# With an agent.


@pytest.mark.feature("F075")
@pytest.mark.parametrize(
    ("phase", "status", "shown"),
    [
        (Phase.CONFIRMED, 0, "Generation 2 is confirmed.\n"),
        (
            Phase.REVERTED,
            2,
            (
                "uno: generation 2 was rolled back, and 1 runs again: it lost lan-b; if neighbours"
                " are to get their packages by hand as well, and this cell is to wait for them:"
                " uno install two --keep\n"
            ),
        ),
        (
            Phase.FAILED,
            2,
            (
                "uno: this host cannot run generation 2, and runs 1 as before: it lost lan-b; mend"
                " that, and install it again\n"
            ),
        ),
    ],
)
def test_the_exit_status_is_the_verdict_of_the_agent(
    agent: Agent, capsys: pytest.CaptureFixture[str], phase: Phase, status: int, shown: str
) -> None:
    agent.phase = phase

    assert uno("install", "two", "-r", "uvn") == status

    assert "Its agent has it on trial" in (out := capsys.readouterr()).out
    assert shown in (out.err if status else out.out)
    assert agent.requests == [(2, False)]


@pytest.mark.feature("F075")
@pytest.mark.parametrize("option", ["--keep", "--force"])
def test_a_package_to_keep_is_marked_so_for_the_agent(agent: Agent, option: str) -> None:
    assert uno("install", "two", "-r", "uvn", option) == 0
    assert agent.requests == [(2, True)]


def test_without_waiting_nothing_is_known_yet(
    agent: Agent, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.phase = None

    assert uno("install", "two", "-r", "uvn", "--no-wait") == 0
    assert "puts it on trial now: see uno service status." in capsys.readouterr().out


def test_an_agent_that_ends_meanwhile_is_an_error(
    agent: Agent, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.phase = None
    agent.ends = True

    assert uno("install", "two", "-r", "uvn") == 1
    assert "the agent has ended before generation 2 was confirmed" in capsys.readouterr().err


def test_while_another_package_is_on_trial_none_is_installed(
    agent: Agent, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.ledger.put_pending(PendingCommit(generation=1, previous=0, before=Reachability()))

    assert uno("install", "two", "-r", "uvn") == 1
    assert "has generation 1 on trial, and nothing was changed" in capsys.readouterr().err
    assert agent.requests == []


class Agent:
    """What runs as a cell's agent: this process, which gives its verdict when it is triggered."""

    def __init__(self, ledger: Ledger, held: ExitStack) -> None:
        self.ledger = ledger
        self.held = held
        self.phase: Phase | None = Phase.CONFIRMED
        self.ends = False
        self.requests: list[tuple[int, bool]] = []

    def trigger(self, *_: object) -> None:
        request = self.ledger.install_request()
        assert request is not None
        self.requests.append((request.generation, request.keep))
        if self.ends:
            self.held.close()
        if self.phase is None:
            return
        if self.phase is not Phase.CONFIRMED:
            self.ledger.roll_back()
        verdict = InstallVerdict(
            install=request.install,
            generation=request.generation,
            phase=self.phase,
            reason="it lost lan-b",
        )
        self.ledger.persist(PersistentState(verdict=verdict))


@pytest.fixture
def agent(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Agent]:
    """An agent of the cell in `uvn`, and a newer package, `two`."""
    monkeypatch.setattr(control, "RUN", place / "run")
    assert uno("install", FIRST, "-r", "uvn") == 0
    capsys.readouterr()
    write_private(place / "two", package(generation=2))
    ledger = Ledger(place / "uvn")
    found = ledger.current()
    assert found is not None
    folder = control.socket_path(found.plan.identity, found.plan.cell).parent
    with ExitStack() as held:
        held.enter_context(hold_pidfile(folder, name="lan-a"))
        made = Agent(ledger, held)
        before = signal.signal(signal.SIGHUP, made.trigger)
        yield made
    signal.signal(signal.SIGHUP, before)


# Helpers

FIRST = "lan-a.uvn-agent"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a package in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("UNO_DEBUG", raising=False)
    monkeypatch.setattr(sys, "argv", ["uno"])
    write_private(tmp_path / FIRST, package(generation=1))
    return tmp_path


def uno(*arguments: str) -> int:
    """Run `uno` with these arguments; return its exit status."""
    sys.argv[1:] = arguments
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code if isinstance(caught.value.code, int) else 0


def write_private(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)


def modes(directory: Path) -> dict[str, int]:
    entries = (directory, *directory.iterdir())
    return {str(e.relative_to(directory)): stat.S_IMODE(e.stat().st_mode) for e in entries}


def package(*, generation: int) -> bytes:
    signer = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    member = Member(
        id=1, name="lan-a", node4=IPv4Address("10.255.128.2"), node6=IPv6Address("fd00::1")
    )
    roster = Roster(
        uvn="my-uvn",
        identity="0" * 32,
        pools=Pools(
            root=IPv4Network("10.255.128.0/22"),
            particles=IPv4Network("10.254.0.0/16"),
            backbone=IPv4Network("10.255.192.0/20"),
            ula=IPv6Network("fd00::/48"),
            particles6=IPv6Network("fd00:0:0:2::/64"),
        ),
        timing=Timing(
            hold=9, keepalive=3, connect=5, bfd_interval=300, bfd_multiplier=3, restart=120
        ),
        members=(member,),
    )
    return package_file.write(
        generation=generation,
        package_format=1,
        registry_key=b64encode(signer.public_key().public_bytes_raw()).decode(),
        roster=package_file.roster_segment(roster),
        particles=package_file.particles_segment(()),
        plan=CellPlan(uvn="my-uvn", identity="0" * 32, cell=1, name="lan-a", backbone_mtu=1320),
        secrets={},
        sign=signer.sign,
    )
