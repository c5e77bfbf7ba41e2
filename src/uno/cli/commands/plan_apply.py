"""Commands of definitions in files: `uno plan`, `uno apply`, `uno export`, `uno schema`."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that `uno -h` is quick

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from uno.cli.input import completion
from uno.cli.input.options import AskingChange, Common, JsonOption, takes_groups
from uno.diagnostics import InvalidInput
from uno.model.syntax import quoted, suggestion

# Beside 0, 1 and 2 of every command: the file and the registry differ.
DIFFERS = 3

Spec = Annotated[
    str, typer.Option("-s", "--spec", metavar="YAML", help="The definition: a file, YAML or JSON.")
]
Prune = Annotated[
    bool, typer.Option("--prune", help="Also remove or reset what the file does not mention.")
]


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    for command in (plan, apply, export, schema):
        app.command(command.__name__)(takes_groups(command))


def plan(spec: Spec, output: JsonOption, common: Common, *, prune: Prune = False) -> None:
    """Show what `uno apply` would change, and change nothing.

    Exits with 0 if nothing would change, and with 3 if something would.
    """
    from uno.cli.input import apply_file
    from uno.cli.input.registry_change import as_dry_run
    from uno.cli.output import plan_view

    common.start()
    wanted = apply_file.read(spec)
    made, merged = apply_file.apply(as_dry_run(common), wanted, prune=prune)
    plan_view.show_plan(common, output, made, notes=apply_file.notes(merged, is_pruned=prune))
    if made.is_made:
        raise typer.Exit(DIFFERS)


def apply(spec: Spec, common: AskingChange, *, prune: Prune = False) -> None:
    """Make the registry equal to a file, as one new generation.

    It makes none if nothing differs. Names identify objects: what keeps its name keeps
    its addresses and keys. What the file does not mention stays, unless --prune is given, which
    asks before it removes anything.
    """
    from uno.cli.input import apply_file
    from uno.cli.output import change_report

    common.start()
    wanted = apply_file.read(spec)
    if prune:
        apply_file.confirm_removal(common, wanted)
    made, merged = apply_file.apply(common, wanted, prune=prune)
    notes = apply_file.notes(merged, is_pruned=prune)
    change_report.print_change(common, f"Applied {wanted.file}.", made, notes=notes)


def export(
    common: Common,
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE", help="Output file; default: standard output. Or the word `cell`."
        ),
    ] = None,
    cell: Annotated[
        str | None,
        typer.Argument(metavar="CELL", help="The cell to export.", autocompletion=completion.names),
    ] = None,
    *,
    secrets: Annotated[
        bool,
        typer.Option(
            "--secrets",
            help="Include password hashes and notification targets; keys are never included.",
        ),
    ] = False,
    directory: Annotated[
        Path | None,
        typer.Option(
            "--files", metavar="DIR", help="With `cell CELL`: write it as plain files to DIR."
        ),
    ] = None,
    lan_interface: Annotated[
        list[str] | None,
        typer.Option(
            "-i",
            "--lan-interface",
            metavar="[LAN=]NAME",
            help="With `cell CELL`: the host's interface to its LANs, or to one.",
        ),
    ] = None,
) -> None:
    """Write the definition as YAML, or a cell as plain files.

    `uno apply` and `uno define uvn -s` read the YAML. `uno export cell CELL --files DIR` writes
    what runs a cell on a host without uno: configurations of wg, nft and FRR, and the scripts
    `start` and `stop`. They hold the cell's keys.
    """
    from uno import files, spec
    from uno.cli.output import definition_view, printing
    from uno.registry.changes import operations

    common.start()
    if directory is not None or cell is not None or lan_interface:
        _export_cell(common, (file, cell), directory, lan_interface or [])
        return
    with operations.opened(common.root) as registry:
        head = registry.store.head()
    uvn = head.uvn if secrets else definition_view.exported_without_secrets(head.uvn)
    text = spec.to_yaml(uvn)
    if file is None:
        printing.result(text)
        return
    files.write_atomic(Path(file), text.encode())
    printing.message(common, f"wrote generation {head.number} of {uvn.name} to {file}")


def _export_cell(
    common: Common,
    named: tuple[str | None, str | None],
    directory: Path | None,
    lan_interfaces: list[str],
) -> None:
    from uno.cli.output import cell_files, printing
    from uno.diagnostics import Problem, Rejected
    from uno.registry.changes import operations

    word, cell = named
    if word != "cell" or cell is None or directory is None:
        usage = "uno export cell CELL --files DIR -i INTERFACE"
        raise Rejected(Problem(what="this exports no cell", hint=usage))
    with operations.opened(common.root) as registry:
        written = cell_files.write(registry, cell, directory, lan_interfaces=lan_interfaces)
    count = printing.count(len(written), "file")
    printing.message(common, f"wrote {count} of cell {cell} to {directory}; they hold its keys")


def schema(
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="[COMMAND]", help="A command that has --json: list cells"),
    ] = None,
) -> None:
    """Print the JSON Schema of a definition, or of JSON output.

    Editors check a definition with it. With COMMAND it is that of what the command prints.
    """
    from uno import spec
    from uno.cli.output import json_documents, printing

    if not command:
        printing.json(spec.json_schema())
        return
    name = " ".join(command)
    if name not in json_documents.DOCUMENTS:
        hint = suggestion(name, json_documents.DOCUMENTS) or "see docs/reference/json.md"
        raise InvalidInput(f"no command {quoted(name)} prints JSON", hint)
    printing.json(json_documents.schema(name))
