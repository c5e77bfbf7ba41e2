"""The registry's side of the root VPN without its agent: this script configures and removes it.

    root_side.py up DIRECTORY [CELL-ID THAT IS NO PEER]...
    root_side.py down DIRECTORY

Prints the actions, one per line.
"""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

from msgspec.structs import replace

from uno.controller.root_vpn import desired
from uno.host.linux import LinuxHost
from uno.lab.node import Node
from uno.ports.host import Desired
from uno.reconcile.apply import apply, describe
from uno.reconcile.host_diff import reconcile
from uno.registry.publish.keygen import text
from uno.registry.store.generation_store import Store


def raise_root(node: Node, root: Path, *, without: int | None = None) -> list[str]:
    """Configure the root VPN of the registry in `root`; return the actions."""
    return _on(node, "up", str(root), *([str(without)] if without else []))


def drop_root(node: Node, root: Path) -> list[str]:
    """Remove the root VPN of the registry in `root` from its host; return the actions."""
    return _on(node, "down", str(root))


def _on(node: Node, *arguments: str) -> list[str]:
    return node.run([sys.executable, __file__, *arguments], timeout=120).stdout.splitlines()


def _main(verb: str, root: str, *without: str) -> None:
    with closing(Store(Path(root) / "registry.db")) as store:
        plan = store.head().plan
        secrets = {each.id: text(each.private) for each in store.secrets().values()}
    cells = tuple(cell for cell in plan.cells if str(cell.member.id) not in without)
    wanted = desired(replace(plan, cells=cells), secrets) if verb == "up" else Desired()
    host = LinuxHost(plan.identity, 0)
    observed = host.observe(())
    actions = reconcile(desired=wanted, observed=observed)
    apply(host, actions, observed=observed)
    if verb == "down":
        host.remove_state()
    sys.stdout.writelines(f"{describe(each)}\n" for each in actions)


if __name__ == "__main__":
    _main(*sys.argv[1:])
