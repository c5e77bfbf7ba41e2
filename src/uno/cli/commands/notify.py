"""`uno notify`: whether notifications arrive, and cells that nobody is to be notified of."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that `uno -h` is quick

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from uno.cli.input.options import Common, takes_groups

if TYPE_CHECKING:
    from pathlib import Path

    from uno.model.notification_targets import Notifying
    from uno.notify.notice_formats import Sent


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    group = typer.Typer(help="Notifications of what is lost and found.", no_args_is_help=True)
    group.command("test")(takes_groups(test))
    group.command("mute")(takes_groups(mute))
    group.command("unmute")(takes_groups(unmute))
    app.add_typer(group, name="notify")


def test(common: Common) -> None:
    """Send a test message to every target, from this host.

    In the directory of a cell that sends notifications, or of the registry. The exit status is 1 if
    a target has not taken it.
    """
    import asyncio
    import os

    from uno.cli.cell_notifications import send
    from uno.cli.output import printing
    from uno.diagnostics import TransientFailure
    from uno.model.notification_targets import target
    from uno.notify.errands import Errand
    from uno.notify.notice_formats import message
    from uno.notify.policy import Condition, Notice, NoticeKind

    common.start()
    settings, sent = _settings(common.root)
    condition = Condition(id="test", subject=sent.uvn, text="Notifications arrive")
    notice = Notice(kind=NoticeKind.TEST, condition=condition, since=0.0)
    errands = [Errand(url=url, message=message(target(url), notice, sent)) for url in settings.to]
    if settings.heartbeat is not None:
        errands.append(Errand(url=settings.heartbeat))
    outcomes = asyncio.run(send(os.environ, errands))
    failed = 0
    for errand, outcome in zip(errands, outcomes, strict=True):
        what = "the heartbeat" if errand.message is None else str(target(errand.url))
        if outcome.fault:
            failed += 1
        printing.result(outcome.fault or f"{what}: sent")
    if failed:
        raise TransientFailure(
            f"{failed} of {len(errands)} targets have not taken the message",
            "mend them with: uno config uvn -U --notify URL",
        )


def mute(
    for_: Annotated[
        str, typer.Option("--for", metavar="TIME", help="How long, like 90m, 2h or 1d12h.")
    ],
    common: Common,
) -> None:
    """Have nobody notified of this cell for a time, as you work on it.

    Nor of its LANs and links. At a cell whose agent runs; it holds while the cell is off, too. What
    was reported before is still reported when it works again.
    """
    from uno.cli.input.durations import seconds_of
    from uno.notify import mute as muting

    common.start()
    seconds = seconds_of("--for", for_, most=muting.LONGEST)
    _change_mute(common.root, for_seconds=seconds)


def unmute(common: Common) -> None:
    """Have people notified of this cell again, after `uno notify mute`."""
    common.start()
    _change_mute(common.root, for_seconds=None)


def _change_mute(root: Path, *, for_seconds: int | None) -> None:
    """Mute the cell in `root`, or end that, and wait until its agent advertises it."""
    import time

    from uno import control
    from uno.agent.commit.ledger import Ledger
    from uno.cli.output import printing
    from uno.diagnosis.cell_faults import age
    from uno.diagnostics import ActionNeeded
    from uno.notify import mute as muting

    package = Ledger(root).current()
    if package is None:
        raise ActionNeeded(
            f"there is no cell in {root.absolute()}",
            "run this at the cell that you work on, with -r DIR",
        )
    socket = control.socket_path(package.plan.identity, package.plan.cell)
    # Without an agent nobody would receive it.
    control.request_view(socket, control.ControlRequest.VIEW)
    until = None
    if for_seconds is None:
        muting.unmute(root)
    else:
        until = int(time.time()) + for_seconds  # noqa: TID251 - an agent compares it with the clock
        muting.mute(root, until=until)
    _await_advertised(socket, package.plan.cell, until)
    name = package.plan.name
    if for_seconds is None:
        printing.result(f"{name}: people are notified of it again")
    else:
        printing.result(f"{name}: nobody is notified of it for {age(for_seconds)}")


def _await_advertised(socket: Path, cell: int, until: int | None) -> None:
    """Wait until the agent at `socket` has advertised the mute. Raises `UnoError`."""
    import time
    from threading import Event

    from uno import control
    from uno.diagnostics import TransientFailure

    deadline = time.monotonic() + _TO_ADVERTISE
    while True:
        view = control.request_view(socket, control.ControlRequest.VIEW)
        own = next(each for each in view.cells if each.id == cell)
        if own.status is not None and own.status.muted_until == until:
            return
        if time.monotonic() > deadline:
            raise TransientFailure(
                "the agent has not advertised it yet",
                "see: uno service status; it will once it can",
            )
        Event().wait(0.2)


# Seconds that an agent has for the next status; it observes its host every few.
_TO_ADVERTISE = 30.0


def _settings(root: Path) -> tuple[Notifying, Sent]:
    """Return whom to notify, and as whom: of the registry or the cell in `root`."""
    import secrets
    from datetime import UTC, datetime

    from uno.agent.commit.ledger import Ledger
    from uno.cli.cell_notifications import notifying
    from uno.diagnostics import ActionNeeded
    from uno.model.notification_targets import Notifying
    from uno.notify.notice_formats import Sent
    from uno.registry.changes import operations

    now = datetime.now(UTC)  # noqa: TID251 - a mail has a date
    if (root / "registry.db").exists():
        with operations.opened(root) as registry:
            uvn = registry.store.head().uvn
        declared = uvn.settings.notify
        settings: Notifying | None = Notifying(to=declared.to, heartbeat=declared.heartbeat)
        name, cell = uvn.name, "the registry"
    else:
        package = Ledger(root).current()
        if package is None:
            raise ActionNeeded(
                f"there is neither a registry nor a cell in {root.absolute()}",
                "name the directory with -r DIR",
            )
        settings, name, cell = notifying(package), package.plan.uvn, package.own.name
    if settings is None or not (settings.to or settings.heartbeat):
        raise ActionNeeded(
            f"{cell} notifies nobody",
            "declare whom to notify at the registry: uno config uvn -U --notify URL; uno sync",
        )
    return settings, Sent(id=secrets.token_hex(8), uvn=name, cell=cell, began=now, now=now)
