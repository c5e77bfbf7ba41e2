"""Text to model: reads a UVN's definition from YAML or JSON, and writes it.

Commands call `load`, which returns a new definition, or `merge`, which changes one. `parse` returns
the keys as written; `to_yaml` writes a definition; `json_schema` is for editors. No function reads
a file, and a text causes no exception but `diagnostics.Rejected`.
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
