"""Changes a host from one package to the next while it forwards, in the steps of `drain_plan`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import count, repeat

from msgspec import Struct

from uno.agent.commit.drain_plan import DrainSchedule, DrainStep, drain_steps
from uno.diagnostics import TransientFailure, UnoError
from uno.model.package import Package
from uno.model.plan import BackbonePeer
from uno.model.tunnel import Tunnel
from uno.ports.host import Action, Host
from uno.reconcile.converge import cell_target

# Seconds between two handshakes initiated on a link that has new keys. Its neighbour, which may
# change its keys a little later, answers the first one after that. Each initiation cancels the one
# before; so after `QUICK_RETRIES` the interval doubles, for neighbours with a long round trip.
RETRY_INTERVAL = 0.15
QUICK_RETRIES = 4

# Seconds between two polls of what is awaited.
POLL_INTERVAL = 0.1

Pause = Callable[[float], object]
Clock = Callable[[], float]
Progress = Callable[[str], None]


class DrainCancelled(TransientFailure):
    """A change of package was cancelled. The host forwards, and the next pass completes it."""

    def __init__(self, step: str) -> None:
        """Name the step that was not taken."""
        super().__init__(f"the change was cancelled before this step: {step}")


def switch(  # noqa: PLR0913 - the fields of `DrainRunner`
    host: Host,
    *,
    old: Package | None,
    new: Package,
    schedule: DrainSchedule | None = None,
    progress: Progress = lambda _: None,
    pause: Pause,
    now: Clock,
    cancelled: Callable[[], bool] = lambda: False,
) -> tuple[Action, ...]:
    """Change a host from `old`, which it runs, to `new`; return what was done. Blocks for seconds.

    Links that the schedule holds stay as in `old`. If links were deferred already, `old` is the
    package from `drain_plan.with_deferred`. `pause` waits for so many seconds of the clock `now`.
    Raises `UnoError` if a step fails; then the host runs `old`. Raises `DrainCancelled` soon
    after `cancelled` returns true.
    """
    runner = DrainRunner(host=host, progress=progress, pause=pause, now=now, cancelled=cancelled)
    done, remaining = runner.begin(old, new, schedule or DrainSchedule())
    while remaining is not None:
        runner.wait(remaining.steps[0], remaining.due)
        try:
            more, remaining = runner.proceed(remaining)
        except BaseException as error:
            if old is not None:
                runner.roll_back(old, error)
            raise
        done += more
    return done


class RemainingSteps(Struct, frozen=True, kw_only=True):
    """The steps left when everything new is in force: they remove what is old.

    `began` is when the change began, and `entered` when its last step was taken.
    """

    steps: tuple[DrainStep, ...]
    began: float
    entered: float

    @property
    def due(self) -> float:
        """When the next step is due, unless its links are still in use."""
        return max(self.began + self.steps[0].at, self.entered + self.steps[0].after)


class DrainRunner(Struct, frozen=True, kw_only=True):
    """Takes the steps on a host. `pause`, `now` and `cancelled` are as for `switch`."""

    host: Host
    progress: Progress
    pause: Pause
    now: Clock
    cancelled: Callable[[], bool]

    def begin(
        self, old: Package | None, new: Package, schedule: DrainSchedule
    ) -> tuple[tuple[Action, ...], RemainingSteps | None]:
        """Put everything new in force; return what was done, and the steps that are left.

        Blocks, and raises, as `switch` does.
        """
        steps = drain_steps(old, new, schedule)
        began = self.now() if schedule.started_at is None else schedule.started_at
        done: list[Action] = []
        for number, step in enumerate(steps):
            if step.is_cleanup:
                return tuple(done), RemainingSteps(
                    steps=steps[number:], began=began, entered=self.now()
                )
            self.wait(step, max(began + step.at, self.now() + step.after))
            try:
                actions, tunnels = self.enter(step)
            except BaseException as error:
                # The failed step is undone, but those before it are not.
                if number and old is not None:
                    self.roll_back(old, error)
                raise
            done += actions
            # New links have their time from the activation on: the next step is common to all
            # cells.
            self.wait_up(step, tunnels, (self.now() if number else began) + step.timeout)
        return tuple(done), None

    def must_wait(self, remaining: RemainingSteps) -> bool:
        """Whether the next step has to wait: it is not due, or its links are in use."""
        step, now = remaining.steps[0], self.now()
        return now < remaining.due or (
            now < remaining.due + step.drained_within and self._carries(step.wait_drained)
        )

    def proceed(
        self, remaining: RemainingSteps
    ) -> tuple[tuple[Action, ...], RemainingSteps | None]:
        """Take the next step; return what was done and what is left. Raises `UnoError`."""
        actions, _ = self.enter(remaining.steps[0])
        left = remaining.steps[1:]
        return actions, RemainingSteps(
            steps=left, began=remaining.began, entered=self.now()
        ) if left else None

    def wait(self, step: DrainStep, time: float) -> None:
        """Wait until a step is due and its links are drained. Raises `DrainCancelled`."""
        while self._sleeps_until(time, POLL_INTERVAL):
            pass
        end = time + step.drained_within
        while self._carries(step.wait_drained) and self._sleeps_until(end, POLL_INTERVAL):
            pass
        if self.cancelled():
            raise DrainCancelled(step.what)

    def enter(self, step: DrainStep) -> tuple[tuple[Action, ...], tuple[Tunnel, ...]]:
        """Reconcile the host with a step; return what was done, and the tunnels of the step.

        A step that fails is undone. Raises `UnoError`.
        """
        self.progress(step.what)
        target = cell_target(self.host, step.package, drained=step.drained)
        difference = target.compare(self.host)
        difference.apply(self.host, progress=self.progress)
        return difference.actions, target.desired.tunnels

    def roll_back(self, old: Package, error: BaseException) -> None:
        """Reconcile the host with `old` again; a failure is noted on `error`."""
        try:
            self.enter(DrainStep(what="roll back", package=old))
        except UnoError as another:
            error.add_note(f"and the host could not be rolled back: {another}")

    def wait_up(self, step: DrainStep, tunnels: Iterable[Tunnel], until: float) -> None:
        """Initiate handshakes, and wait for them and for sessions, at most until `until`."""
        links = {link.interface: link for link in step.package.plan.links}
        awaited = [each for each in tunnels if each.name in step.initiate_handshake]
        mine = [each for each in awaited if _initiates(links[each.name], step.package)]
        # Before the first poll: a session with the old keys would be taken for a new one.
        self._initiate(mine)
        pauses = _retry_intervals()
        due = self.now() + next(pauses)
        while self._unanswered(awaited) and self._sleeps_until(until, RETRY_INTERVAL):
            if self.now() >= due:
                self._initiate(self._unanswered(mine))
                due = self.now() + next(pauses)
        watched = {str(links[each].remote4) for each in step.await_sessions}
        while not self._are_up(watched) and self._sleeps_until(until, POLL_INTERVAL):
            pass

    def _sleeps_until(self, until: float, seconds: float) -> bool:
        """Wait for at most so many seconds; return whether there was time left to."""
        left = until - self.now()
        if left <= 0 or self.cancelled():
            return False
        self.pause(min(left, seconds))
        return True

    def _carries(self, interfaces: tuple[str, ...]) -> bool:
        return bool(interfaces) and not self.host.interfaces_with_bgp_routes().isdisjoint(
            interfaces
        )

    def _initiate(self, tunnels: Iterable[Tunnel]) -> None:
        for tunnel in tunnels:
            for peer in tunnel.peers:
                self.host.initiate_handshake(tunnel.name, peer)

    def _unanswered(self, tunnels: Iterable[Tunnel]) -> list[Tunnel]:
        chosen = list(tunnels)
        status = self.host.peer_status() if chosen else {}
        return [
            tunnel
            for tunnel in chosen
            if not any(peer.handshake for peer in status.get(tunnel.name, ()))
        ]

    def _are_up(self, neighbours: set[str]) -> bool:
        status = self.host.session_status() if neighbours else ()
        return neighbours <= {session.neighbor for session in status if session.works}


def _retry_intervals() -> Iterator[float]:
    """Yield the seconds from one initiation to the next."""
    yield from repeat(RETRY_INTERVAL, QUICK_RETRIES)
    for doublings in count(1):
        yield RETRY_INTERVAL * 2.0**doublings


def _initiates(link: BackbonePeer, package: Package) -> bool:
    """Whether this end initiates. If both did, each would cancel the handshake of the other."""
    is_only_end = link.port is None or package.own.endpoint is None
    return link.endpoint is not None and (is_only_end or package.plan.cell < link.cell)
