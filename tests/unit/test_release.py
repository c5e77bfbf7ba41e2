"""The steps of a release, in a copy of what they change; and the workflow that runs them."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from uno import __version__
from uno.host.command import Completed, run

TOP = Path(__file__).parents[2]
WORKFLOW = TOP / ".github" / "workflows" / "release.yml"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The files of this repository that a release changes."""
    for name in ("packaging/release", "src/uno/__init__.py", "man/uno.1", "CHANGELOG.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(TOP / name, tmp_path / name)
    return tmp_path


@pytest.mark.feature("G49")
def test_a_release_names_its_version_everywhere_and_keeps_what_is_unreleased_apart(
    tree: Path,
) -> None:
    before = (tree / "CHANGELOG.md").read_text().split("## Unreleased")[1]

    release(tree, "cut", "9.8.7")

    assert '__version__ = "9.8.7"' in (tree / "src/uno/__init__.py").read_text()
    assert '"uno 9.8.7"' in (tree / "man/uno.1").read_text()
    assert "## Unreleased\n\n## 9.8.7 (2023-11-14)\n" in (tree / "CHANGELOG.md").read_text()
    assert release(tree, "check", "v9.8.7").stdout == ""
    assert release(tree, "notes", "v9.8.7").stdout.split() == before.split()


@pytest.mark.feature("G49")
@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("check", "v9.9.9"), f"the tag is v9.9.9, and the version is {__version__}"),
        (("check", f"v{__version__}"), f"says nothing of {__version__}"),
        (("cut", "next"), "next is no version"),
    ],
)
def test_what_does_not_agree_is_refused(tree: Path, words: tuple[str, ...], reason: str) -> None:
    text = (tree / "CHANGELOG.md").read_text().replace(f"## {__version__} ", "## ")
    (tree / "CHANGELOG.md").write_text(text)

    refused = release(tree, *words)

    assert refused.status == 1
    assert reason in refused.stderr


@pytest.mark.feature("G49")
@pytest.mark.skipif(not shutil.which("minisign"), reason="minisign is not installed")
def test_a_signed_release_is_verified_and_one_that_was_changed_is_refused(tree: Path) -> None:
    dist, key = tree / "dist", tree / "key"
    dist.mkdir()
    put_file(dist, "a package")
    write_sums(dist)
    run(["minisign", "-G", "-W", "-p", f"{key}.pub", "-s", str(key)])

    release(tree, "sign", str(dist), str(key))

    assert release(tree, "verify", str(dist), f"{key}.pub").stdout == f"uno {__version__}\n"
    put_file(dist, "another package")
    assert "is not that of the release" in release(tree, "verify", str(dist), f"{key}.pub").stderr
    assert "a file differs" in release(tree, "sign", str(dist), str(key)).stderr
    write_sums(dist)
    assert "is not signed with" in release(tree, "verify", str(dist), f"{key}.pub").stderr


@pytest.mark.feature("G49")
def test_the_workflow_runs_what_is_here_and_nothing_that_can_change_elsewhere() -> None:
    workflow = YAML(typ="safe").load(WORKFLOW.read_text())
    steps: list[dict[str, Any]] = [
        step for job in workflow["jobs"].values() for step in job["steps"]
    ]
    actions = [step["uses"] for step in steps if "uses" in step]
    scripts = {
        path for step in steps for path in re.findall(r"packaging/[\w-]+", step.get("run", ""))
    }

    assert actions
    assert [each for each in actions if not re.search(r"@[0-9a-f]{40}$", each)] == []
    assert scripts
    assert [each for each in sorted(scripts) if not (TOP / each).is_file()] == []


@pytest.mark.feature("G49")
def test_no_job_of_the_workflow_may_do_more_than_it_needs() -> None:
    workflow = YAML(typ="safe").load(WORKFLOW.read_text())

    assert workflow["permissions"] == {}
    assert {name: job["permissions"] for name, job in workflow["jobs"].items()} == {
        "build": {"contents": "read"},
        "draft": {"attestations": "write", "contents": "write", "id-token": "write"},
        "pypi": {"id-token": "write"},
    }


# Helpers


def release(tree: Path, *words: str) -> Completed:
    words = (str(tree / "packaging/release"), *words)
    return run(words, env={"SOURCE_DATE_EPOCH": "1700000000"}, check=False)


def put_file(dist: Path, text: str) -> None:
    (dist / "uno.deb").write_text(text)


def write_sums(dist: Path) -> None:
    digest = hashlib.sha256((dist / "uno.deb").read_bytes()).hexdigest()
    (dist / "SHA256SUMS").write_text(f"{digest}  uno.deb\n")
