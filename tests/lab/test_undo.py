"""A generation that cuts a cell off is undone by that cell, and then by all."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from obstacles import replaced
from watching import await_true, note, unreached

from uno.lab.agents import Agents, is_settled
from uno.model.messages import CONFIRM_TIMEOUT, Phase
from uno.model.status import UvnView

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

# lan-d is behind NAT and has one link, to lan-a.
CUT_OFF, UPLINK = "lan-d", "lan-a"
# Seconds until all cells have received the undo, and run the old generation.
AFTERWARDS = 30.0


@pytest.fixture
def well(living: Agents) -> Iterator[Agents]:
    """All agents at rest; after the test what was defined before it is so again."""
    living.await_settled()
    number = living.registry.view().generation
    yield living
    cell = living.cells[CUT_OFF].node
    cell.run(["nft", "delete", "table", "inet", "site"], check=False)
    living.deployment.registry("rollback", str(number), "-y")
    # A key that was planted is not in the history: it is drawn anew.
    living.deployment.registry("rekey", "backbone", f"{UPLINK}:{CUT_OFF}", "-y")
    assert living.sync("-t", "120").status == 0
    living.await_settled()


def wrong_address(agents: Agents) -> None:
    """Give the uplink an unused address and another port, so that no handshake works."""
    agents.deployment.registry(
        *("config", "cell", UPLINK, "-U", "-a", "203.0.113.200", "--backbone-vpn-port", "40000"),
        "-y",
    )


def wrong_rule(agents: Agents) -> None:
    """The site's own firewall does not know the uplink's new ports."""
    agents.cells[CUT_OFF].node.run(["nft", "-f", "-"], stdin=SITE_RULES)
    agents.deployment.registry("config", "cell", UPLINK, "-U", "--backbone-vpn-port", "63650", "-y")


SITE_RULES = """
table inet site {
  chain out { type filter hook output priority 0; udp dport 63650-63700 drop; }
  chain in { type filter hook input priority 0; udp sport 63650-63700 drop; }
}
"""


def wrong_key(agents: Agents) -> None:
    """The uplink is given a private key that is not the one of its public key."""
    cells = [agents.cells[name].cell for name in (UPLINK, CUT_OFF)]
    link = "-".join(map(str, sorted(cells)))
    registry = agents.deployment.registry
    registry("rekey", "backbone", f"{UPLINK}:{CUT_OFF}", "-y")
    file = agents.deployment.registry_root / "registry.db"
    with closing(sqlite3.connect(file)) as db, db:
        changed = db.execute(
            "UPDATE secrets SET private = randomblob(32) WHERE id = ?1 AND epoch ="
            " (SELECT max(epoch) FROM secrets WHERE id = ?1)",
            (f"link/{link}/{cells[0]}",),
        )
        assert changed.rowcount == 1
    # The package is made anew, with the key as it is in the file.
    registry("config", "cell", UPLINK, "-U", "--location", "elsewhere", "-y")


@pytest.mark.feature("G05")
@pytest.mark.parametrize("harm", [wrong_address, wrong_rule, wrong_key], ids=lambda f: f.__name__)
def test_a_generation_that_cuts_a_cell_off_is_reverted_by_it_and_then_by_all(
    well: Agents, harm: Callable[[Agents], None]
) -> None:
    running = runs(well.registry.view())
    harm(well)

    release_in_vain(well)

    reason = assert_reverted(well, running)
    assert "forwarding" not in reason


# A site's own rules, which something there loads after each change of a tunnel.
HOOK = """\
"$real" "$@" || exit
case "$1" in set | setconf | syncconf | addconf) exec nft '
  table inet site {
    chain through { type filter hook forward priority 0; iifname "lan0" drop; oifname "lan0" drop; }
  }' ;;
esac
"""


@pytest.mark.alone
@pytest.mark.feature("G05")
@pytest.mark.feature("G52")
def test_a_generation_under_which_a_cell_no_longer_forwards_is_reverted_for_that_reason(
    well: Agents,
) -> None:
    """BGP, BFD and the registry are reached all the time: the proof of forwarding alone fails."""
    # What was not proved before a change cannot be lost by it.
    await_true(lambda: forwards(well), "the cell is proved to forward", within=90)
    running = runs(well.registry.view())
    cell = well.cells[CUT_OFF].node
    port = ("--backbone-vpn-port", "63660")
    well.deployment.registry("config", "cell", UPLINK, "-U", *port, "-y")

    with replaced(cell, "wg", HOOK):
        release_in_vain(well)
    cell.run(["nft", "delete", "table", "inet", "site"])

    reason = assert_reverted(well, running)
    assert "forwarding for 192.168.4.0/24" in reason


def release_in_vain(well: Agents) -> None:
    """Sync what a cell rolls back from."""
    began = time.monotonic()
    done = well.sync("-t", f"{CONFIRM_TIMEOUT + AFTERWARDS:.0f}", check=False)
    note(f"uno sync ended after {time.monotonic() - began:.1f} s")
    assert done.status == 2, done
    assert CUT_OFF in done.stdout + done.stderr


def assert_reverted(well: Agents, running: dict[str, int]) -> str:
    """Wait until all cells run what they ran before; return the reason."""
    well.await_views(lambda view: bool(is_settled(view)), within=AFTERWARDS)
    view = well.registry.view()
    note(view.reason)
    assert view.undone is not None
    assert view.undone > view.generation
    assert CUT_OFF in view.reason
    assert runs(view) == running
    reverted = {cell.name for cell in view.cells if cell.ack and cell.ack.phase is Phase.REVERTED}
    assert CUT_OFF in reverted
    assert unreached(well.deployment) == []
    return str(view.reason)


def forwards(well: Agents) -> bool:
    """Whether the cell that is cut off later has proved that it forwards for its LAN."""
    found = [each.status for each in well.registry.view().cells if each.name == CUT_OFF]
    return all(status and all(lan.forwards for lan in status.lans) for status in found)


def runs(view: UvnView) -> dict[str, int]:
    """The generation that each cell runs."""
    return {cell.name: cell.status.generation for cell in view.cells if cell.status}
