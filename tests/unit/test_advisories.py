"""What hosts install is compared with published advisories."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.version import Version

from script_modules import script_module

SCRIPT = Path(__file__).parents[2] / "scripts" / "advisories.py"


@pytest.fixture(scope="module")
def advisories() -> ModuleType:
    return script_module("advisories")


def snapshot(*ranges: list[dict[str, str]], versions: tuple[str, ...] = ()) -> dict[str, Any]:
    advisory = {"id": "PYSEC-1", "aliases": ["CVE-1"], "ranges": ranges, "versions": versions}
    return {"packages": {"lib": [advisory], "other": []}}


def test_no_advisory_of_the_snapshot_affects_what_hosts_install(advisories: ModuleType) -> None:
    found = json.loads(advisories.SNAPSHOT.read_text())

    assert list(advisories.findings(found, advisories.locked())) == []
    assert {"cryptography", "msgspec", "cyclonedds"} <= found["packages"].keys()
    assert any(found["packages"].values())


def test_an_advisory_of_the_snapshot_is_found_in_the_version_that_it_affects(
    advisories: ModuleType,
) -> None:
    found = json.loads(advisories.SNAPSHOT.read_text())

    old = advisories.locked() | {"cryptography": Version("41.0.5")}

    named = " ".join(advisories.findings(found, old))
    assert "cryptography 41.0.5: PYSEC-2023-254 CVE-2023-49083" in named


def test_a_version_is_affected_within_a_range(advisories: ModuleType) -> None:
    first = [{"introduced": "1.2"}, {"fixed": "1.10"}]
    second = [{"introduced": "2.0rc1"}, {"last_affected": "2.0"}]
    versions = ("1.1", "1.2", "1.9", "1.10", "2.0", "2.1")

    affected = [
        each
        for each in versions
        if list(advisories.findings(snapshot(first, second), {"lib": Version(each)}))
    ]

    assert affected == ["1.2", "1.9", "2.0"]


def test_a_version_is_affected_that_is_listed(advisories: ModuleType) -> None:
    listed = snapshot(versions=("3.1",))

    assert list(advisories.findings(listed, {"lib": Version("3.0")})) == []
    assert list(advisories.findings(listed, {"lib": Version("3.1")})) != []


def test_a_package_that_the_snapshot_does_not_know_is_named(advisories: ModuleType) -> None:
    (line,) = advisories.findings(snapshot(), {"new": Version("1"), "other": Version("1")})

    assert line == "new: the snapshot was made without it; make it again"
