"""Compares what hosts install with published advisories, of which the tree has a snapshot.

    python scripts/advisories.py             prints advisories that affect requirements/*.txt
    python scripts/advisories.py DIRECTORY   writes the snapshot again, from a clone of
                                             PyPA's advisory database (pypa/advisory-database)

Exit status 1: an advisory affects a version, or the snapshot lacks a package. It needs no network,
so CI runs it; `just audit` also asks a service for advisories that are newer than the snapshot.

The advisories are in the OSV format (ossf.github.io/osv-schema): a version is affected if it is in
a range, or listed.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import Version
from ruamel.yaml import YAML

from uno.host.command import run

TOP = Path(__file__).resolve().parent.parent
REQUIREMENTS = TOP / "requirements"
SNAPSHOT = REQUIREMENTS / "advisories.json"
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)


def locked() -> dict[str, Version]:
    """Return the version of each package that requirements/*.txt name."""
    texts = (path.read_text() for path in sorted(REQUIREMENTS.glob("*.txt")))
    return {canonicalize_name(n): Version(v) for text in texts for n, v in _PIN.findall(text)}


def findings(snapshot: dict[str, Any], pins: dict[str, Version]) -> Iterator[str]:
    """Yield what is wrong: an advisory that affects a version, a package without an answer."""
    for name, version in sorted(pins.items()):
        if name not in snapshot["packages"]:
            yield f"{name}: the snapshot was made without it; make it again"
            continue
        for advisory in snapshot["packages"][name]:
            if _affects(advisory, version):
                yield f"{name} {version}: {advisory['id']} {' '.join(advisory['aliases'])}"


def _affects(advisory: dict[str, Any], version: Version) -> bool:
    in_range = any(_contains(each, version) for each in advisory["ranges"])
    return in_range or str(version) in advisory["versions"]


def _contains(events: list[dict[str, str]], version: Version) -> bool:
    """Whether a version is in a range: OSV schema, "affected[].ranges[].events fields"."""
    inside = False
    for kind, limit in (item for event in events for item in event.items()):
        if kind == "introduced" and (limit == "0" or version >= Version(limit)):
            inside = True
        if (kind == "fixed" and version >= Version(limit)) or (
            kind == "last_affected" and version > Version(limit)
        ):
            inside = False
    return inside


def made(database: Path, names: Iterable[str]) -> dict[str, Any]:
    """Return the snapshot of these packages from a clone of the advisory database."""
    files = _git(database, "ls-tree", "-r", "--name-only", "HEAD", "vulns/").splitlines()
    commit, date = _git(database, "log", "-1", "--format=%H %cs").split()
    packages: dict[str, list[dict[str, Any]]] = {name: [] for name in sorted(names)}
    for file in files:
        name = canonicalize_name(Path(file).parent.name)
        if name in packages and file.endswith(".yaml"):
            advisory = YAML(typ="safe").load(_git(database, "show", f"HEAD:{file}"))
            if "withdrawn" not in advisory:
                packages[name].append(_reduced(advisory, name))
    source = {"source": "pypa/advisory-database", "commit": commit, "date": date}
    return {**source, "packages": packages}


def _reduced(advisory: dict[str, Any], name: str) -> dict[str, Any]:
    affected = [
        each for each in advisory["affected"] if canonicalize_name(each["package"]["name"]) == name
    ]
    ranges = [
        [{kind: str(limit) for kind, limit in event.items()} for event in found["events"]]
        for each in affected
        for found in each.get("ranges", ())
        if found["type"] == "ECOSYSTEM"
    ]
    # Ranges say the same in less, and of later versions too.
    listed = () if ranges else (str(it) for each in affected for it in each.get("versions", ()))
    return {
        "id": advisory["id"],
        "aliases": sorted(advisory.get("aliases", ())),
        "ranges": ranges,
        "versions": sorted(listed),
    }


def _git(database: Path, *arguments: str) -> str:
    return run(["git", "-C", str(database), *arguments]).stdout


def main() -> int:
    """Write the snapshot, or check with it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("database", nargs="?", type=Path, help="a clone of the advisory database")
    database = parser.parse_args().database
    if database is not None:
        SNAPSHOT.write_text(json.dumps(made(database, locked()), indent=1) + "\n")
    snapshot = json.loads(SNAPSHOT.read_text())
    found = list(findings(snapshot, locked()))
    for line in found:
        sys.stderr.write(f"{line}\n")
    count = sum(map(len, snapshot["packages"].values()))
    sys.stdout.write(
        f"{len(locked())} packages, {count} advisories of {snapshot['date']}: {len(found)} apply\n"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
