"""Commands: `uno lab`, a UVN's world in network namespaces on this machine."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from uno import program
from uno.cli.input.log_options import LogOptions, Quiet, Verbose
from uno.diagnostics import ActionNeeded, InvalidInput, UnoError

lab = typer.Typer(
    help="Rehearse a UVN on this machine, in network namespaces. Needs root.",
    no_args_is_help=True,
)


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    app.add_typer(lab, name="lab")


@lab.command()
def up(
    spec: Annotated[Path, typer.Argument(help="A UVN's definition: YAML or JSON.")],
    agents: Annotated[
        bool, typer.Option("--agents", help="Also start the agents, which uno sync needs.")
    ] = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Build the lab of a UVN, deploy the UVN in it, and leave it up."""
    from uno.lab import rehearsal  # noqa: PLC0415
    from uno.lab.cleanup import ended_by_signals, temporary_lab  # noqa: PLC0415
    from uno.lab.evidence import lan_pairs  # noqa: PLC0415

    LogOptions(verbose=verbose, quiet=quiet).start()
    report = _discard if quiet else _print
    with ended_by_signals(), temporary_lab(keep=True) as lab_id:
        uvn = rehearsal.definition(spec)
        world = rehearsal.build_world(uvn, lab_id, report=report)
        deployment = rehearsal.deploy(world, uvn, spec, report=report)
        raised = rehearsal.start_network(deployment, lan_pairs(world), report=report)
        if agents:
            rehearsal.start_agents(deployment, report=report)
    missing = raised.reached.missing
    if not missing:
        _print(f"all pairs of LAN hosts after {raised.all_pairs:.1f} s")
    _print_next_commands(world.id)
    if agents:
        at = f"{own_command()} lab exec --lab {world.id} {world.registry.name} --"
        _print(f"change it: {at} {own_command()} sync -r {deployment.registry_root}")
    raise typer.Exit(1 if missing else 0)


@lab.command()
def down(
    lab_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="The lab; needed if there are several.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All labs of this machine.")] = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Remove a lab: its processes, namespaces and files."""
    from uno.lab import inotify_limit, lab_state, requirements  # noqa: PLC0415

    LogOptions(verbose=verbose, quiet=quiet).start()
    requirements.require({"ip": "iproute2"})
    if lab_id and every:
        raise InvalidInput("a lab's id and --all are both given", "give one of them")
    for one in lab_state.ids() if every else (lab_state.chosen(lab_id),):
        lab_state.remove(one)
        (_discard if quiet else _print)(f"lab {one} is down")
    inotify_limit.release()


@lab.command("list")
def list_labs(verbose: Verbose = 0, quiet: Quiet = False) -> None:
    """List the labs on this machine, the oldest first."""
    from uno.lab import lab_state  # noqa: PLC0415
    from uno.lab.world_layout import Role  # noqa: PLC0415

    LogOptions(verbose=verbose, quiet=quiet).start()
    for lab_id in lab_state.ids():
        try:
            found = lab_state.load(lab_id)
        except UnoError:
            print(f"{lab_id}  never finished")
            continue
        cells = ", ".join(station.name for station in found.layout.having(Role.CELL))
        print(f"{lab_id}  {'up' if found.complete else 'being built'}  cells {cells}")


@lab.command("exec", context_settings={"ignore_unknown_options": True})
def execute(
    node: Annotated[str, typer.Argument(help="A node, such as lan-a or lan-a-host1.")],
    command: Annotated[list[str], typer.Argument(help="A command with its arguments.")],
    lab_id: Annotated[
        str | None, typer.Option("--lab", metavar="ID", help="Needed if there are several labs.")
    ] = None,
) -> None:
    """Run a command in a node of a lab, on this terminal.

    For example: `uno lab exec lan-a -- wg show`.
    """
    from uno.lab.world import open_world  # noqa: PLC0415

    world = open_world(lab_id)
    if node not in world.nodes:
        raise ActionNeeded(
            f"lab {world.id} has no node {node!r}", f"it has {', '.join(world.nodes)}"
        )
    argv = [*world.nodes[node].entering(), *command]
    # This process becomes the command: terminal, signals and exit status are the command's own.
    os.execvp(argv[0], argv)  # noqa: S606


@lab.command()
def demo(
    spec: Annotated[
        Path, typer.Option("-s", "--spec", metavar="YAML", help="A UVN's definition.")
    ] = Path("examples/four-sites/uvn.yml"),
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave it up, and print how to enter it.")
    ] = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Run a UVN on this machine, and show that all hosts are reachable."""
    from rich.console import Console  # noqa: PLC0415

    from uno.lab.cleanup import ended_by_signals  # noqa: PLC0415
    from uno.lab.demo import run_demo  # noqa: PLC0415

    LogOptions(verbose=verbose, quiet=quiet).start()
    report, console = _discard if quiet else _print, Console(width=80, highlight=False)
    with ended_by_signals():
        outcome = run_demo(spec, keep=keep, report=report, console=console)
    if keep:
        _print_next_commands(outcome.lab)
    raise typer.Exit(0 if outcome.passed else 1)


def _print(line: str) -> None:
    print(line, flush=True)


def _discard(_line: str) -> None:
    return


def _print_next_commands(lab_id: str) -> None:
    from uno.lab import lab_state  # noqa: PLC0415
    from uno.lab.world_layout import Role  # noqa: PLC0415

    cell = lab_state.load(lab_id).layout.having(Role.CELL)[0].name
    _print(f"enter it: {own_command()} lab exec --lab {lab_id} {cell} -- bash")
    _print(f"take it down: {own_command()} lab down {lab_id}")


def own_command() -> str:
    """Return what runs this uno: its name, where PATH finds it by that."""
    # The folder's executable has as first word what was typed, without its directory.
    this = sys.executable if program.is_frozen() else sys.argv[0]
    if "__main__" in this:
        return shlex.join(program.argv())
    found = shutil.which("uno")
    is_found = found is not None and os.path.realpath(found) == os.path.realpath(this)
    return "uno" if is_found else shlex.quote(str(Path(this).absolute()))
