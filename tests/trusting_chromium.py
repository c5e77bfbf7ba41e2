"""A Chromium that trusts certificates beside those of the world (chromium policy, CACertificates).

A policy is a file of the whole host, so that this Chromium alone has it, in a mount namespace. That
takes root.
"""

from __future__ import annotations

import json
import shlex
from base64 import b64encode
from collections.abc import Iterable, Sequence
from pathlib import Path

CHROMIUM = Path("/usr/bin/chromium")
# Root has no sandbox of Chromium's; it opens pages of tests alone.
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
_SCRIPT = """#!/bin/sh
exec {into} unshare --mount sh -ec '
    mount -t tmpfs tmpfs /etc/chromium
    mkdir -p /etc/chromium/policies/managed
    cp {policy} /etc/chromium/policies/managed/
    exec {chromium} "$@"
' sh "$@"
"""


def script(folder: Path, trusted: Iterable[bytes], *, into: Sequence[str] = ()) -> Path:
    """Write what starts it to `folder`: it trusts these certificates (DER).

    `into` is a command that runs another somewhere else, such as in a network namespace.
    """
    policy, made = folder / "policy.json", folder / "chromium"
    policy.write_text(json.dumps({"CACertificates": [b64encode(it).decode() for it in trusted]}))
    made.write_text(_SCRIPT.format(into=shlex.join(into), policy=policy, chromium=CHROMIUM))
    made.chmod(0o755)
    return made
