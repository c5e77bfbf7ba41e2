"""Text to model: reads a UVN's definition from YAML or JSON, and writes it.

`load` goes the whole way, and `merge` does on top of a definition that there is: commands call
these. `parse` stops at what was written; `to_yaml` goes back; `json_schema` is for editors. Nothing
here reads a file, and nothing is ever raised because of a text but `diagnostics.Rejected`.
"""

from __future__ import annotations

from uno.spec.document import Document, arguments, parse, problems
from uno.spec.export import to_yaml
from uno.spec.json_schema import json_schema
from uno.spec.loading import load
from uno.spec.merging import merge
from uno.spec.written_values import Spec

__all__ = [
    "Document",
    "Spec",
    "arguments",
    "json_schema",
    "load",
    "merge",
    "parse",
    "problems",
    "to_yaml",
]
