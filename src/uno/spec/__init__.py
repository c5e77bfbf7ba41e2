"""Text to model: reads a UVN's definition from YAML or JSON, and writes it.

`load` goes the whole way and is what commands call; `parse` stops at what was written; `to_yaml`
goes back; `json_schema` is for editors. Nothing here reads a file, and nothing is ever raised
because of a text but `diagnostics.Rejected`.
"""

from __future__ import annotations

from uno.spec.document import Document, arguments, parse, problems
from uno.spec.export import to_yaml
from uno.spec.loading import load
from uno.spec.schema import json_schema
from uno.spec.values import Spec

__all__ = ["Document", "Spec", "arguments", "json_schema", "load", "parse", "problems", "to_yaml"]
