"""The actions of the image, with an `uno` that notes what it is called with."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from threading import Event

import pytest
from ruamel.yaml import YAML

from uno.host.command import Completed, run, start

ENTRYPOINT = Path(__file__).parents[2] / "packaging" / "container" / "entrypoint"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """What the image has: uno, an empty /uvn, and perhaps a package and a licence."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "uvn").mkdir()
    uno = tmp_path / "bin" / "uno"
    uno.write_text(
        '#!/bin/sh\necho "uno $*"\necho "licence $RTI_LICENSE_FILE"\nexit ${STATUS:-0}\n'
    )
    uno.chmod(0o755)
    return tmp_path


@pytest.mark.feature("F120")
@pytest.mark.parametrize(
    ("words", "command"),
    [
        (("agent",), "agent -r {uvn}"),
        (("define", "my-uvn", "-s", "/uvn.yml"), "define uvn -r {uvn} my-uvn -s /uvn.yml"),
        (("redeploy", "-S", "circular"), "redeploy -r {uvn} -S circular"),
        (("sync", "-C"), "sync -r {uvn} -C"),
        (("up",), "service up -r {uvn}"),
        (("down", "--forget"), "service down -r {uvn} --forget"),
        (("keep-up",), "service up -r {uvn}"),
        (("healthy",), "service status -r {uvn}"),
        ((), "--help"),
    ],
)
def test_an_action_is_a_command_of_uno_in_the_mounted_directory(
    words: tuple[str, ...], command: str, image: Path
) -> None:
    # What keeps a network up waits; here its uno fails as with a mistake of the person.
    env = {"STATUS": "2"} if words == ("keep-up",) else {}
    lines = started(image, *words, env=env).stdout.splitlines()

    assert lines[0] == f"uno {command.format(uvn=image / 'uvn')}"


@pytest.mark.feature("F122")
def test_any_other_command_is_run_as_it_is(image: Path) -> None:
    assert started(image, "echo", "a b", "c").stdout == "a b c\n"
    assert started(image, "uno", "list", "cells").stdout.splitlines()[0] == "uno list cells"
    assert started(image, "sh", "-c", "exit 3").status == 3


@pytest.mark.feature("F119")
def test_a_mounted_package_is_installed_where_there_is_no_cell_yet(image: Path) -> None:
    (image / "package.uvn-agent").write_text("a package")
    installs = f"uno install {image}/package.uvn-agent -r {image}/uvn"

    assert started(image, "agent").stdout.splitlines()[0] == installs
    assert installs not in started(image, "define", "x").stdout
    assert installs not in started(image, "uno", "--version").stdout
    (image / "uvn" / "package.uvn-agent").write_text("of the cell")
    assert installs not in started(image, "agent").stdout


@pytest.mark.feature("F118")
@pytest.mark.feature("F126")
def test_a_mounted_licence_is_found_and_the_environment_comes_before_it(image: Path) -> None:
    assert "licence \n" in started(image, "agent").stdout
    (image / "rti_license.dat").write_text("a licence")

    assert f"licence {image}/rti_license.dat\n" in started(image, "agent").stdout
    chosen = started(image, "agent", env={"RTI_LICENSE_FILE": "/mine.dat"})
    assert "licence /mine.dat\n" in chosen.stdout


@pytest.mark.feature("F121")
@pytest.mark.skipif(os.geteuid() != 0, reason="files are given to another user")
def test_files_of_root_are_given_to_the_user_and_links_are_not_followed(image: Path) -> None:
    uvn, outside = image / "uvn", image / "outside"
    outside.write_text("not in the directory")
    for name in ("registry.db", "own"):
        (uvn / name).write_text("x")
    (uvn / "link").symlink_to(outside)
    os.chown(uvn / "own", 4000, 4000)

    done = started(image, "fix-file-ownership", "1234:1235")

    assert done.status == 0
    owners = {path.name: (path.lstat().st_uid, path.lstat().st_gid) for path in uvn.iterdir()}
    assert owners == {"registry.db": (1234, 1235), "link": (1234, 1235), "own": (4000, 4000)}
    assert outside.stat().st_uid == 0
    assert "usage: fix-file-ownership" in started(image, "fix-file-ownership").stderr


@pytest.mark.feature("F120")
def test_what_keeps_a_cell_up_disconnects_it_when_it_is_ended(image: Path) -> None:
    log = image / "log"
    words = ["env", "-i", *environment(image), "sh", str(ENTRYPOINT), "keep-up"]
    kept = start(words, log=log)
    await_line(log, "uno service up")

    status = kept.stop(within=20)

    assert status == 0
    assert f"uno service down -r {image}/uvn" in log.read_text()


@pytest.mark.feature("F120")
def test_the_files_for_engines_agree_on_what_a_cell_may_do_and_what_it_starts() -> None:
    compose = YAML(typ="safe").load((ENTRYPOINT.parent / "compose.yml").read_text())["services"]
    quadlet = {
        path.stem.removeprefix("uno-"): path.read_text()
        for path in (ENTRYPOINT.parent / "quadlet").glob("*.container")
    }

    assert sorted(compose) == sorted(quadlet)
    for name, service in compose.items():
        [added] = re.findall("^AddCapability=(.*)", quadlet[name], re.MULTILINE)
        assert added.split() == service["cap_add"]
        assert "DropCapability=all" in quadlet[name]
        assert service["cap_drop"] == ["ALL"]
        [command] = service["command"]
        assert f"\nExec={command}\n" in quadlet[name]
        assert re.search(rf"\b{command}\b", ENTRYPOINT.read_text())


# Helpers


def started(image: Path, *words: str, env: dict[str, str] | None = None) -> Completed:
    """Start the image's entrypoint with `words`."""
    shown = environment(image, env)
    return run(["env", "-i", *shown, "sh", str(ENTRYPOINT), *words], check=False)


def environment(image: Path, env: dict[str, str] | None = None) -> list[str]:
    places = {
        "PATH": f"{image}/bin:/usr/bin:/bin",
        "UVN_DIR": str(image / "uvn"),
        "UVN_PACKAGE": str(image / "package.uvn-agent"),
        "UVN_RTI_LICENSE": str(image / "rti_license.dat"),
    }
    return [f"{name}={value}" for name, value in (places | (env or {})).items()]


def await_line(log: Path, text: str) -> None:
    deadline = time.monotonic() + 20
    while not log.exists() or text not in log.read_text():
        assert time.monotonic() < deadline, f"{text} is not in {log}"
        Event().wait(0.02)
