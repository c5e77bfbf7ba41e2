"""Prints what a folder of PyInstaller consists of: `python packaging/sbom.py FOLDER`.

The form is CycloneDX 1.6. Run by the environment that the folder was made from. Python packages are
those of `requirements/run.txt`; libraries that belong to none of them are of the distribution, as
dpkg names it. The same folder gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from uno.host.command import run

TOP = Path(__file__).resolve().parent.parent
_PIN = re.compile(r"^([a-z0-9-]+)==", re.MULTILINE)


def main() -> None:
    """Print the inventory of the folder that the first argument names."""
    folder = Path(sys.argv[1])
    made = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), UTC)
    own = metadata.distribution("uno-vpn")
    found = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": made.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": _python(own) | {"type": "application", "bom-ref": "uno-vpn"},
        },
        "components": [*_python_packages(), _interpreter(), *_libraries(folder)],
    }
    print(json.dumps(found, indent=1, ensure_ascii=False))


def _python_packages() -> Iterator[dict[str, Any]]:
    names = _PIN.findall((TOP / "requirements" / "run.txt").read_text())
    for name in sorted(names):
        try:
            yield _python(metadata.distribution(name))
        except metadata.PackageNotFoundError:
            # For another platform.
            continue


def _python(found: metadata.Distribution) -> dict[str, Any]:
    name, about = found.metadata["Name"], found.metadata
    licence = about.get("License-Expression") or about.get("License") or "unknown"
    return {
        "type": "library",
        "name": name,
        "version": found.version,
        "purl": f"pkg:pypi/{name.lower().replace('_', '-')}@{found.version}",
        "licenses": [{"license": {"name": licence.splitlines()[0][:80]}}],
    }


def _interpreter() -> dict[str, Any]:
    version = ".".join(map(str, sys.version_info[:3]))
    return {"type": "platform", "name": "CPython", "version": version}


def _libraries(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the folder's libraries of the distribution, each with its SHA-256."""
    for path in sorted(folder.glob("_internal/lib*.so*")):
        owner = _owner(path.name)
        if owner is None:
            continue
        package, version = owner
        yield {
            "type": "library",
            "name": path.name,
            "version": version,
            "purl": f"pkg:deb/debian/{package}@{version}",
            "hashes": [
                {"alg": "SHA-256", "content": hashlib.sha256(path.read_bytes()).hexdigest()}
            ],
        }


def _owner(library: str) -> tuple[str, str] | None:
    """Return the package that a library is from, and its version."""
    done = run(["dpkg-query", "-S", f"*/{library}"], check=False)
    if done.status != 0:
        return None
    package = min(done.stdout.splitlines()).split(":")[0]
    return package, run(["dpkg-query", "-W", "-f", "${Version}", package]).stdout


main()
