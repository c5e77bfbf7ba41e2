"""Checks that a wheel or a folder of PyInstaller has all of uno: `packaging/contents.py PATH`.

Every file of `src/uno` has to be in it: as it is, or, in the folder, as a module. The folder also
needs each package that uno depends on. Run by the environment that the folder was made from.
"""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

SOURCE = Path(__file__).resolve().parent.parent / "src"


def main() -> None:
    """Exit with status 1, and name what is missing, if anything is."""
    path = Path(sys.argv[1])
    missing = list(_missing_in_folder(path) if path.is_dir() else _missing_in_wheel(path))
    if missing:
        sys.exit(f"packaging: {path} lacks {', '.join(missing)}")


def _files() -> Iterator[Path]:
    """Yield every file of uno, below `src`."""
    for path in sorted((SOURCE / "uno").rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(SOURCE)


def _missing_in_wheel(path: Path) -> Iterator[str]:
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
    yield from (str(file) for file in _files() if file.as_posix() not in names)


def _missing_in_folder(path: Path) -> Iterator[str]:
    # PyInstaller has no types.
    from PyInstaller.archive.readers import CArchiveReader  # noqa: PLC0415

    modules = set(CArchiveReader(str(path / "uno")).open_embedded_archive("PYZ.pyz").toc)
    for file in _files():
        if file.suffix != ".py":
            if file.name != "py.typed" and not (path / "_internal" / file).is_file():
                yield str(file)
        elif _module(file) not in modules:
            yield str(file)
    for name in _depended_on():
        if name not in modules and not list((path / "_internal").glob(f"{name}*")):
            yield name


def _module(file: Path) -> str:
    parts = file.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _depended_on() -> Iterator[str]:
    """Yield the importable name of each package that uno depends on here."""
    wanted = set()
    for line in metadata.requires("uno-vpn") or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            wanted.add(_normal(requirement.name))
    for module, owners in sorted(metadata.packages_distributions().items()):
        if not module.startswith("_") and wanted & {_normal(each) for each in owners}:
            yield module


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


main()
