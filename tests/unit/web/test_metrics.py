"""Metrics as Prometheus reads them, the alert rules and the dashboard that come with them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from pictures import (
    corp,
    healthy_pictures,
    link_down,
    phone_at,
    picture_of,
    silent,
    with_cell,
    with_status,
)
from uno.host.command import run
from uno.web import metrics
from uno.web.picture import Picture

ROME, OSLO = 2, 3
HERE = Path(__file__).parent
MONITORING = Path(metrics.__file__).parent / "monitoring"
RULES, DASHBOARD = MONITORING / "uno.rules.yml", MONITORING / "uno-dashboard.json"
RULE_TESTS = sorted(HERE.glob("*.rules.test.yml"))

# Of Debian's package prometheus.
needs_promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="there is no promtool")

SAMPLE = re.compile(r"([a-z_]+)\{((?:[a-z_]+=\"(?:[^\"\\]|\\.)*\",?)*)\} (\S+)")
NAME = re.compile(r"\buno_[a-z_]+")


def samples(text: bytes) -> dict[str, dict[str, float]]:
    """Return the value of each sample by its name, and the text of its labels."""
    found: dict[str, dict[str, float]] = {}
    for line in text.decode().splitlines():
        if not line.startswith("#"):
            match = SAMPLE.fullmatch(line)
            assert match is not None, line
            name, labels, value = match.groups()
            assert labels not in found.setdefault(name, {}), f"twice: {line}"
            found[name][labels] = float(value)
    return found


def full() -> Picture:
    """Return a picture of a cell that has a sample of every metric."""
    picture = phone_at(picture_of(corp(), viewer=ROME), ROME)
    return with_status(picture, ROME, dropped={"input": 7})


@settings(max_examples=20)
@given(picture=healthy_pictures(max_cells=5))
def test_every_sample_is_well_formed_and_there_once(picture: Picture) -> None:
    found = samples(metrics.render(picture))

    assert found["uno_cell_up"].keys() == {
        f'uvn="net",cell="{cell.name}"' for cell in picture.view.cells
    }
    assert sum(found["uno_cell_up"].values()) == len(picture.cells)


def test_a_cell_exports_itself_with_paths_or_all_without() -> None:
    own, all_of_them = (samples(metrics.render(full(), whole=it)) for it in (False, True))

    assert own["uno_cell_up"] == {'uvn="corp",cell="rome"': 1}
    assert own["uno_path_rtt_seconds"]['uvn="corp",cell="rome",to="paris"'] == 0.02
    assert len(all_of_them["uno_cell_up"]) == 4
    assert "uno_path_up" not in all_of_them
    assert own.keys() == {metric.name for metric in metrics.METRICS}, "each metric has a sample"


def test_what_is_not_known_has_no_sample_and_what_is_down_is_zero() -> None:
    picture = link_down(silent(full(), OSLO), 1, ROME)
    picture = with_status(picture, ROME, uptime=None)

    found = samples(metrics.render(picture, whole=True))

    link = 'uvn="corp",cell="rome",interface="uwg-b0",peer="paris"'
    assert found["uno_link_up"][link] == 0
    assert found["uno_link_bgp_state"][link] == 3, "Active"
    assert link not in found["uno_link_rtt_seconds"]
    assert 'uvn="corp",cell="rome"' not in found["uno_cell_agent_uptime_seconds"]
    assert found["uno_cell_up"]['uvn="corp",cell="oslo"'] == 0
    assert not any('cell="oslo"' in labels for labels in found["uno_link_up"])


def test_text_of_other_machines_ends_no_label() -> None:
    picture = with_cell(full(), ROME, name='ro"me\\\n} 1')

    found = samples(metrics.render(picture))

    assert r'uvn="corp",cell="ro\"me\\\n} 1"' in found["uno_cell_up"]


@needs_promtool
def test_promtool_finds_nothing_wrong_with_the_metrics() -> None:
    for whole in (False, True):
        text = metrics.render(full(), whole=whole).decode()

        done = run(["promtool", "check", "metrics"], stdin=text, check=False)

        assert (done.status, done.stdout, done.stderr) == (0, "", "")


@needs_promtool
def test_promtool_finds_nothing_wrong_with_the_rules() -> None:
    done = run(["promtool", "check", "rules", str(RULES)], check=False)

    assert done.status == 0, done.stdout + done.stderr


@pytest.mark.feature("G44")
@needs_promtool
@pytest.mark.parametrize("path", RULE_TESTS, ids=lambda path: path.name)
def test_each_alert_fires_and_is_quiet_when_it_should(path: Path, tmp_path: Path) -> None:
    shutil.copy(RULES, tmp_path)
    shutil.copy(path, tmp_path)

    done = run(["promtool", "test", "rules", str(tmp_path / path.name)], check=False)

    assert done.status == 0, done.stdout + done.stderr


def test_each_alert_has_a_rule_test_that_has_it_fire_and_one_that_does_not() -> None:
    alerts = re.findall(r"- alert: (\w+)", RULES.read_text())
    tested = "".join(path.read_text() for path in RULE_TESTS)

    assert len(set(alerts)) == len(alerts)
    for alert in alerts:
        parts = re.findall(rf"alertname: {alert}\n +exp_alerts:(.*)", tested)
        assert {"", " []"} <= set(parts), alert


def test_every_rule_names_metrics_that_exist() -> None:
    known = {metric.name for metric in metrics.METRICS}
    expressions = re.findall(r"expr: (.*)", RULES.read_text())

    assert {name for text in expressions for name in NAME.findall(text)} <= known


def queries() -> list[str]:
    dashboard: Any = json.loads(DASHBOARD.read_text())
    panels = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    variables = [
        it["query"]["query"] for it in dashboard["templating"]["list"] if it["type"] == "query"
    ]
    notes = [it["expr"] for it in dashboard["annotations"]["list"]]
    return [*panels, *variables, *notes]


@pytest.mark.feature("G44")
def test_every_query_of_the_dashboard_names_metrics_that_exist() -> None:
    known = {metric.name for metric in metrics.METRICS}

    named = {name for text in queries() for name in NAME.findall(text)}

    assert named <= known
    assert len(named) > 10


def test_the_panels_of_the_dashboard_have_numbers_of_their_own_and_do_not_overlap() -> None:
    panels: Any = json.loads(DASHBOARD.read_text())["panels"]
    places = [
        (x, y)
        for at in (panel["gridPos"] for panel in panels)
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len(set(places)) == len(places)
    assert all(x < 24 for x, _ in places)


@pytest.mark.feature("G44")
@needs_promtool
def test_promtool_parses_every_query_of_the_dashboard(tmp_path: Path) -> None:
    values = {"$__rate_interval": "5m", "$uvn": ".*", "$cell": ".*"}
    rules = tmp_path / "queries.yml"
    lines = ["groups:", "- name: queries", "  rules:"]
    plain = [query for query in queries() if not query.startswith("label_values(")]
    for number, query in enumerate(plain):
        text = query
        for name, value in values.items():
            text = text.replace(name, value)
        lines += [f"  - record: query{number}", f"    expr: {json.dumps(text)}"]
    rules.write_text("\n".join(lines) + "\n")

    done = run(["promtool", "check", "rules", str(rules)], check=False)

    assert done.status == 0, done.stdout + done.stderr
