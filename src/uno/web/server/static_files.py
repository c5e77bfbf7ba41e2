"""The files of the page, in memory: there is no path to any other."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "ico": "image/x-icon",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "png": "image/png",
    "svg": "image/svg+xml",
    "webmanifest": "application/manifest+json",
    "woff2": "font/woff2",
}

INDEX: Final = "index.html"

# What is served where a build has no files of the page.
_WITHOUT: Final = b"<!doctype html>\n<title>uno</title>\n<p>This uno was built without its page.\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticFile:
    """A file: `packed` is empty where compression gains nothing."""

    kind: str
    etag: str
    body: bytes = field(repr=False)
    packed: bytes = field(repr=False)


def load(folder: Traversable | None = None) -> dict[str, StaticFile]:
    """Return the files by their path below `folder`, by default uno's own; `INDEX` always."""
    top = folder or files("uno.web").joinpath("static")
    found = {path: _file(path, body) for path, body in _walk(top, "")}
    found.setdefault(INDEX, _file(INDEX, _WITHOUT))
    return found


def _walk(folder: Traversable, before: str) -> Iterator[tuple[str, bytes]]:
    if not folder.is_dir():
        return
    for each in folder.iterdir():
        if each.is_dir():
            yield from _walk(each, f"{before}{each.name}/")
        elif each.name.rpartition(".")[2] in TYPES:
            yield before + each.name, each.read_bytes()


def _file(path: str, body: bytes) -> StaticFile:
    packed = zlib.compress(body, 9, 31)
    return StaticFile(
        kind=TYPES[path.rpartition(".")[2]],
        etag=f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"',
        body=body,
        packed=packed if len(packed) < len(body) * 0.9 else b"",
    )
