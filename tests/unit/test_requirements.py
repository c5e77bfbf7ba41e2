"""Hosts get what was tested: requirements/ names the same versions and hashes as uv.lock."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
_PIN = re.compile(r"^([a-z0-9-]+)==([^ ;\\]+)")


def pins(name: str) -> dict[str, tuple[str, set[str]]]:
    """Return version and hashes of each package in a file of requirements/."""
    found: dict[str, tuple[str, set[str]]] = {}
    package = ""
    for line in (TOP / "requirements" / name).read_text().splitlines():
        if match := _PIN.match(line):
            package, version = match.groups()
            found[package] = version, set()
        elif "--hash=" in line:
            found[package][1].add(line.split("--hash=")[1].split()[0])
    return found


def project() -> dict[str, object]:
    return tomllib.loads((TOP / "pyproject.toml").read_text())


def test_what_hosts_install_is_what_the_lock_names() -> None:
    lock = tomllib.loads((TOP / "uv.lock").read_text())
    locked = {
        each["name"]: (
            each["version"],
            {it["hash"] for it in (*each.get("wheels", ()), each.get("sdist", {})) if it},
        )
        for each in lock["package"]
        if "version" in each
    }
    found = pins("run.txt")

    assert found
    assert {name: locked[name] for name in found} == found
    names = [re.split(r"[><=;]", each)[0] for each in project()["project"]["dependencies"]]  # type: ignore[index]
    assert set(names) <= found.keys()


def test_uno_is_built_with_the_version_that_is_named_with_its_hash() -> None:
    (backend,) = project()["build-system"]["requires"]  # type: ignore[index]

    assert backend == f"hatchling=={pins('build.txt')['hatchling'][0]}"


@pytest.mark.parametrize("name", ["run.txt", "build.txt", "packaging.txt", "uv.txt"])
def test_every_package_has_its_hashes_and_no_file_names_an_index(name: str) -> None:
    found = pins(name)

    assert all(hashes for _, hashes in found.values())
    assert "://" not in (TOP / "requirements" / name).read_text()


def test_setup_installs_nothing_without_a_hash() -> None:
    script = (TOP / "scripts/setup").read_text()

    lines = [line for line in script.splitlines() if "pip install" in line]
    assert lines
    assert all("--require-hashes" in line for line in lines)
    assert "sync -q --frozen" in script
