"""Applies actions to a host: all of them, or none."""

from __future__ import annotations

from collections.abc import Callable

from uno.diagnostics import TransientFailure, UnoError
from uno.ports.host import (
    Action,
    AddUnreachableRoutes,
    ConfigureTunnel,
    CreateTunnel,
    Host,
    Observed,
    ReloadRouting,
    RemoveTunnel,
    RemoveUnreachableRoutes,
    ReplaceFirewall,
    RestoreSysctl,
    SetForeignForwardChain,
    SetNode,
    SetSysctl,
    SetUnderlay,
    StartRouting,
    StopRouting,
)
from uno.reconcile.host_diff import inverse


class ActionFailed(TransientFailure):
    """An action failed, and those before it were undone; `undone`: all of them.

    It is transient if its cause is, and has its exit status.
    """

    def __init__(self, action: Action, cause: UnoError, *, left: tuple[str, ...]) -> None:
        """Include the action, its error, and the actions that could not be undone."""
        self.action = action
        self.undone = not left
        self.transient = cause.transient
        self.exit_status = cause.exit_status
        state = (
            "the host is as it was"
            if not left
            else f"could not be undone: {'; '.join(left)}; `uno service down` removes the rest"
        )
        super().__init__(f"could not {describe(action)}: {cause.what} ({state})", cause.hint)


def apply(
    host: Host,
    actions: tuple[Action, ...],
    *,
    observed: Observed,
    progress: Callable[[str], None] = lambda _: None,
) -> None:
    """Carry out `actions` in order on a host that is as `observed`.

    If one fails, or the user interrupts, all are undone, the last first.
    Raises `ActionFailed`.
    """
    host.begin_lookups(
        peer
        for action in actions
        if isinstance(action, CreateTunnel | ConfigureTunnel)
        for peer in action.tunnel.peers
    )
    done: list[Action] = []
    for action in actions:
        progress(describe(action))
        done.append(action)
        try:
            host.perform(action)
        except UnoError as error:
            raise ActionFailed(action, error, left=_undo(host, done, observed)) from error
        except BaseException as error:
            # Ctrl-C: no half-applied changes may stay.
            for left in _undo(host, done, observed):
                error.add_note(f"could not be undone: {left}")
            raise


def describe(action: Action) -> str:  # noqa: C901, PLR0911, PLR0912 - one line per kind
    """Return a description of an action: `create interface uwg-b0`."""
    match action:
        case AddUnreachableRoutes(networks):
            return f"add {len(networks)} unreachable routes"
        case RemoveUnreachableRoutes(networks):
            return f"remove {len(networks)} unreachable routes"
        case ReplaceFirewall(None):
            return "remove the firewall table"
        case ReplaceFirewall():
            return "replace the firewall table"
        case SetForeignForwardChain(chain):
            verb = (
                "accept uno's interfaces in"
                if chain.accept_interfaces
                else "remove uno's rules from"
            )
            return f"{verb} the {chain.family} chain {chain.name}"
        case SetSysctl(key, value) | RestoreSysctl(key, value):
            return f"set {key} to {value}"
        case SetNode(None):
            return "remove the node's addresses"
        case SetNode():
            return "set the node's addresses"
        case SetUnderlay(None):
            return "remove the routes of WireGuard's packets"
        case SetUnderlay():
            return "set the routes of WireGuard's packets"
        case CreateTunnel(tunnel):
            return f"create interface {tunnel.name}"
        case ConfigureTunnel(tunnel):
            return f"configure interface {tunnel.name}"
        case RemoveTunnel(name):
            return f"remove interface {name}"
        case StartRouting():
            return "start routing"
        case ReloadRouting():
            return "reload routing"
        case StopRouting():
            return "stop routing"


def _undo(host: Host, done: list[Action], observed: Observed) -> tuple[str, ...]:
    """Undo `done`, the last first; return what could not be undone.

    The last action is the one that failed: it may have had no effect, or a part of it.
    `Host.perform` accepts to remove what does not exist.
    """
    left = []
    for action in reversed(done):
        back = inverse(action, observed)
        try:
            if isinstance(action, RemoveTunnel):
                # An interface that was not removed would conflict with the one created again.
                host.perform(action)
            if back is not None:
                host.perform(back)
        except UnoError as error:
            left.append(f"{describe(back or action)}: {error.what}")
    return tuple(left)
