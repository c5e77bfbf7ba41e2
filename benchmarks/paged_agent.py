"""An agent that `page_memory.py` measures: its modules, all statuses, and the process of its page.

It has no links and no bus. Run as `python -c 'import paged_agent; paged_agent.main(FOLDER)'`.
"""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address
from pathlib import Path

import cryptography

import uno.agent.daemon
import uno.cli.commands.run_agent
import uno.host.linux
from uno.cli.web_page import make_page
from uno.model import codec
from uno.model.network_directory import Directory
from uno.model.package import Package
from uno.model.status import UvnView

LOADED = (cryptography, uno.agent.daemon, uno.cli.commands.run_agent, uno.host.linux)
"""What an agent has loaded beside the page."""

VIEW, DIRECTORY, PACKAGE = "view.json", "directory.json", "package.json"
"""Files that it reads: the UVN as the cell has it, the registry's public facts, the package."""


def main(folder: str, address: str) -> None:
    """Serve the page of the package in `folder` at `address`, until it is ended."""
    # As the state database does, it keeps what cells have advertised beside what that means.
    kept = [(Path(folder) / name).read_bytes() for name in (VIEW, DIRECTORY)]
    view, directory = codec.decode(kept[0], UvnView), codec.decode(kept[1], Directory)
    package = codec.decode((Path(folder) / PACKAGE).read_bytes(), Package)
    process = make_page(Path(folder), environ={})
    process.configure(package, [IPv4Address(address)])
    asyncio.run(process.run(lambda: view, lambda: directory, lambda: None))
    assert len(kept) == 2
