"""Forks a process for each command or agent of uno, in the namespaces of a machine of a lab.

    python prefork_server.py DESCRIPTOR

One takes a third of a second to start Python and import what it needs, and labs run thousands:
here all of uno is imported once. `prefork` sends requests over the socket DESCRIPTOR.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

# Namespaces that nsenter(1) enters for `Node.run`; the last is that of processes.
NAMESPACES = ("net", "mnt", "uts", "pid")
# Files of a request: standard output, errors, and where process id and exit status are written.
FILES = 3
# One datagram; only the environment may be long.
LARGEST = 1 << 17
# The middleware and the web server are imported where a command needs them; labs are not for cells.
_LEFT_OUT = (
    *("uno.bus.cyclone", "uno.bus.connext", "uno.bus.child", "uno.lab", "uno.web"),
    "uno.__main__",
)
# What modules of uno import when a command needs it.
_BY_NEED = (
    *("argon2", "rich._emoji_codes", "sdnotify", "segno", "urllib.request"),
    *("cryptography.x509", "cryptography.hazmat.primitives.kdf.hkdf"),
    *("cryptography.hazmat.primitives.serialization.ssh", "typer._click.decorators"),
)
# Variables of tests that programs get from uno too.
_INHERITED = ("GOMAXPROCS",)
# As `as_on_a_stock_host` has it.
_UMASK = 0o027


def main(descriptor: int) -> None:
    """Serve requests until the other end of the socket is closed."""
    for name in (*_modules(), *_BY_NEED):
        importlib.import_module(name)
    _build_commands()
    _query_programs()
    command = importlib.import_module("uno.host.command")
    command._INHERITED = (*command._INHERITED, *_INHERITED)
    # What is there now is never garbage; a collection would copy its pages in each process.
    gc.collect()
    gc.freeze()
    # Nobody waits for processes of requests.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(fileno=descriptor) as requests:
        while True:
            data, files, _, _ = socket.recv_fds(requests, LARGEST, FILES)
            if not data:
                return
            if os.fork() == 0:
                break
            for each in files:
                os.close(each)
    _enter_and_run(json.loads(data), files)


def _modules() -> Iterator[str]:
    import uno  # noqa: PLC0415 - here, so that reading this module imports nothing of it

    for each in pkgutil.walk_packages(uno.__path__, "uno."):
        if not each.name.startswith(_LEFT_OUT):
            yield each.name


def _build_commands() -> None:
    """Have the options of each command built once: `uno` keeps them."""
    from uno.cli import main as cli  # noqa: PLC0415 - as above

    for names in cli.MODULES.values():
        for each in names:
            cli._command(each)


def _query_programs() -> None:
    """Keep what each command on a cell would run three programs for: versions, and the kernel's.

    All machines of a lab have the same kernel, and programs from the same files.
    """
    from uno.host import command, programs  # noqa: PLC0415 - as above
    from uno.host.firewall import nft  # noqa: PLC0415
    from uno.host.routing_frr import daemons  # noqa: PLC0415
    from uno.render import nftables  # noqa: PLC0415

    for name in (str(daemons.PROGRAMS / "zebra"), "wireguard-go"):
        if found := command.find(name):
            programs.version(Path(found))
    nft.accepts(nftables.LOOKUP_RULES)


def _enter_and_run(request: dict[str, object], files: Sequence[int]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    output, errors, outcome = files
    # A client that has waited long enough ends all of it.
    os.setsid()
    _report(outcome, os.getpid())
    _enter(str(request["holder"]))
    process = os.fork()
    if process:
        # It is there until the command has ended: a signal to all of it is for the command.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        os.close(output)
        os.close(errors)
        _, status = os.waitpid(process, 0)
        _report(outcome, os.waitstatus_to_exitcode(status))
        os._exit(0)
    os.close(outcome)
    # A terminal is standard input, too.
    given = os.dup(output) if os.isatty(output) else os.open(os.devnull, os.O_RDONLY)
    os.dup2(given, 0)
    os.close(given)
    for number, each in enumerate((output, errors), start=1):
        os.dup2(each, number)
        os.close(each)
    sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    _run(request)


def _run(request: dict[str, object]) -> None:
    from uno.cli.main import main as uno  # noqa: PLC0415 - imported before the fork

    os.environ.clear()
    environment, words = request["environment"], request["words"]
    os.chdir(str(request["directory"]))
    assert isinstance(environment, dict)
    assert isinstance(words, list)
    os.environ.update(environment)
    os.umask(_UMASK)
    try:
        uno(words)
    except SystemExit as end:
        if not isinstance(end.code, int):
            raise
        _end(end.code)


def _end(status: int) -> NoReturn:
    """End this process as Python does, but for freeing each object.

    That would write to, and so copy, nearly every page of memory that the server shares with it.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    threading._shutdown()
    atexit._run_exitfuncs()
    os._exit(status)


def _enter(holder: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    opened = [os.open(f"/proc/{holder}/ns/{each}", os.O_RDONLY) for each in NAMESPACES]
    for each in opened:
        if libc.setns(each, 0) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"cannot enter a namespace: {os.strerror(number)}")
        os.close(each)


def _report(file: int, number: int) -> None:
    os.write(file, f"{number}\n".encode())


if __name__ == "__main__":
    main(int(sys.argv[1]))
