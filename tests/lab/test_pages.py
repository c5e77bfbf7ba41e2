"""The pages of cells and of the registry, in browsers and other readers across a network."""

from __future__ import annotations

import json
import re
import shutil
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from lan_of_cell import LANS
from pages import (
    cells_on_map,
    chromium_on,
    chromiums,
    listened_on,
    logged_in,
    page_addresses,
    pages_read,
    shown_at,
    time_of_day,
)
from playwright.sync_api import Browser
from playwright.sync_api import Error as PlaywrightError
from watching import (
    await_true,
    host_addresses,
    node_addresses,
    note,
    power_cut,
)

from uno import program, web
from uno.lab import deploy
from uno.lab.agents import Agents
from uno.lab.deploy import in_parallel
from uno.lab.node import Node, Program, as_on_a_stock_host
from uno.lab.particle_peer import connected, tunnels
from uno.lab.world import World
from uno.lab.world_layout import PUBLIC6, Role
from uno.model.net import address

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]


@pytest.fixture
def authority(well: Agents, tmp_path: Path) -> Path:
    """The certificate that readers of the pages trust."""
    path = tmp_path / "root.pem"
    path.write_text(well.deployment.registry("show", "ca").stdout)
    return path


@pytest.mark.feature("F106")
@pytest.mark.feature("F107")
def test_the_page_of_every_cell_is_read_from_everywhere_in_the_uvn_and_from_nowhere_else(
    well: Agents, authority: Path
) -> None:
    deployment, world = well.deployment, well.deployment.world
    pages = page_addresses(well)
    everywhere = sorted({each for found in pages.values() for each in found})

    def read(node: Node) -> dict[str, str]:
        return pages_read(node, authority, everywhere)

    found = dict(in_parallel(read, [*world.having(Role.HOST), *deployment.cells]))
    guest = world.nodes["john"]
    with connected(guest, tunnels(deployment.particle_package(guest))["lan-a"]):
        found[guest.name] = read(guest)

    wrong = {
        (reader, address): line
        for reader, lines in found.items()
        for address, line in lines.items()
        if line.lower() != "<!doctype html>"
    }
    assert wrong == {}
    # The Internet has no route to a page: whoever is beside a cell may send there nevertheless.
    asked = []
    for cell in public_cells(well):
        with led_to(cell, world) as addresses:
            assert {*pages[cell.name], *map(str, node_addresses(cell))} < set(addresses)
            for version in (4, 6):
                chosen = [each for each in addresses if address(each).version == version]
                before = strangers(cell)
                refused = pages_read(world.internet, authority, chosen, timeout=2)
                assert not [each for each in refused.values() if "html" in each.lower()], refused
                # A router is in front of others; nothing but its own firewall is in front of it.
                assert cell.name != "relay" or strangers(cell) > before, refused
                asked.append(len(refused))
    note(f"refused from outside at {sum(asked[::2])} IPv4 and {sum(asked[1::2])} IPv6 addresses")


def public_cells(well: Agents) -> list[Node]:
    """The cells that have a public address."""
    return [agent.node for agent in well.cells.values() if agent.node.station.public]


@contextmanager
def led_to(cell: Node, world: World) -> Iterator[list[str]]:
    """Have the Internet send to every address of a cell; yield these, its public ones first.

    The others are those of its LANs, tunnels and itself. The Internet has an IPv6 address of its
    own meanwhile, which the cell can answer.
    """
    internet, stations = world.internet, [node.station for node in world.nodes.values()]
    (front,) = [it for it in stations if cell.station.public in it.addresses]
    public = {each.version: str(each) for each in front.addresses[-2:]}
    (way,) = json.loads(internet.run(["ip", "-j", "route", "get", public[4]]).stdout)
    inner = [each for each in host_addresses(cell) if str(each) not in public.values()]
    with ExitStack() as led:
        internet.run(["ip", "address", "add", STRANGER6, "dev", "lo"])
        led.callback(internet.run, ["ip", "address", "del", STRANGER6, "dev", "lo"])
        for each in inner:
            words = (str(each), "via", public[each.version], "dev", way["dev"], "onlink")
            internet.run(["ip", "route", "add", *words])
            led.callback(internet.run, ["ip", "route", "del", str(each)])
        yield [*public.values(), *map(str, inner)]


STRANGER6 = f"{PUBLIC6[-2]}/128"


@pytest.mark.feature("F106")
@pytest.mark.feature("F107")
def test_a_browser_in_every_place_of_the_uvn_logs_in_and_sees_it_and_one_outside_does_not(
    well: Agents, authority: Path, tmp_path: Path
) -> None:
    deployment, world = well.deployment, well.deployment.world
    pages = page_addresses(well)
    # Each reads the page of another cell than its own. All hosts of a LAN have the same way there.
    order = sorted(pages)
    others = {name: pages[order[order.index(name) - 1]][0] for name in order}
    hosts = {str(host.station.cell): host for host in world.having(Role.HOST)}
    assert {*hosts, "relay"} == pages.keys()
    guest = world.nodes["john"]
    seen = {}
    with chromiums(tmp_path, root=authority) as chromium:
        for name, node in {**hosts, "relay": world.nodes["relay"]}.items():
            with chromium(node) as browser:
                seen[node.name] = cells_on_map(logged_in(browser, others[name], **JOHN))
        tunnel = tunnels(deployment.particle_package(guest))["lan-a"]
        with connected(guest, tunnel), chromium(guest) as browser:
            seen[guest.name] = cells_on_map(logged_in(browser, pages["lan-d"][0], **JOHN))
        with chromium(world.internet) as browser:
            refused = []
            for cell in public_cells(well):
                served = sorted(listened_on(cell, version=4))
                # Each takes seconds. Nothing but its own firewall is in front of this one.
                served += sorted(listened_on(cell, version=6)) if cell.name == "relay" else []
                with led_to(cell, world) as (public, *_):
                    refused += [why_not(browser, each) for each in (public, *served)]
    note(f"shown in {len(seen)} places, refused at {len(refused)} addresses: {set(refused)}")
    assert {name: cells for name, cells in seen.items() if cells != order} == {}
    assert all(refused)


# A user of the example, who owns its UVN.
JOHN = {"email": "john@example.org", "password": "change-me-john"}


def why_not(browser: Browser, address: str) -> str:
    """Why a browser does not get a page; empty if it does."""
    page = browser.new_page()
    try:
        host = f"[{address}]" if ":" in address else address
        page.goto(f"https://{host}/", timeout=1500)
    except PlaywrightError as error:
        return error.message.partition("\n")[0].partition(" at ")[0]
    finally:
        page.close()
    return ""


@pytest.mark.feature("F106")
@pytest.mark.feature("G43")
def test_the_page_at_the_registry_shows_every_cell_with_its_agent_and_what_is_left_without(
    well: Agents, authority: Path
) -> None:
    registry, root = well.registry, str(well.deployment.registry_root)
    log = registry.node.directory / "web.log"
    argv = program.argv("web", "-r", root, "--port", "50443")
    beside = registry.node.start(as_on_a_stock_host(argv), log=log)
    try:
        await_true(lambda: printed_address(log), "it prints an address", within=60)
        with reading(registry.node, printed_address(log)) as asked:
            await_true(lambda: is_well(asked()), "every cell is there and well", within=90)
            assert {cell["name"] for cell in asked()["cells"]} == well.cells.keys()
            assert registry.stop() == 0
            await_true(
                lambda: [it["kind"] for it in asked()["alerts"]] == ["registry-lost"],
                "the agent is missed, and nothing else",
                within=30,
            )
            assert {cell["health"] for cell in asked()["cells"]} == {"silent"}
        beside.stop()
        # At a private address it has the UVN's certificate.
        registry.node.run(["ip", "address", "add", f"{PRIVATE}/32", "dev", "lo"])
        beside = registry.node.start(as_on_a_stock_host([*argv, "--address", PRIVATE]), log=log)
        await_true(lambda: PRIVATE in printed_address(log), "it prints an address", within=60)
        assert printed_address(log).startswith(f"https://{PRIVATE}:50443/login?ticket=")
        with reading(registry.node, printed_address(log), root=authority) as asked:
            assert {cell["name"] for cell in asked()["cells"]} == well.cells.keys()
    finally:
        beside.stop()
        registry.start("--web")
        well.start([registry])

    # The agent, which has given up all rights that it does not need, serves it as well.
    address = deploy.uno(registry.node, "web", "login", "-r", root).stdout.strip()
    with reading(registry.node, address) as asked:
        await_true(lambda: is_well(asked()), "the agent's own page shows them too", within=90)


PRIVATE = "192.168.250.1"


def printed_address(log: Path) -> str:
    """The address that a page was opened with last, empty before it is printed."""
    text = log.read_text() if log.exists() else ""
    return next((line for line in text.splitlines()[::-1] if line.startswith("http")), "")


def is_well(summary: dict[str, Any]) -> bool:
    """Whether all cells are in contact and run what they should, and all LANs are reached."""
    cells = {cell["health"] for cell in summary["cells"]}
    return cells == {"ok"} and {lan["health"] for lan in summary["lans"]} == {"reached"}


@contextmanager
def reading(
    node: Node, address: str, *, root: Path | None = None
) -> Iterator[Callable[[], dict[str, Any]]]:
    """Open a page with a ticket on its own host; yield what returns its summary.

    A page with TLS has a certificate of the authority in `root`.
    """
    jar = node.directory / "cookies.txt"
    words = (sys.executable, "-I", PLAIN_READER, str(jar), str(root or ""))
    node.run([*words, address])
    summary = f"{address.partition('/login')[0]}/api/v1/summary"
    try:
        yield lambda: json.loads(node.run([*words, summary]).stdout)
    finally:
        jar.unlink()


PLAIN_READER = str(Path(__file__).with_name("plain_page_reader.py"))


def strangers(cell: Node) -> int:
    """The packets for the page that a cell's firewall has dropped."""
    listed = json.loads(cell.run(["nft", "-j", "list", "chain", "inet", "uno", "web"]).stdout)
    rules = [each["rule"]["expr"] for each in listed["nftables"] if "rule" in each]
    (dropped,) = [rule for rule in rules if {"drop": None} in rule]
    return sum(each["counter"]["packets"] for each in dropped if "counter" in each)


@pytest.mark.alone
@pytest.mark.feature("F116")
@pytest.mark.feature("G43")
def test_a_cut_link_and_a_dead_cell_are_on_an_open_page_at_once(
    well: Agents, authority: Path, tmp_path: Path
) -> None:
    world, lan_c = well.deployment.world, well.cells["lan-c"]
    red, mended = [], []
    with chromium_on(world.nodes["lan-a-host1"], tmp_path, root=authority) as browser:
        page = logged_in(browser, page_addresses(well)["lan-a"][0], **JOHN)
        page.locator(".map .node.t-ok").nth(len(well.cells) - 1).wait_for()

        for peer in ("lan-b", "lan-c", "relay"):
            link = f".map .edge[aria-label^='Link lan-a – {peer}: ']"
            began = time_of_day(page)
            world.cut("lan-a", peer)
            red.append(shown_at(page, f"{link}.t-bad") - began)
            began = time_of_day(page)
            world.restore("lan-a", peer)
            mended.append(shown_at(page, f"{link}:not(.t-bad)") - began)
        began = time_of_day(page)
        lan_c.kill()
        power_cut(lan_c.node)
        dead = shown_at(page, ".map .node.t-bad[aria-label^='lan-c: no contact']") - began
        try:
            causes = page.locator("main h1").inner_text()
        finally:
            well.start([lan_c])

    note(f"links red after {rounded(red)} s, no longer after {rounded(mended)} s")
    note(f"a dead cell is shown after {dead:.2f} s: {causes}")
    assert causes.startswith("lan-c: no contact")
    assert statistics.median(red) < 1.5
    assert statistics.median(mended) < 1.5
    assert dead < 5


def rounded(seconds: list[float]) -> str:
    return ", ".join(f"{each:.2f}" for each in sorted(seconds))


@pytest.mark.feature("G44")
@pytest.mark.skipif(not shutil.which("prometheus"), reason="Prometheus is not installed")
def test_prometheus_scrapes_every_cell_and_alerts_of_a_link_that_is_cut(
    well: Agents, authority: Path, tmp_path: Path
) -> None:
    world, host = well.deployment.world, well.deployment.world.nodes["lan-b-host1"]
    cut = 'ALERTS{alertname="UnoLinkDown",alertstate="firing",cell="lan-a",peer="lan-c"}'
    scraper = start_prometheus(well, host, tmp_path, authority)
    try:
        await_true(lambda: len(queried(host, "up == 1")) == len(LANS), "all are up", within=60)
        for series in ("uno_cell_up", "uno_link_up", "uno_link_receive_bytes_total"):
            found = {each["cell"] for each in queried(host, series)}
            assert (series, found) == (series, set(LANS))
        assert queried(host, cut) == []

        world.cut("lan-a", "lan-c")
        after = await_true(lambda: queried(host, cut), "the alert fires", within=60)
        world.restore("lan-a", "lan-c")
        await_true(lambda: not queried(host, cut), "it ends", within=60)
    finally:
        scraper.stop()
        world.restore_all()
    note(f"an alert fired {after:.1f} s after a link was cut")


def start_prometheus(well: Agents, host: Node, folder: Path, authority: Path) -> Program:
    """Start Prometheus on a host: it scrapes each cell with its token, and has uno's alerts."""
    rules = RULES.read_text()
    assert "for: 2m" in rules
    # What minutes do is a test of the rules alone (tests/unit/web/test_metrics.py).
    (folder / "rules.yml").write_text(re.sub(r"for: \d+[mhd]", "for: 1s", rules))
    jobs = [
        {
            "job_name": name,
            "scheme": "https",
            "tls_config": {"ca_file": str(authority)},
            "authorization": {"credentials": metrics_token(well, name)},
            "static_configs": [{"targets": addresses}],
        }
        for name, addresses in page_addresses(well).items()
    ]
    settings = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    config = {"global": settings, "rule_files": ["rules.yml"], "scrape_configs": jobs}
    # JSON is YAML.
    (folder / "prometheus.yml").write_text(json.dumps(config))
    options = (
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address={PROMETHEUS}",
    )
    return host.start(["prometheus", *options], log=folder / "prometheus.log")


def metrics_token(well: Agents, cell: str) -> str:
    return well.deployment.registry("show", "cell", cell, "--metrics-token").stdout.strip()


def queried(host: Node, query: str) -> list[dict[str, str]]:
    """The labels of what Prometheus answers; nothing while it does not serve."""
    words = ("promtool", "query", "instant", "-o", "json", f"http://{PROMETHEUS}", query)
    done = host.run(words, check=False)
    return [each["metric"] for each in json.loads(done.stdout)] if done.status == 0 else []


PROMETHEUS = "127.0.0.1:9090"

RULES = Path(web.__file__).parent / "monitoring" / "uno.rules.yml"
