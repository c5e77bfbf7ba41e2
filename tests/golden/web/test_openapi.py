"""The description of the page's API, whole: paths and keys are only added.

`UPDATE_GOLDEN=1` writes the file anew; the difference is to be reviewed like code.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from uno.web import openapi

FILE = Path(__file__).with_name("openapi.json")


@pytest.mark.feature("F106")
def test_the_description_is_the_one_that_was_published() -> None:
    found = json.dumps(openapi.document(), indent=1, sort_keys=True) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        FILE.write_text(found)

    assert found == FILE.read_text(), "review the difference, then: UPDATE_GOLDEN=1"


def test_every_reference_is_of_a_schema_that_is_there() -> None:
    document = openapi.document()
    text = json.dumps(document)
    named = {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}

    assert named <= document["components"]["schemas"].keys()
    ids = [about["operationId"] for it in document["paths"].values() for about in it.values()]
    assert len(ids) == len(set(ids))
