"""How uno starts itself: from a Python environment, or from the folder that PyInstaller makes."""

from __future__ import annotations

import sys

SOCKET_FILTER_OPTION = "--no-socket-filter-then"
"""The first argument with which the executable of the folder is the helper of that name."""

BUS_OPTION = "--process-of-the-bus"
"""The first argument with which the executable of the folder is the process of an agent's bus."""

WEB_OPTION = "--process-of-the-web-page"
"""The first argument with which the executable of the folder is the process of an agent's page."""


COURIER_OPTION = "--process-of-notifications"
"""The first argument with which the executable of the folder sends notifications."""


def is_frozen() -> bool:
    """Whether this is the executable of a folder, which has no Python and no files of modules."""
    return bool(getattr(sys, "frozen", False))


def argv(*arguments: str) -> list[str]:
    """Return the words that run this very uno with `arguments`."""
    return [sys.executable, *(() if is_frozen() else ("-m", "uno")), *arguments]


def bus_process(*arguments: str) -> list[str]:
    """Return the words that run the process of a bus (`uno.bus.child`) with `arguments`."""
    own = [BUS_OPTION] if is_frozen() else ["-s", "-P", "-m", "uno.bus.child"]
    return [sys.executable, *own, *arguments]


def web_process(*arguments: str) -> list[str]:
    """Return the words that run the process of a page (`web.server.page_child`)."""
    own = [WEB_OPTION] if is_frozen() else ["-s", "-P", "-m", "uno.web.server.page_child"]
    return [sys.executable, *own, *arguments]


def courier_process() -> list[str]:
    """Return the words that run the process that sends notifications (`uno.notify.courier`)."""
    own = [COURIER_OPTION] if is_frozen() else ["-s", "-P", "-m", "uno.notify.courier"]
    return [sys.executable, *own]


def helper(script: str, option: str) -> list[str]:
    """Return the words that run a module of uno as a program, without the rest of uno.

    `script` is the module's file; in a folder `option` stands for it (`packaging/entry.py`).
    """
    return [sys.executable, option] if is_frozen() else [sys.executable, "-I", "-S", script]
