"""Notifications of a LAN that is lost and found, to receivers that run on hosts of cells."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
from lan_of_cell import LOST, lose_lan, regain_lan
from watching import (
    await_true,
    holds,
    note,
    pause,
)

from uno.lab import deploy
from uno.lab.agents import Agents

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]


@pytest.mark.feature("G50")
def test_people_are_notified_once_of_a_lan_that_is_lost_and_found_by_every_protocol(
    well: Agents, tmp_path: Path
) -> None:
    config, world = well.deployment.registry, well.deployment.world
    lan_c = well.cells["lan-c"]
    receiver, relay = well.cells["lan-a"].node, well.cells["relay"].node
    inbox, other = tmp_path / "inbox", tmp_path / "other"
    targets = (
        "http://127.0.0.1:8001/hook?secret=s3cret",
        "ntfy+http://127.0.0.1:8001/alerts?token=tk",
        "gotify+http://127.0.0.1:8001/gotify?token=app",
        "slack+http://127.0.0.1:8001/services/x",
        "matrix+http://127.0.0.1:8001/!room:example.org?token=m",
        "smtp://127.0.0.1:8002/?tls=off&from=uno@example.org&to=me@example.org",
    )
    servers = [
        node.start([sys.executable, RECEIVERS, str(path), "8001", "8002"])
        for node, path in ((receiver, inbox), (relay, other))
    ]
    try:
        words = [word for url in targets for word in ("--notify", url)]
        words += ["--notify-via", "lan-a", "--notify-via", "relay", "--notify-hold", "4"]
        words += ["--notify-heartbeat", "http://127.0.0.1:8001/beat"]
        config("config", "uvn", "-U", *words, "-y")
        well.sync("-t", "120")
        await_true(lambda: "/beat" in paths_of(inbox), "the heartbeat is fetched", within=90)
        tested = deploy.uno(receiver, "notify", "test", "-r", str(well.cells["lan-a"].root))
        assert tested.stdout.count("sent") == len(targets) + 1
        inbox.write_text("")

        # Whoever works on a cell mutes it.
        muting = ("-r", str(lan_c.root))
        deploy.uno(lan_c.node, "notify", "mute", "--for", "2h", *muting)
        lose_lan(lan_c)
        await_true(lambda: is_muted_without_its_lan(well), "lan-a has both", within=120)

        # Each half of a network that is split notifies of the other.
        for one in ("relay", "lan-b"):
            for peer in ("lan-a", "lan-c", "lan-d", "registry"):
                world.cut(one, peer)
        for path, lost in ((inbox, "relay"), (other, "lan-a")):
            named = f"{lost}: no contact"
            await_true(lambda it=path, of=named: notices(it, of), named, within=120)
        assert notices(inbox, LOST) == [], "what was wrong before, in the cell that is muted"
        world.restore_all()

        deploy.uno(lan_c.node, "notify", "unmute", *muting)
        await_true(lambda: len(notices(inbox, LOST)) == 6, "the loss is sent to all", within=120)
        assert {*notices(inbox, LOST)} == {"MAIL", *PATHS}
        regain_lan(lan_c)
        await_true(lambda: len(notices(inbox, LOST)) == 12, "its end is sent to all", within=120)
        assert "works again" in inbox.read_text().splitlines()[-1]
        assert holds(lambda: len(notices(inbox, LOST)) == 12, during=2), "nobody is notified twice"
        assert notices(other, LOST) == []
    finally:
        world.restore_all()
        for server in servers:
            server.stop()
        regain_lan(lan_c)
        config("config", "uvn", "-U", "--no-notify", "-y")
        well.sync("-t", "120")


@pytest.mark.feature("G50")
def test_nobody_is_notified_of_a_blip_once_of_many_and_a_dead_sender_fetches_no_heartbeat(
    well: Agents, tmp_path: Path
) -> None:
    config, names = well.deployment.registry, ("lan-a", "relay")
    inbox, other = tmp_path / "inbox", tmp_path / "other"
    servers = [
        well.cells[name].node.start([sys.executable, RECEIVERS, str(path), "8001", "8002"])
        for name, path in zip(names, (inbox, other), strict=True)
    ]
    try:
        words = ["--notify", "http://127.0.0.1:8001/hook", "--notify-hold", "20"]
        # Another than before, whose next time is five minutes later.
        words += ["--notify-heartbeat", "http://127.0.0.1:8001/beat/2"]
        words += [word for name in names for word in ("--notify-via", name)]
        config("config", "uvn", "-U", *words, "-y")
        well.sync("-t", "120")
        await_true(lambda: "/beat/2" in paths_of(inbox), "the heartbeat is fetched", within=90)

        blip(well)
        assert holds(lambda: notices(inbox) == [], during=6), "a blip is not sent"
        for _ in range(8):
            if notices(inbox):
                break
            blip(well)
        await_true(lambda: notices(inbox), "many are", within=10)
        assert "comes and goes" in inbox.read_text()
        blip(well)
        assert holds(lambda: len(notices(inbox)) == 1, during=6), "many are sent once"
        # What has flapped is steady after 15 times this.
        config("config", "uvn", "-U", "--notify-hold", "1", "-y")
        well.sync("-t", "120")
        await_true(lambda: len(notices(inbox)) > 1, "its end is sent", within=60)
        assert "works again" in inbox.read_text().splitlines()[-1]
        assert len(notices(inbox, LOST)) == 2

        assert paths_of(other) == []
        well.cells["lan-a"].kill()
        inbox.write_text("")
        try:
            # Its network goes on: that its agent is dead shows by hellos, which are seldom.
            await_true(lambda: "/beat/2" in paths_of(other), "the next one fetches it", within=150)
            assert paths_of(inbox) == []
        finally:
            well.start([well.cells["lan-a"]])
    finally:
        for server in servers:
            server.stop()
        regain_lan(well.cells["lan-c"])
        config("config", "uvn", "-U", "--no-notify", "-y")
        well.sync("-t", "120")


def blip(well: Agents) -> None:
    """Have lan-c lose its LAN, as lan-a sees it, and have it back before anybody is notified."""
    began = time.monotonic()
    lose_lan(well.cells["lan-c"])
    await_true(lambda: lans_lost(well) == [LOST], "lan-a has that it is lost", within=30)
    # A sender observes every 5 s.
    pause(6)
    regain_lan(well.cells["lan-c"])
    await_true(lambda: lans_lost(well) == [], "lan-a has that it is back", within=30)
    note(f"a blip of {time.monotonic() - began:.1f} s")
    pause(6)


def is_muted_without_its_lan(well: Agents) -> bool:
    """Whether lan-a has received that lan-c is muted and has lost its LAN."""
    views = {cell.name: cell for cell in well.cells["lan-a"].view().cells}
    return views["lan-c"].muted_for > 0 and lans_lost(well) == [LOST]


def lans_lost(well: Agents) -> list[str]:
    """The LANs of lan-c that are missing, as lan-a has it."""
    views = {cell.name: cell for cell in well.cells["lan-a"].view().cells}
    state = views["lan-c"].status
    return [str(lan.network) for lan in state.lans if lan.interface is None] if state else []


RECEIVERS = str(Path(__file__).parents[1] / "receivers.py")

MATRIX = "matrix"

PATHS = {"/hook", "/", "/gotify/message", "/services/x", MATRIX}


def notices(inbox: Path, about: str = "") -> list[str]:
    """The paths, or the method of mails, of what was received with a text, without heartbeats."""
    return [each for each in paths_of(inbox, about) if not each.startswith("/beat")]


def paths_of(inbox: Path, about: str = "") -> list[str]:
    lines = inbox.read_text().splitlines() if inbox.exists() else []
    found = [json.loads(line) for line in lines if about in line]
    matrix = "/_matrix/client/v3/rooms/"
    return [
        "MAIL" if it[0] == "MAIL" else MATRIX if it[1].startswith(matrix) else it[1] for it in found
    ]
