"""Commands: `uno rekey uvn|cell|particle|backbone|registry`."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that `uno -h` is quick

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from uno.cli.input import completion
from uno.cli.input.options import Changing, takes_groups

if TYPE_CHECKING:
    from uno.registry.changes.key_rotation import Networks


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkOptions:
    """The VPNs whose keys to replace."""

    root_vpn: Annotated[
        bool, typer.Option("-R", "--root-vpn", help="The keys of the root VPN.")
    ] = False
    particles_vpn: Annotated[
        bool, typer.Option("-P", "--particles-vpn", help="The keys of the particle VPN.")
    ] = False
    backbone: Annotated[
        bool, typer.Option("-B", "--backbone", help="The keys of links; not together with -R.")
    ] = False


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    group = typer.Typer(help="Replace keys; old keys never work again.", no_args_is_help=True)
    for command in (uvn, cell, particle, backbone, registry):
        group.command(command.__name__)(takes_groups(command))
    app.add_typer(group, name="rekey")


def uvn(networks: NetworkOptions, common: Changing) -> None:
    """Replace the keys of all cells and of the registry: -R, -P, -B."""
    from uno.cli.commands import change_command, revocation_notes
    from uno.registry.changes import key_rotation

    common.start()
    wanted = _wanted(networks)
    change_command.run(
        common,
        lambda it: key_rotation.rekey_uvn(it, wanted),
        done="Replaced keys of the UVN.",
        notes=revocation_notes.particles_stop(common) if wanted.particles else (),
    )


def cell(
    name: Annotated[str, typer.Argument(metavar="NAME", autocompletion=completion.names)],
    networks: NetworkOptions,
    common: Changing,
    *,
    stolen: Annotated[
        bool,
        typer.Option(
            "--stolen",
            help="All keys in its package, which was stolen: nothing in it is accepted any more.",
        ),
    ] = False,
) -> None:
    """Replace the keys of one cell: -R, -P, -B, or all that it has.

    With --stolen the cell is cut off at once, and until its new package is installed by hand.
    """
    from uno.cli.commands import change_command, revocation_notes
    from uno.registry.changes import key_rotation

    common.start()
    if stolen:
        _refuse_networks(networks)
        change_command.run(
            common,
            lambda it: key_rotation.rekey_stolen_cell(it, name),
            done=f"Replaced all keys of cell {name}.",
            notes=(
                *revocation_notes.notes(common, f"the old keys of {name}"),
                *revocation_notes.particles_stop(common, cells=[name]),
                revocation_notes.by_hand(common, name),
            ),
        )
        return
    wanted = _wanted(networks)
    change_command.run(
        common,
        lambda it: key_rotation.rekey_cell(it, name, wanted),
        done=f"Replaced keys of cell {name}.",
        notes=revocation_notes.particles_stop(common, cells=[name]) if wanted.particles else (),
    )


def particle(
    name: Annotated[str, typer.Argument(metavar="NAME", autocompletion=completion.names)],
    common: Changing,
    cells: Annotated[
        list[str] | None,
        typer.Option("-c", "--cell", metavar="CELL", help="At this cell only; repeat for more."),
    ] = None,
) -> None:
    """Replace the keys of a particle, at every cell or at some."""
    from uno.cli.commands import change_command, revocation_notes
    from uno.registry.changes import key_rotation

    common.start()
    change_command.run(
        common,
        lambda it: key_rotation.rekey_particle(it, name, cells or ()),
        done=f"Replaced keys of particle {name}.",
        notes=revocation_notes.particles_stop(common, [name], cells=cells or ()),
    )


def backbone(
    common: Changing,
    links: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CELL | CELL:CELL]…", help="The links of a cell, or one link; default: all."
        ),
    ] = None,
) -> None:
    """Replace the keys of links."""
    from uno.cli.commands import change_command
    from uno.registry.changes import key_rotation

    common.start()
    change_command.run(
        common,
        lambda it: key_rotation.rekey_backbone(it, links or ()),
        done="Replaced keys of the backbone.",
    )


def registry(common: Changing) -> None:
    """Replace the key that the registry signs with.

    The old key signs the new one, so that cells follow, also those that are away now.
    """
    from uno.cli.commands import change_command
    from uno.registry.changes import key_rotation

    common.start()
    change_command.run(
        common,
        key_rotation.rekey_registry,
        done="Replaced the registry's key.",
        notes=("make a backup: cells accept nothing from a registry that has the old key",),
    )


def _refuse_networks(networks: NetworkOptions) -> None:
    from uno.diagnostics import Problem, Rejected
    from uno.registry.changes.key_rotation import Networks

    if _wanted(networks) != Networks():
        raise Rejected(
            Problem(
                what="--stolen replaces all keys of the cell",
                hint="leave -R, -P and -B out",
                option="--stolen",
            )
        )


def _wanted(networks: NetworkOptions) -> Networks:
    from uno.registry.changes.key_rotation import Networks

    return Networks(
        root=networks.root_vpn, particles=networks.particles_vpn, backbone=networks.backbone
    )
