"""What a cell accepts, and what is in its directory afterwards."""

from __future__ import annotations

import errno
import os
from base64 import b64encode
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from uno import files
from uno.agent.commit.ledger import AcceptedPackage, AcceptOutcome, Ledger
from uno.diagnostics import UnoError
from uno.model import package_formats
from uno.model.messages import REGISTRY, Envelope, Kind
from uno.model.package import RegistryKey
from uno.model.plan import CellPlan, Member, Pools, Roster, Timing
from uno.model.trust import Revocation, TrustUpdate, successor
from uno.render import package_file
from uno.render.package_file import OtherFormat, PackageRejected


@pytest.mark.feature("F075")
@pytest.mark.feature("F074")
def test_the_first_package_makes_a_private_directory(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "opt" / "uvn")
    assert ledger.current() is None

    accepted = ledger.accept(FIRST)

    assert accepted == AcceptedPackage(
        outcome=AcceptOutcome.FIRST, package=package_file.read(FIRST)
    )
    assert ledger.current() == package_file.read(FIRST)
    assert ledger.previous() is None
    assert contents(tmp_path / "opt" / "uvn") == {".": 0o700, "package.uvn-agent": (0o600, FIRST)}


@pytest.mark.feature("G20")
def test_a_newer_package_replaces_the_first_which_is_kept(tmp_path: Path) -> None:
    ledger = with_first(tmp_path)

    accepted = ledger.accept(SECOND)

    assert (accepted.outcome, accepted.replaced) == (AcceptOutcome.NEWER, 1)
    assert contents(ledger.directory) == {
        ".": 0o700,
        "package.uvn-agent": (0o600, SECOND),
        "previous.uvn-agent": (0o600, FIRST),
    }


def test_only_the_last_two_packages_are_kept(tmp_path: Path) -> None:
    ledger = with_first(tmp_path)

    ledger.accept(SECOND)
    ledger.accept(package(generation=5))

    assert (generation(ledger.previous()), generation(ledger.current())) == (2, 5)


def test_the_same_package_again_changes_nothing(tmp_path: Path) -> None:
    ledger = with_first(tmp_path)
    inode = (ledger.directory / "package.uvn-agent").stat().st_ino

    accepted = ledger.accept(FIRST)

    assert (accepted.outcome, accepted.replaced) == (AcceptOutcome.SAME, 1)
    assert contents(ledger.directory) == {".": 0o700, "package.uvn-agent": (0o600, FIRST)}
    assert (ledger.directory / "package.uvn-agent").stat().st_ino == inode


@pytest.mark.feature("G20")
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"generation": 2}, "this package is generation 2, older than the generation 3"),
        ({"httpd_port": 1}, "this package is generation 3 as is the one here, and its content"),
        ({"generation": 4, "identity": "1" * 32}, "this package is of UVN my-uvn, not of the UVN"),
        ({"generation": 4, "cell": 2}, "this package is for cell cell-2, and this is cell cell-1"),
        ({"generation": 4, "seed": 9}, "this package was signed by another registry than those"),
    ],
)
def test_what_does_not_follow_the_current_package_is_refused(
    change: dict[str, int], reason: str, tmp_path: Path
) -> None:
    ledger = Ledger(tmp_path / "uvn")
    ledger.accept(package(generation=3))
    before = contents(ledger.directory)

    with pytest.raises(PackageRejected) as caught:
        ledger.accept(package(**{"generation": 3} | change))

    assert caught.value.what.startswith(reason)
    assert caught.value.hint
    assert contents(ledger.directory) == before


@pytest.mark.feature("G20")
def test_the_first_package_can_be_held_to_a_registry_that_is_known(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "uvn")

    with pytest.raises(PackageRejected, match="signed by another registry"):
        ledger.accept(FIRST, registry_key=package_file.fingerprint(b64encode(bytes(32)).decode()))
    assert not ledger.directory.exists()

    key = package_file.read(FIRST).manifest.registry_key
    assert (
        ledger.accept(FIRST, registry_key=package_file.fingerprint(key)).outcome
        is AcceptOutcome.FIRST
    )


@pytest.mark.parametrize("content", [b"", b"hello", "cut", "damaged"])
def test_what_is_no_package_leaves_no_directory(content: bytes | str, tmp_path: Path) -> None:
    offered = {"cut": FIRST[:-9], "damaged": FIRST[:-4] + bytes(4)}
    ledger = Ledger(tmp_path / "opt" / "uvn")

    with pytest.raises(PackageRejected):
        ledger.accept(offered[content] if isinstance(content, str) else content)

    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill_disk(monkeypatch, after=0)

    with pytest.raises(UnoError, match="the disk is full"):
        Ledger(tmp_path / "opt" / "uvn").accept(FIRST)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fails_at", [1, 2])
def test_a_disk_that_fills_up_leaves_both_packages_as_they_were(
    fails_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = with_first(tmp_path)
    ledger.accept(SECOND)
    before = contents(ledger.directory)
    fill_disk(monkeypatch, after=fails_at - 1)

    with pytest.raises(UnoError, match="the disk is full; free some space"):
        ledger.accept(package(generation=3))

    assert contents(ledger.directory) == before
    assert generation(ledger.current()) == 2


def test_going_back_works_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = with_first(tmp_path)
    ledger.accept(SECOND)
    fill_disk(monkeypatch, after=0)

    assert generation(ledger.roll_back()) == 1
    assert contents(ledger.directory) == {".": 0o700, "package.uvn-agent": (0o600, FIRST)}
    with pytest.raises(UnoError, match="there is no package to roll back to"):
        ledger.roll_back()


def test_a_generation_that_was_rolled_back_can_be_accepted_again(tmp_path: Path) -> None:
    ledger = with_first(tmp_path)
    ledger.accept(SECOND)
    ledger.roll_back()

    assert ledger.accept(SECOND).outcome is AcceptOutcome.NEWER


def test_an_empty_directory_is_used_and_made_private(tmp_path: Path) -> None:
    (tmp_path / "uvn").mkdir(mode=0o755)

    Ledger(tmp_path / "uvn").accept(FIRST)

    assert contents(tmp_path / "uvn") == {".": 0o700, "package.uvn-agent": (0o600, FIRST)}


def test_what_an_interrupted_first_install_left_does_not_block_the_next(tmp_path: Path) -> None:
    (tmp_path / "uvn").mkdir()
    (tmp_path / "uvn" / ".uno-x1y2z3.tmp").write_bytes(FIRST[:100])
    (tmp_path / "uvn" / "ledger.lock").write_text("1 uno\n")

    assert Ledger(tmp_path / "uvn").accept(FIRST).outcome is AcceptOutcome.FIRST


def test_a_directory_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "registry.db").write_text("precious")
    mode = tmp_path.stat().st_mode

    with pytest.raises(UnoError, match="is not empty, and is not the directory of a cell"):
        Ledger(tmp_path).accept(FIRST)

    assert [path.name for path in tmp_path.iterdir()] == ["registry.db"]
    assert tmp_path.stat().st_mode == mode


def test_a_directory_that_is_a_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "uvn").write_text("precious")

    with pytest.raises(UnoError, match=r"cannot use .*uvn: a part of the path is not a directory"):
        Ledger(tmp_path / "uvn").accept(FIRST)

    assert (tmp_path / "uvn").read_text() == "precious"


def test_an_empty_directory_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "uvn").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: (tmp_path / "uvn").stat().st_uid + 1)

    with pytest.raises(UnoError, match="belongs to user"):
        Ledger(tmp_path / "uvn").accept(FIRST)

    assert list((tmp_path / "uvn").iterdir()) == []


def test_a_link_to_a_directory_is_followed(tmp_path: Path) -> None:
    (tmp_path / "big-disk").mkdir()
    (tmp_path / "uvn").symlink_to("big-disk")

    Ledger(tmp_path / "uvn").accept(FIRST)

    assert (tmp_path / "big-disk" / "package.uvn-agent").read_bytes() == FIRST


def test_a_package_that_was_damaged_on_disk_is_not_believed_nor_replaced(tmp_path: Path) -> None:
    ledger = with_first(tmp_path)
    (ledger.directory / "package.uvn-agent").write_bytes(FIRST[:-1])

    for use in (ledger.current, lambda: ledger.accept(SECOND)):
        with pytest.raises(PackageRejected) as caught:
            use()
        assert "package.uvn-agent is damaged: this is not a whole" in caught.value.what
        assert "install the cell's package again" in caught.value.hint


@pytest.mark.feature("G59")
def test_a_package_of_a_later_uno_on_disk_is_whole_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as later_uno:
        later_uno.setattr(package_formats, "FORMAT", 3)
        ledger = with_first(tmp_path, package(generation=4, package_format=3))
    before = (ledger.directory / "package.uvn-agent").read_bytes()

    for use in (ledger.current, lambda: ledger.accept(SECOND), ledger.cell_state):
        with pytest.raises(OtherFormat) as caught:
            use()
        assert caught.value.what == (
            f"{ledger.directory}/package.uvn-agent is whole, but this package has format 3, and"
            " this uno reads format 1"
        )
        assert "update uno on this host" in caught.value.hint
        assert "damaged" not in str(caught.value)
    assert (ledger.directory / "package.uvn-agent").read_bytes() == before


@pytest.mark.feature("G59")
def test_an_upgraded_uno_runs_with_the_package_that_is_there_and_takes_the_next_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = with_first(tmp_path)
    monkeypatch.setattr(package_formats, "FORMAT", 2)

    assert generation(ledger.current()) == 1
    ledger.accept(package(generation=4, package_format=2))

    assert generation(ledger.current()) == 4
    assert generation(ledger.previous()) == 1


def test_a_process_that_writes_at_the_same_time_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = with_first(tmp_path)
    monkeypatch.setattr("sys.argv", ["/usr/bin/uno", "agent", "-r", "x"])
    locked = files.locked
    monkeypatch.setattr(files, "locked", lambda path: locked(path, wait_seconds=0))

    with locked(ledger.directory / "ledger.lock"), pytest.raises(UnoError) as caught:
        ledger.accept(SECOND)

    assert f"uvn is in use by process {os.getpid()} (uno agent)" in caught.value.what


# Helpers


def fill_disk(monkeypatch: pytest.MonkeyPatch, *, after: int) -> None:
    """Make the disk full once so many files were written out."""
    fchmod, calls = os.fchmod, [0]

    def full(descriptor: int, mode: int) -> None:
        calls[0] += 1
        if calls[0] > after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fchmod(descriptor, mode)

    monkeypatch.setattr(os, "fchmod", full)


def with_first(place: Path, content: bytes | None = None) -> Ledger:
    ledger = Ledger(place / "uvn")
    ledger.accept(content or FIRST)
    return ledger


def generation(read: package_file.Package | None) -> int | None:
    return read.manifest.generation if read else None


def contents(directory: Path) -> dict[str, int | tuple[int, bytes]]:
    found: dict[str, int | tuple[int, bytes]] = {".": directory.stat().st_mode & 0o777}
    for path in directory.iterdir():
        found[path.name] = (path.stat().st_mode & 0o777, path.read_bytes())
    return found


def package(
    *,
    generation: int,
    package_format: int = 1,
    cell: int = 1,
    identity: str = "0" * 32,
    httpd_port: int = 443,
    seed: int = 0,
    chain: tuple[RegistryKey, ...] = (),
    sign_keys: tuple[str, str] = ("", ""),
) -> bytes:
    signer = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    node4, node6 = IPv4Address("10.255.128.2"), IPv6Address("fd00::1")
    roster = Roster(
        uvn="my-uvn",
        identity=identity,
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
        members=tuple(
            Member(id=number, name=f"cell-{number}", node4=node4, node6=node6, sign_key=sign_key)
            for number, sign_key in enumerate(sign_keys, start=1)
        ),
    )
    return package_file.write(
        generation=generation,
        package_format=package_format,
        registry_key=registry_key(seed),
        registry_keys=chain,
        roster=package_file.roster_segment(roster),
        particles=package_file.particles_segment(()),
        plan=CellPlan(
            uvn="my-uvn",
            identity=identity,
            cell=cell,
            name=f"cell-{cell}",
            backbone_mtu=1320,
            httpd_port=httpd_port,
        ),
        secrets={},
        sign=signer.sign,
    )


def registry_key(seed: int) -> str:
    private = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    return b64encode(private.public_key().public_bytes_raw()).decode()


def key_step(old: int, new: int) -> RegistryKey:
    """Return the registry's key `new`, signed with `old`; a key is named by its seed."""
    return successor(
        registry_key(new),
        follows=registry_key(old),
        identity="0" * 32,
        sign=Ed25519PrivateKey.from_private_bytes(bytes([old]) * 32).sign,
    )


FIRST, SECOND = package(generation=1), package(generation=2)


@pytest.mark.feature("G51")
@pytest.mark.parametrize("name", ["previous.uvn-agent", "staged.uvn-agent", "state.json"])
def test_a_cell_runs_without_what_a_worn_disk_has_damaged(name: str, tmp_path: Path) -> None:
    ledger = with_first(tmp_path)
    (ledger.directory / name).write_bytes(FIRST[:-1])

    state = ledger.cell_state()

    assert (state.running, state.previous, state.staged) == (
        generation(ledger.current()),
        None,
        None,
    )


CHAIN = (key_step(0, 1), key_step(1, 2))
STATEMENT = Envelope(
    subject=REGISTRY, kind=Kind.TRUST, sequence=1, relayed_by=REGISTRY, body=b"{}", signature=b""
)


@pytest.mark.feature("G54")
def test_a_registry_that_has_changed_its_key_twice_is_followed_and_never_back(
    tmp_path: Path,
) -> None:
    ledger = with_first(tmp_path)

    ledger.accept(package(generation=2, seed=2, chain=CHAIN))

    with pytest.raises(PackageRejected, match="signed by another registry"):
        ledger.accept(package(generation=3, seed=0))
    with pytest.raises(PackageRejected, match="signed by another registry"):
        ledger.accept(package(generation=3, seed=1, chain=CHAIN[:1]))
    assert ledger.accept(package(generation=3, seed=2)).outcome is AcceptOutcome.NEWER


@pytest.mark.feature("G54")
def test_a_key_that_was_replaced_is_refused_after_a_roll_back_too(tmp_path: Path) -> None:
    ledger = with_first(tmp_path)
    ledger.accept(package(generation=2, seed=2, chain=CHAIN))

    ledger.roll_back()

    with pytest.raises(PackageRejected, match="signed by another registry"):
        ledger.accept(package(generation=3, seed=0))
    ledger.accept(package(generation=3, seed=2, chain=CHAIN))


@pytest.mark.feature("G54")
def test_a_key_that_the_registry_has_stated_is_the_only_one_from_then_on(tmp_path: Path) -> None:
    ledger = with_first(tmp_path)

    ledger.obey(TrustUpdate(registry_keys=CHAIN[:1]), STATEMENT)

    with pytest.raises(PackageRejected, match="signed by another registry"):
        ledger.accept(SECOND)
    ledger.accept(package(generation=2, seed=1, chain=CHAIN[:1]))


@pytest.mark.feature("G54")
def test_a_cell_does_not_roll_back_to_a_package_with_another_signing_key_of_its_own(
    tmp_path: Path,
) -> None:
    ledger = Ledger(tmp_path / "uvn")
    ledger.accept(package(generation=1, sign_keys=("old", "b")))
    ledger.accept(package(generation=2, sign_keys=("new", "b")))

    assert ledger.previous() is None
    assert ledger.cell_state().previous is None
    with pytest.raises(UnoError, match="there is no package to roll back to"):
        ledger.roll_back()


@pytest.mark.feature("G54")
def test_after_a_roll_back_the_old_keys_of_a_cell_that_has_new_ones_stay_revoked(
    tmp_path: Path,
) -> None:
    ledger = Ledger(tmp_path / "uvn")
    ledger.accept(package(generation=1, sign_keys=("a", "old")))
    ledger.accept(package(generation=2, sign_keys=("a", "new")))

    before = ledger.roll_back()

    assert [each.sign_key for each in before.roster.members] == ["a", ""]
    assert ledger.trust().update == TrustUpdate(cells=(Revocation(id=2, before=2),))


@pytest.mark.feature("G54")
def test_what_the_registry_has_revoked_is_revoked_in_whatever_package_runs(
    tmp_path: Path,
) -> None:
    ledger = Ledger(tmp_path / "uvn")
    ledger.accept(package(generation=1, sign_keys=("a", "b")))

    ledger.obey(TrustUpdate(cells=(Revocation(id=2),)), STATEMENT)

    for read in (Ledger(ledger.directory).current(), ledger.current()):
        assert read is not None
        assert [each.sign_key for each in read.roster.members] == ["a", ""]
    # A later list ends it for packages with new keys, and for no others.
    ledger.obey(TrustUpdate(cells=(Revocation(id=2, before=3),)), STATEMENT)
    ledger.accept(package(generation=2, sign_keys=("a", "b")))
    assert [each.sign_key for each in ledger._current().roster.members] == ["a", ""]
    ledger.accept(package(generation=3, sign_keys=("a", "c")))
    assert [each.sign_key for each in ledger._current().roster.members] == ["a", "c"]
