"""Takes a host from one package to the next while it forwards, in the stages of `drain_plan`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count, repeat

from uno.agent.commit.drain_plan import DrainSchedule, DrainStep, drain_steps
from uno.diagnostics import TransientFailure, UnoError
from uno.model.package import Package
from uno.model.plan import BackbonePeer
from uno.model.tunnel import Tunnel
from uno.ports.host import Action, Host
from uno.reconcile.converge import cell_target

# Seconds between two calls of a link that has new keys. Its neighbour, which may change them a
# little later, answers the first call that comes after that. A call breaks off the one before it,
# so that after so many the pauses double: a neighbour may be so far away that its answers are late.
RETRY_INTERVAL = 0.15
QUICK_RETRIES = 4

# Seconds between two looks at what is waited for.
POLL_INTERVAL = 0.1

Pause = Callable[[float], object]
Clock = Callable[[], float]
Progress = Callable[[str], None]


class DrainCancelled(TransientFailure):
    """A change-over was broken off. The host forwards; a pass or another change-over goes on."""

    def __init__(self, stage: str) -> None:
        """Say before which stage."""
        super().__init__(f"the change was broken off before this step: {stage}")


def switch(  # noqa: PLR0913 - what a thread of the agent's has no other way to
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
    """Take a host from `old`, which it runs, to `new`; return what was done. Blocks for seconds.

    Links that the schedule holds stay as in `old`, which is `drain_steps.with_held` of a package if
    there were such links already. `pause` waits for so many seconds, of which `now` tells the time.
    Raises `UnoError` if a step fails; then the host is as `old` says. Raises `DrainCancelled` soon
    after `cancelled` says so.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class RemainingSteps:
    """What is left of a change-over when all that is new is in force: to take back what is old.

    The change-over `began`, and its last stage was `entered`, at these times of its clock.
    """

    steps: tuple[DrainStep, ...]
    began: float
    entered: float

    @property
    def due(self) -> float:
        """When the next stage is due, unless something keeps it longer."""
        return max(self.began + self.steps[0].at, self.entered + self.steps[0].after)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainRunner:
    """Takes a host through stages. `pause`, `now` and `cancelled` are as for `switch`."""

    host: Host
    progress: Progress
    pause: Pause
    now: Clock
    cancelled: Callable[[], bool]

    def begin(
        self, old: Package | None, new: Package, schedule: DrainSchedule
    ) -> tuple[tuple[Action, ...], RemainingSteps | None]:
        """Put all that is new in force; return what was done, and what is left to do.

        Blocks, and raises, as `switch` does.
        """
        steps = drain_steps(old, new, schedule)
        began = self.now() if schedule.started_at is None else schedule.started_at
        done: list[Action] = []
        for number, stage in enumerate(steps):
            if stage.is_cleanup:
                return tuple(done), RemainingSteps(
                    steps=steps[number:], began=began, entered=self.now()
                )
            self.wait(stage, max(began + stage.at, self.now() + stage.after))
            try:
                actions, tunnels = self.enter(stage)
            except BaseException as error:
                # The stage is undone, but those before it are not.
                if number and old is not None:
                    self.roll_back(old, error)
                raise
            done += actions
            # What is new has its time from the word on: the next step is one that others take too.
            self.wait_up(stage, tunnels, (self.now() if number else began) + stage.timeout)
        return tuple(done), None

    def must_wait(self, remaining: RemainingSteps) -> bool:
        """Whether the next stage has to wait, since it is not due or its links are in use."""
        stage, now = remaining.steps[0], self.now()
        return now < remaining.due or (
            now < remaining.due + stage.drained_within and self._carries(stage.wait_drained)
        )

    def proceed(
        self, remaining: RemainingSteps
    ) -> tuple[tuple[Action, ...], RemainingSteps | None]:
        """Enter the next stage; return what was done and what is left. Raises `UnoError`."""
        actions, _ = self.enter(remaining.steps[0])
        left = remaining.steps[1:]
        return actions, RemainingSteps(
            steps=left, began=remaining.began, entered=self.now()
        ) if left else None

    def wait(self, stage: DrainStep, time: float) -> None:
        """Wait until it is time for a stage. Raises `DrainCancelled`."""
        while self._sleeps_until(time, POLL_INTERVAL):
            pass
        end = time + stage.drained_within
        while self._carries(stage.wait_drained) and self._sleeps_until(end, POLL_INTERVAL):
            pass
        if self.cancelled():
            raise DrainCancelled(stage.what)

    def enter(self, stage: DrainStep) -> tuple[tuple[Action, ...], tuple[Tunnel, ...]]:
        """Make the host as a stage says, and return its tunnels and what was done.

        A stage that fails is undone. Raises `UnoError`.
        """
        self.progress(stage.what)
        target = cell_target(self.host, stage.package, drained=stage.drained)
        difference = target.compare(self.host)
        difference.apply(self.host, progress=self.progress)
        return difference.actions, target.desired.tunnels

    def roll_back(self, old: Package, error: BaseException) -> None:
        """Make the host as it was before all stages; a failure is noted on `error`."""
        try:
            self.enter(DrainStep(what="go back", package=old))
        except UnoError as another:
            error.add_note(f"nor could the host be made as it was before: {another}")

    def wait_up(self, stage: DrainStep, tunnels: Iterable[Tunnel], until: float) -> None:
        """Call what has to be called, and wait until all is up, or it is `until`."""
        links = {link.interface: link for link in stage.package.plan.links}
        awaited = [each for each in tunnels if each.name in stage.initiate_handshake]
        mine = [each for each in awaited if _initiates(links[each.name], stage.package)]
        # A session with the keys from before would be taken for a new one.
        self._initiate(mine)
        pauses = _retry_intervals()
        due = self.now() + next(pauses)
        while self._unanswered(awaited) and self._sleeps_until(until, RETRY_INTERVAL):
            if self.now() >= due:
                self._initiate(self._unanswered(mine))
                due = self.now() + next(pauses)
        watched = {str(links[each].remote4) for each in stage.await_sessions}
        while not self._are_up(watched) and self._sleeps_until(until, POLL_INTERVAL):
            pass

    def _sleeps_until(self, until: float, seconds: float) -> bool:
        """Wait a little, if there is time."""
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
    """Yield the seconds from one call to the next."""
    yield from repeat(RETRY_INTERVAL, QUICK_RETRIES)
    for doublings in count(1):
        yield RETRY_INTERVAL * 2.0**doublings


def _initiates(link: BackbonePeer, package: Package) -> bool:
    """Whether it is this end that calls. If both did, each would break off what the other began."""
    is_only_end = link.port is None or package.own.endpoint is None
    return link.endpoint is not None and (is_only_end or package.plan.cell < link.cell)
