"""What each process of uno imports before it does anything: a process is paid for at each start."""

from __future__ import annotations

import json
import sys

import pytest

from uno.host.command import run

# Runs what an argument has, and prints the names of the modules that are there then.
MODULES = """
import contextlib, io, json, sys
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    with contextlib.redirect_stderr(io.StringIO()):
        exec(sys.argv[1])
print(json.dumps(sorted(sys.modules)))
"""
COMMAND = "from uno.cli.main import main; main({!r})"
# Each takes more time than a short command has, or comes with what does.
OF_REGISTRIES = ("argon2", "networkx", "pyrage", "segno", "sqlite3", "uno.planning", "uno.spec")
OF_KEYS = ("cryptography", "uno.registry.store.generation_store")
OF_TERMINALS = ("rich", "ruamel")
OF_DAEMONS = ("asyncio", "concurrent", "uno.agent", "uno.bus", "uno.host", "uno.web.server")
OF_PAGES = ("h11", "starlette", "uvicorn")
OF_COMMANDS = ("typer", "uno.cli")
ELSEWHERE = (*OF_REGISTRIES, *OF_KEYS, *OF_TERMINALS, *OF_PAGES, "cyclonedds", "rti")
STARTS = {
    "a list of commands": (
        COMMAND.format(["--help"]),
        (*ELSEWHERE, *OF_DAEMONS, "uno.reconcile", "uno.render", "uno.statesync"),
    ),
    "a command of the registry": (
        COMMAND.format(["config", "--help"]),
        (*ELSEWHERE, *OF_DAEMONS, "uno.cli.commands.show", "uno.reconcile", "uno.render"),
    ),
    "a command of a cell": (
        COMMAND.format(["service", "status", "-r", "/nowhere"]),
        (*ELSEWHERE, "uno.bus", "uno.cli.commands.define", "uno.controller", "uno.web"),
    ),
    "an agent": (
        COMMAND.format(["agent", "-r", "/nowhere"])
        + "; import uno.agent.daemon, uno.cli.middleware, uno.cli.web_page, uno.host.linux",
        (*ELSEWHERE, "uno.cli.commands.service_up_down", "uno.controller", "uno.diagnosis"),
    ),
    "the process of a bus": (
        "import uno.bus.child",
        (*ELSEWHERE, *OF_COMMANDS, "asyncio", "dataclasses", "uno.agent", "uno.host"),
    ),
    "the process of a page": (
        "import uno.web.server.page_child",
        (*OF_KEYS, *OF_TERMINALS, *OF_COMMANDS, "networkx", "segno", "uno.agent", "uno.planning"),
    ),
    "the process of notifications": (
        "import uno.notify.courier",
        (*ELSEWHERE, *OF_COMMANDS, "asyncio", "dataclasses", "uno.agent", "uno.reconcile"),
    ),
}


@pytest.mark.parametrize("what", STARTS)
def test_a_process_starts_without_what_others_need(what: str) -> None:
    code, elsewhere = STARTS[what]

    loaded = json.loads(run([sys.executable, "-c", MODULES, code]).stdout)

    assert "uno" in loaded
    found = [
        name for name in loaded if any(name == it or name.startswith(f"{it}.") for it in elsewhere)
    ]
    assert found == []
