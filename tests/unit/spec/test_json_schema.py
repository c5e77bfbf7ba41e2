from __future__ import annotations

import json
from typing import Any

import pytest

from uno.model.uvn import Cell, CellSettings, DeploymentSettings, Settings, VpnSettings
from uno.spec import json_schema

SCHEMA = json_schema()


def below(*keys: str) -> dict[str, Any]:
    found: dict[str, Any] = SCHEMA
    for key in keys:
        found = found["properties"][key]
        found = found.get("items", found)
    return found


@pytest.mark.feature("G46")
def test_the_schema_is_json() -> None:
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA


@pytest.mark.feature("G46")
@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        (("settings",), Settings),
        (("settings", "deployment"), DeploymentSettings),
        (("settings", "root_vpn"), VpnSettings),
        (("settings", "backbone_vpn"), VpnSettings),
        (("cells", "settings"), CellSettings),
    ],
)
def test_the_schema_has_every_key_of_the_model(keys: tuple[str, ...], kind: type[Settings]) -> None:
    assert set(below(*keys)["properties"]) == set(kind.__struct_fields__)


def test_ids_are_not_written_and_what_excludes_is_under_config() -> None:
    assert set(below("cells")["properties"]) - {"config"} == set(Cell.__struct_fields__) - {
        *("id", "excluded")
    }
    assert set(below("cells", "config")["properties"]) == {"excluded"}


def test_unknown_keys_are_refused_and_null_is_taken() -> None:
    assert below("cells")["additionalProperties"] is False
    assert below("cells")["required"] == ["name"]
    assert below("settings", "dds_domain") == {
        "type": ["integer", "null"],
        "minimum": 0,
        "maximum": 232,
    }
    assert None in below("settings", "deployment", "strategy")["enum"]
