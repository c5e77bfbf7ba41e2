"""Writes docs/reference/json.md, what commands print with --json, from the types of that.

python scripts/json_reference.py            writes it
python scripts/json_reference.py --check    exit status 1 if it is not current
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from uno.cli.output import json_documents

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reference" / "json.md"
HEAD = f"""# JSON

<!-- Written by scripts/json_reference.py from src/uno/cli/output/json_documents.py. -->

Version {json_documents.VERSION}. What commands print with `-J` or `--json`, on standard output;
messages go to standard error. A new key of an object keeps the version, so ignore keys that you do
not know; a key that goes, or means something else, raises it.

`uno schema COMMAND` prints the JSON Schema of one, such as `uno schema list cells`; `uno schema`
alone that of a definition. Addresses and networks are text in their usual form, times in ISO 8601
with a zone. All keys are always there, but for those marked *optional*.

A command that fails prints an [ErrorDocument](#errordocument), and exits with the `status` in it;
the exit statuses are those of [the commands](commands.md#exit-status). `uno config … -Q PATH`
prints the part that `PATH` names. `uno status --watch` prints one object a line.

## Commands

| command | prints |
|---|---|
"""


def main() -> int:
    """Write the page, or with `--check` compare it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    is_old = not PAGE.is_file() or PAGE.read_text() != page()
    if parser.parse_args().check:
        return int(is_old)
    if is_old:
        PAGE.write_text(page())
        print(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


def page() -> str:
    """Return what the page should hold."""
    documents = json_documents.DOCUMENTS
    kinds = (*documents.values(), json_documents.ErrorDocument)
    schemas, types = json_documents.components(kinds)
    rows = (
        f"| `uno {command}` | {_type(schema)} |\n"
        for command, schema in sorted(zip(documents, schemas, strict=False))
    )
    return "".join((HEAD, *rows, "\n## Types\n", *_sections(types)))


def _sections(types: dict[str, dict[str, Any]]) -> Iterator[str]:
    for name in sorted(types):
        schema = types[name]
        yield f"\n### {name}\n\n{_prose(schema.get('description', ''))}"
        if "enum" in schema:
            yield f"One of {', '.join(f'`{each}`' for each in schema['enum'])}.\n"
            continue
        yield "\n| key | type |\n|---|---|\n"
        required = schema.get("required", ())
        for key, kind in schema["properties"].items():
            optional = "" if key in required else ", *optional*"
            yield f"| `{key}` | {_type(kind)}{optional} |\n"


def _prose(text: str) -> str:
    """Return a docstring as paragraphs of a page, each on one line."""
    paragraphs = (" ".join(each.split()) for each in re.split(r"\n\s*\n", text.strip()))
    return "\n\n".join(filter(None, paragraphs)) + "\n"


def _type(schema: dict[str, Any]) -> str:
    """Return a schema as a phrase, with links to the types that it names."""
    match schema:
        case {"$ref": str(name)}:
            phrase = f"[{name}](#{name.lower()})"
        case {"anyOf": list(choices)}:
            phrase = " or ".join(map(_type, choices))
        case {"prefixItems": list(items)}:
            phrase = f"list of {' and '.join(map(_type, items))}"
        case {"type": "array", "items": items}:
            phrase = f"list of {_type(items)}"
        case {"type": "object", "additionalProperties": values}:
            phrase = f"object of {_type(values)}"
        case {"type": "string"}:
            phrase = "text"
        case {"type": kind}:
            phrase = str(kind)
        case _:
            phrase = "any value"
    return phrase


if __name__ == "__main__":
    sys.exit(main())
