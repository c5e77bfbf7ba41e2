"""The DDS implementation of the agents, and the files that it needs on this host."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from uno import files
from uno.diagnostics import ActionNeeded
from uno.model.key_ids import dds_file
from uno.model.uvn import Middleware

if TYPE_CHECKING:
    from uno.model.plan import BusPlan
    from uno.ports.bus import Bus, Security

VARIABLE = "UNO_MIDDLEWARE"
LICENCE_VARIABLE = "RTI_LICENSE_FILE"
LICENCE_NAME = "rti_license.dat"


def make_bus(plan: BusPlan, *, environ: Mapping[str, str]) -> Bus:
    """Return a bus of the middleware that `plan` names, not joined yet.

    `environ` are the variables of the process: a `UNO_MIDDLEWARE` that names another is an error.
    """
    selected = environ.get(VARIABLE) or plan.middleware.value
    if selected != plan.middleware.value:
        raise ActionNeeded(
            f"{VARIABLE} is {selected}, but the agents of this UVN use {plan.middleware}",
            f"unset {VARIABLE}, or have the owner choose another for the whole UVN: `uno config uvn"
            " -U --middleware …`",
        )
    return _connext() if plan.middleware is Middleware.CONNEXT else _cyclone()


def licence(
    plan: BusPlan, *, environ: Mapping[str, str], directory: Path, root: Path = Path("/")
) -> str | None:
    """Return the path of the licence for the middleware, None where it needs none or has none.

    It is what `RTI_LICENSE_FILE` names, else `rti_license.dat` in the agent's directory, else in
    the root of the file system, where containers have it. Raises `UnoError` if the variable names
    a file that is not there.
    """
    if plan.middleware is not Middleware.CONNEXT:
        return None
    if named := environ.get(LICENCE_VARIABLE):
        if not Path(named).is_file():
            raise ActionNeeded(
                f"{LICENCE_VARIABLE} names {named}, which is not a file",
                "set it to the path of the licence file that RTI gave you",
            )
        return str(Path(named).absolute())
    places = (directory / LICENCE_NAME, root / LICENCE_NAME)
    return next((str(it.absolute()) for it in places if it.is_file()), None)


def security(plan: BusPlan, *, secrets: Mapping[str, str], directory: Path) -> Security | None:
    """Return the files of DDS Security, written below `directory`; None where the plan has it off.

    `secrets` are those of the node's package. Raises `UnoError` if they are not among them.
    """
    if not plan.security:
        return None
    from uno.ports.bus import Security  # noqa: PLC0415

    contents = {
        directory / "dds" / field.name: secrets.get(dds_file(field.name))
        for field in fields(Security)
    }
    missing = [path.name for path, content in contents.items() if content is None]
    if missing:
        raise ActionNeeded(
            f"DDS security is on, and the package of this cell has no {missing[0]} for it",
            "an older uno made it: make another on the registry, for example with `uno config uvn"
            " -U --enable-dds-security`",
        )
    files.make_private_dir(directory / "dds")
    decoded = {path: b64decode(text) for path, text in contents.items() if text is not None}
    # The directory may be read-only, and have them already.
    if not all(files.holds(path, content) for path, content in decoded.items()):
        files.write_together(decoded)
    return Security(**{path.name: str(path.absolute()) for path in contents})


def _cyclone() -> Bus:
    try:
        from uno.bus.cyclone import CycloneBus  # noqa: PLC0415
    except ImportError as error:
        raise ActionNeeded(
            "agents need Cyclone DDS, which is not installed here",
            "PyPI has it for x86-64 with glibc only: build cyclonedds 11.0.1 on this host, see"
            " docs/how-to/middleware.md; `uno service up` needs no agent and no DDS",
        ) from error
    return CycloneBus()


def _connext() -> Bus:
    try:
        from uno.bus.connext import ConnextBus  # noqa: PLC0415
    except ImportError as error:
        raise ActionNeeded(
            "the agents of this UVN use RTI Connext DDS, which is not installed here",
            "pip install 'uno-vpn[connext]'",
        ) from error
    return ConnextBus()
