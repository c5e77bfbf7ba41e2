"""`uno web`: the registry's own page, and tickets that open a page without a password."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that `uno -h` is quick

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Annotated, Any

import typer

from uno.cli.input import completion
from uno.cli.input.options import Common, takes_groups
from uno.diagnostics import ActionNeeded, Problem, Rejected
from uno.model.web_access import REGISTRY_PORT

if TYPE_CHECKING:
    from pathlib import Path

    from uno.model.net import Address

_LOOPBACK = "127.0.0.1"


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    group = typer.Typer(invoke_without_command=True, callback=_unless_another(takes_groups(web)))
    group.command("login")(takes_groups(login))
    app.add_typer(group, name="web")


def web(
    common: Common,
    *,
    address: Annotated[
        str,
        typer.Option(
            "--address",
            metavar="ADDRESS",
            help="A private address of this host: then over HTTPS.",
        ),
    ] = _LOOPBACK,
    port: Annotated[
        int, typer.Option("--port", metavar="PORT", min=1, max=65535, help="The TCP port.")
    ] = REGISTRY_PORT,
) -> None:
    """Serve the web page of the whole UVN at the registry.

    It runs until interrupted, and prints an address that opens the page without a password, for the
    UVN's owner, once, for 5 minutes. It follows the registry's agent, which takes root, where that
    runs, and otherwise shows what is defined: also before any cell is up. Nobody but this host
    reaches it without --address.
    """
    import asyncio

    common.start()
    where = _own_address(address)
    try:
        asyncio.run(_serve(common, where, port))
    except asyncio.CancelledError:
        return


def login(
    common: Common,
    *,
    cell: Annotated[
        str | None, typer.Argument(metavar="CELL", autocompletion=completion.names)
    ] = None,
) -> None:
    """Print an address that opens a cell's page without a password.

    It is for the UVN's owner, good once, for 5 minutes: the registry signs it. Open it from
    anywhere in the UVN, in a browser that trusts the certificate of `uno show ca`. Without CELL it
    opens the registry's own page, of `uno agent --web`, on this host.
    """
    from ipaddress import ip_address

    from uno.cli.output import printing, show_views
    from uno.registry.changes import operations

    common.start()
    with operations.opened(common.root) as registry:
        if cell is not None:
            text = show_views.login_address(registry, cell, now=_now())
        else:
            text = show_views.own_login_address(registry, ip_address(_LOOPBACK), now=_now())
        printing.result(text)


async def _serve(common: Common, address: Address, port: int) -> None:
    import asyncio
    import os
    import signal
    import sys
    import tempfile
    from pathlib import Path

    from uno.cli import followed_registry
    from uno.cli.output import printing

    with tempfile.TemporaryDirectory(prefix="uno-web-") as folder:
        page = followed_registry.make_registry_page(
            common.root, Path(folder), environ=os.environ, address=address, port=port
        )
        try:
            identity = page.start().source.site.identity
            followed = followed_registry.FollowedAgent(identity, changed=page.changed)
            followed.start()
            printing.result(_opening(common.root, address, port))
            # Before it is served: whoever reads it waits for the line.
            sys.stdout.flush()
            printing.message(
                common, "this address opens the page once, within 5 minutes; Ctrl-C ends it"
            )
            job = asyncio.ensure_future(page.run(followed.view, followed.watch))
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, job.cancel)
            await job
        finally:
            page.close()


def _opening(root: Path, address: Address, port: int) -> str:
    from uno.cli.output import show_views
    from uno.registry.changes import operations

    with operations.opened(root) as registry:
        return show_views.own_login_address(registry, address, port=port, now=_now())


def _own_address(text: str) -> Address:
    """Return an address at which this host may serve the page. Raises `Rejected`, `ActionNeeded`.

    The UVN's root certificate is good for private addresses alone.
    """
    import socket

    from uno.model import web_access
    from uno.model.net import address

    try:
        found = address(text)
    except ValueError as error:
        raise Rejected(Problem(what=str(error), option="--address")) from error
    if found.is_loopback:
        return found
    if not any(found in each for each in web_access.PERMITTED):
        raise Rejected(
            Problem(
                what=f"{found} is no private address, and the UVN's certificate is good for no"
                " other",
                hint="serve it on this host alone, and reach it through ssh -L",
                option="--address",
            )
        )
    family = socket.AF_INET if found.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_STREAM) as tried:
        try:
            tried.bind((str(found), 0))
        except OSError as error:
            raise ActionNeeded(
                f"--address: this host does not have the address {found}",
                "see those that it has: ip address",
            ) from error
    return found


def _unless_another(served: Any) -> Any:
    """Return `served` as what `uno web` does without a subcommand, which has its own options."""

    @functools.wraps(served)
    def callback(**given: Any) -> None:
        context: typer.Context = given["context"]
        if context.invoked_subcommand is None:
            served(**given)
            return
        for option in context.command.params:
            source = context.get_parameter_source(option.name or "")
            if source is not None and source.name == "COMMANDLINE":
                command, typed = context.invoked_subcommand, option.opts[-1]
                hint = f"options of `{command}` come after it"
                raise Rejected(Problem(what=f"{typed} is before `{command}`", hint=hint))

    return callback


def _now() -> float:
    import time

    return time.time()  # noqa: TID251 - a ticket ends at a time of day
