"""The web page of this host's agent: the process that serves it."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from uno import program
from uno.host import command
from uno.web.page_process import PageProcess


def make_page(directory: Path, *, environ: Mapping[str, str]) -> PageProcess:
    """Return the page of the cell in `directory`, not served yet. For one event loop."""
    return PageProcess(
        partial(start_process, environ),
        directory,
        wall=time.time,  # noqa: TID251 - certificates have times of day
    )


def start_process(
    environ: Mapping[str, str], connection: socket.socket, errors: int
) -> command.Process:
    """Start the process of a page, which has one end of a socket pair.

    It writes its errors to the file `errors`. Raises `CommandFailed`.
    """
    descriptor, parent = connection.fileno(), os.getpid()
    return command.start_child(
        program.web_process(str(descriptor), str(parent)),
        descriptor=descriptor,
        errors=errors,
        env=command.child_environment(environ),
    )
