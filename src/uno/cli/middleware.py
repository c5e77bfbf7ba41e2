"""What carries the messages of the agents, and what that needs on this host."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from uno import program
from uno.bus.dds import DdsBus
from uno.bus.selected import SelectedSessions
from uno.diagnostics import ActionNeeded
from uno.host import command
from uno.model.uvn import Middleware

if TYPE_CHECKING:
    from uno.model.plan import BusPlan
    from uno.ports.bus import Bus

VARIABLE = "UNO_MIDDLEWARE"
LICENCE_VARIABLE = "RTI_LICENSE_FILE"
LICENCE_NAME = "rti_license.dat"


def make_bus(plan: BusPlan, *, environ: Mapping[str, str]) -> Bus:
    """Return a bus, not joined yet, which uses the middleware of each configuration.

    Raises `UnoError` if this host cannot use that of `plan`. `environ` are the variables of the
    process.
    """
    return bus_factory(plan, environ=environ)()


def bus_factory(plan: BusPlan, *, environ: Mapping[str, str]) -> Callable[[], Bus]:
    """Return what makes such buses. Raises as `make_bus` does."""
    require(plan, environ=environ)
    return lambda: DdsBus(SelectedSessions(partial(start_child, environ)))


def require(plan: BusPlan, *, environ: Mapping[str, str]) -> None:
    """Raise `UnoError` if this host does not have the middleware that `plan` names.

    A variable `UNO_MIDDLEWARE` that names another is an error.
    """
    selected = environ.get(VARIABLE) or plan.middleware.value
    if selected != plan.middleware.value:
        raise ActionNeeded(
            f"{VARIABLE} is {selected}, but the agents of this UVN use {plan.middleware}",
            f"unset {VARIABLE}, or have the owner choose another for the whole UVN: `uno config uvn"
            " -U --middleware …`",
        )
    _require_installed(plan.middleware)


def require_licence(plan: BusPlan, *, environ: Mapping[str, str], directory: Path) -> None:
    """Raise `UnoError` if the middleware of `plan` needs a licence, and there is none."""
    if plan.middleware is not Middleware.CONNEXT:
        return
    if licence(plan, environ=environ, directory=directory) is None:
        raise ActionNeeded(
            "the agents of this UVN use RTI Connext DDS, and this host has no licence for it",
            f"put RTI's file at {directory / LICENCE_NAME}, or name it in {LICENCE_VARIABLE}",
        )


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


def is_installed(middleware: Middleware) -> bool:
    """Whether this host has a middleware: all have TCP."""
    if middleware not in _MODULES:
        return True
    try:
        return find_spec(_MODULES[middleware][0]) is not None
    except ValueError:
        return False


def _require_installed(middleware: Middleware) -> None:
    """Raise `ActionNeeded` without the middleware. It is loaded in another process alone."""
    if not is_installed(middleware):
        raise _MODULES[middleware][1]


_MODULES = {
    Middleware.CYCLONE: (
        "cyclonedds",
        ActionNeeded(
            "agents need Cyclone DDS, which is not installed here",
            "PyPI has it for x86-64 with glibc only: build cyclonedds 11.0.1 on this host, see"
            " docs/how-to/middleware.md; or have the owner set `middleware: tcp` for the UVN, which"
            " needs nothing; `uno service up` needs no agent",
        ),
    ),
    Middleware.CONNEXT: (
        "rti",
        ActionNeeded(
            "the agents of this UVN use RTI Connext DDS, which is not installed here",
            "pip install 'uno-vpn[connext]'",
        ),
    ),
}


def start_child(
    environ: Mapping[str, str], middleware: Middleware, connection: socket.socket, errors: int
) -> command.Process:
    """Start the process of a bus, which has one end of a socket pair.

    It writes its errors to the file `errors`. Raises `CommandFailed`.
    """
    descriptor, parent = connection.fileno(), os.getpid()
    argv = program.bus_process(str(descriptor), middleware.value, str(parent))
    return command.start_child(
        argv, descriptor=descriptor, errors=errors, env=command.child_environment(environ)
    )
