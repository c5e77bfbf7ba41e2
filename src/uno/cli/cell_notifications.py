"""Notifies people: connects the causes that the page names with what sends them."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from uno import program
from uno.diagnostics import TransientFailure
from uno.host import command
from uno.model import codec
from uno.model.key_ids import NOTIFICATIONS
from uno.model.notification_targets import Notifying
from uno.notify import mute
from uno.notify.errands import LIFETIME, Errand, Outcome
from uno.notify.notifier import Clocks, Notifier, SenderView

if TYPE_CHECKING:
    from uno.model.network_directory import Directory
    from uno.model.package import Package
    from uno.model.status import UvnView

_log = logging.getLogger(__name__)

FILE = "notifications.json"
# Where the courier finds Python and the authorities of TLS. It gets no other variable.
_ENVIRONMENT = ("PYTHONHOME", "PYTHONPATH", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR")


class CellNotifications:
    """Notifies people from a cell (`ports.notifications`)."""

    def __init__(self, directory: Path, *, environ: Mapping[str, str]) -> None:
        """Record what waits in `directory`."""
        self._package: Package | None = None
        self._notifying: Notifying | None = None
        self._view: Callable[[], UvnView] | None = None
        self._directory: Callable[[], Directory | None] = lambda: None
        self._root = directory
        self._notifier = Notifier(
            directory / FILE,
            notifying=lambda: self._notifying,
            observe=self._observe,
            send=partial(send, environ),
            clocks=Clocks(
                monotonic=time.monotonic,
                wall=time.time,  # noqa: TID251 - mails have dates
            ),
        )

    @property
    def problem(self) -> str:
        """Why a message was not delivered, empty if all were."""
        fault = self._notifier.problem
        return f"a notification was not delivered: {fault}" if fault else ""

    @property
    def reported(self) -> tuple[str, ...]:
        """The ids of what this cell has reported, for its status, in their order."""
        return tuple(sorted(self._notifier.reported))

    @property
    def muted_until(self) -> int | None:
        """The second on the host's clock until which nobody is notified of this cell, or None."""
        return mute.muted_until(self._root, now=time.time())  # noqa: TID251 - a time of day

    def configure(self, package: Package) -> None:
        """Notify as `package` has it from now on; a cell that is no sender does nothing."""
        if package is not self._package:
            self._package, self._notifying = package, notifying(package)

    async def run(
        self, view: Callable[[], UvnView], directory: Callable[[], Directory | None]
    ) -> None:
        """Observe, and send what is due, until cancelled."""
        self._view, self._directory = view, directory
        await self._notifier.run()

    def _observe(self) -> SenderView | None:
        if self._view is None or self._package is None or self._notifying is None:
            return None
        # The other cells need none of it.
        from uno.cli.notified_causes import observed  # noqa: PLC0415

        return observed(self._view(), self._directory(), self._package, self._notifying)


def notifying(package: Package) -> Notifying | None:
    """Return whom the cell of `package` notifies, None for one that is no sender."""
    text = package.secrets.get(NOTIFICATIONS)
    if text is None:
        return None
    try:
        return codec.decode(base64.b64decode(text, validate=True), Notifying)
    except ValueError:
        _log.warning("the package has settings of notifications that this version cannot read")
        return None


async def send(environ: Mapping[str, str], errands: Sequence[Errand]) -> Sequence[Outcome]:
    """Have a courier send `errands`; return what became of each. Raises `UnoError`."""
    env = {name: environ[name] for name in _ENVIRONMENT if name in environ}
    done = await asyncio.to_thread(
        command.run,
        program.courier_process(),
        stdin=msgspec.json.encode(list(errands)),
        timeout=LIFETIME,
        env=env,
    )
    try:
        outcomes = msgspec.json.decode(done.stdout, type=list[Outcome])
    except msgspec.MsgspecError as error:
        raise TransientFailure("the process that sends notifications gave no answer") from error
    if len(outcomes) != len(errands):
        raise TransientFailure("the process that sends notifications lost some")
    return outcomes
