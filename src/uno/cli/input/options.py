"""Options that several commands take, as values: declared once, typed, with their help.

A command names a group of options as one parameter:

    @takes_groups
    def cell(name: Name, options: CellOptions, common: Common) -> None: ...

and `takes_groups` shows the fields of the group to typer as so many options. Every option that
was not given is None (or empty), so that a command changes only what its options name.
"""

from __future__ import annotations

import functools
import inspect
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from uno.cli.input import passphrase_source
from uno.cli.input.command_line import refuse_contradictions, typed
from uno.cli.input.log_options import LogOptions, Quiet, Verbose
from uno.cli.input.vpn_options import BackboneVpnOptions, ParticlesVpnOptions, RootVpnOptions
from uno.diagnostics import ActionNeeded, InvalidInput, Problem, Rejected
from uno.model.syntax import text_fault
from uno.model.uvn import Middleware, Strategy, TimingProfile

Yes = Annotated[bool, typer.Option("-y", "--yes", help="Answer yes to every question.")]
No = Annotated[bool, typer.Option("--no", help="Answer no to every question.")]
# Of commands without questions, which take them as all of the seed's do: a script can add them to
# each command. Help shows them only where something is asked.
UnaskedYes = Annotated[bool, typer.Option("-y", "--yes", hidden=True)]
UnaskedNo = Annotated[bool, typer.Option("--no", hidden=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """How the questions of a command are answered without a person."""

    yes: Yes = False
    no: No = False

    def refuse_both(self) -> None:
        """Raise `Rejected` for `-y` and `--no` together."""
        if self.yes and self.no:
            raise Rejected(Problem(what="-y and --no contradict each other", hint="use one"))

    @property
    def can_ask(self) -> bool:
        """Whether there is a person to ask: in CI or without a terminal only `-y` is a yes."""
        return not os.environ.get("CI") and sys.stdin.isatty() and sys.stderr.isatty()

    def confirm(self, question: str) -> None:
        """Ask `question`; raise `UnoError` unless the answer is yes."""
        if self.yes:
            return
        if self.no:
            raise ActionNeeded(f"{question} No", "nothing was changed")
        if not self.can_ask:
            raise InvalidInput(
                f"{question} There is no terminal to answer on",
                "nothing was changed; add -y for yes",
            )
        if not typer.confirm(question, default=False, err=True):
            raise ActionNeeded("stopped", "nothing was changed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """What every command takes."""

    root: Annotated[
        Path, typer.Option("-r", "--root", help="The UVN's directory.", show_default="the current")
    ] = Path()
    verbose: Verbose = 0
    quiet: Quiet = False
    yes: UnaskedYes = False
    no: UnaskedNo = False
    passphrase_file: Annotated[
        Path | None,
        typer.Option(
            "--passphrase-file",
            metavar="FILE",
            help="File with the registry's passphrase on its first line.",
            show_default="UNO_PASSPHRASE",
        ),
    ] = None

    def start(self) -> None:
        """Set up logging; refuse options that contradict each other. Call it first."""
        Answers(yes=self.yes, no=self.no).refuse_both()
        self._log.start()
        passphrase_source.use(self.passphrase_file)

    def log_as_a_daemon(self) -> None:
        """Log as a daemon: at level INFO or more, with times.

        The journal adds times itself: systemd names the stream in JOURNAL_STREAM (systemd.exec(5),
        Environment Variables Set or Propagated by the Service Manager).
        """
        log = logging.getLogger("uno")
        if self.verbosity == 0:
            # Its log is read after the fact.
            log.setLevel(logging.INFO)
        if not os.environ.get("JOURNAL_STREAM"):
            line, time = "%(asctime)s.%(msecs)03d uno: %(message)s", "%Y-%m-%d %H:%M:%S"
            log.handlers[0].setFormatter(logging.Formatter(line, time))

    @property
    def verbosity(self) -> int:
        """The level of output: -1 with `-q`, else the number of `-v`, or what VERBOSITY names."""
        return self._log.verbosity

    @property
    def _log(self) -> LogOptions:
        return LogOptions(verbose=self.verbose, quiet=self.quiet)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking(Common):
    """What every command takes that may ask a question."""

    yes: Yes = False
    no: No = False

    def confirm(self, question: str) -> None:
        """Ask `question`; raise `UnoError` unless the answer is yes."""
        Answers(yes=self.yes, no=self.no).confirm(question)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changing(Common):
    """What every command takes that changes the registry. `typed` is the command itself."""

    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change; change nothing.")
    ] = False
    message: Annotated[
        str | None, typer.Option("-m", "--message", help="Reason, for the history.")
    ] = None
    author: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="Author, for the history.")
    ] = None
    json: Annotated[bool, typer.Option("-J", "--json", help="Print JSON.")] = False
    typed: str = ""

    def start(self) -> None:
        """Start as every command does; refuse a reason or author that the history cannot hold."""
        Common.start(self)
        given = (("-m", self.message), ("--as", self.author))
        faults = [(option, text_fault(text)) for option, text in given if text is not None]
        if problems := [
            Problem(what=fault.what, hint=fault.hint, option=option)
            for option, fault in faults
            if fault
        ]:
            raise Rejected(*problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class AskingChange(Changing):
    """What every command takes that changes the registry, and may ask before."""

    yes: Yes = False
    no: No = False

    def confirm(self, question: str) -> None:
        """Ask `question`, unless this is a dry run; raise `UnoError` unless the answer is yes."""
        if not self.dry_run:
            Answers(yes=self.yes, no=self.no).confirm(question)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerOptions:
    """The owner of an object."""

    owner: Annotated[
        str | None,
        typer.Option("-o", "--owner", metavar="OWNER", help="'NAME <EMAIL>' or EMAIL."),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticleOptions(OwnerOptions):
    """The owner and settings of one particle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordOptions:
    """The password of a user."""

    password: Annotated[
        str | None,
        typer.Option(
            "-p", "--password", help="The password; others can see it in the process list."
        ),
    ] = None
    password_file: Annotated[
        Path | None,
        typer.Option("--password-file", help="Read the password from a file's first line."),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentOptions:
    """How the links of the backbone are chosen."""

    strategy: Annotated[
        Strategy | None, typer.Option("-S", "--strategy", help="How links are chosen.")
    ] = None
    strategy_args: Annotated[
        str | None,
        typer.Option(
            "-D",
            "--strategy-args",
            metavar="YAML",
            help="The strategy's arguments, as YAML, JSON or a file; for static: CELL: [PEER, …].",
        ),
    ] = None
    private_uplinks: Annotated[
        int | None,
        typer.Option("--private-uplinks", help="Links of each private cell. [1]"),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UvnOptions(OwnerOptions, RootVpnOptions, ParticlesVpnOptions, BackboneVpnOptions):
    """The owner and settings of the whole UVN."""

    address: Annotated[
        str | None,
        typer.Option("-a", "--address", help="The registry's public name or address."),
    ] = None
    timing_profile: Annotated[
        TimingProfile | None,
        typer.Option("--timing-profile", help="How fast failures are detected."),
    ] = None
    middleware: Annotated[
        Middleware | None,
        typer.Option(
            "--middleware", help="What carries the agents' messages: TCP, or a DDS implementation."
        ),
    ] = None
    dds_domain: Annotated[int | None, typer.Option("--dds-domain", help="[46]")] = None
    notify_to: Annotated[
        list[str] | None,
        typer.Option(
            "--notify",
            metavar="URL",
            help="Whom to notify of losses; repeat for more. With -U, these replace all.",
        ),
    ] = None
    notify_via: Annotated[
        list[str] | None,
        typer.Option(
            "--notify-via",
            metavar="CELL",
            help="A cell that may send notifications; repeat for more. [the public cells]",
        ),
    ] = None
    notify_hold: Annotated[
        int | None,
        typer.Option(
            "--notify-hold",
            metavar="SECONDS",
            help="How long something is lost, or works again, before anybody is notified. [60]",
        ),
    ] = None
    notify_heartbeat: Annotated[
        str | None,
        typer.Option(
            "--notify-heartbeat",
            metavar="URL",
            help="Fetched every 5 minutes while the UVN is alive.",
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CellOptions(OwnerOptions):
    """The owner and settings of one cell."""

    address: Annotated[
        str | None,
        typer.Option(
            "-a", "--address", help="Public name or address; without one, it is behind NAT."
        ),
    ] = None
    networks: Annotated[
        list[str] | None,
        typer.Option(
            "-N",
            "--network",
            metavar="A.B.C.D/N",
            help="A LAN to attach; repeat for more. With -U, these replace all its LANs.",
        ),
    ] = None
    links: Annotated[
        list[str] | None,
        typer.Option(
            "-L", "--link", metavar="CELL", help="Under static: a cell to link; repeat for more."
        ),
    ] = None
    enable_particles_vpn: Annotated[
        bool | None,
        typer.Option(
            "--enable-particles-vpn/--disable-particles-vpn", help="Accept particles at this cell."
        ),
    ] = None
    httpd_port: Annotated[
        int | None, typer.Option("--httpd-port", help="TCP port of the status page. [443]")
    ] = None
    web_certificate: Annotated[
        str | None,
        typer.Option(
            "--web-certificate",
            metavar="FILE",
            help="On the cell's host: a certificate of your own for its page, with its chain.",
        ),
    ] = None
    web_key: Annotated[
        str | None,
        typer.Option(
            "--web-key", metavar="FILE", help="On the cell's host: the key of that certificate."
        ),
    ] = None
    location: Annotated[
        str | None, typer.Option("--location", help="Its location, as free text.")
    ] = None
    root_vpn_port: Annotated[
        int | None, typer.Option("--root-vpn-port", help="UDP port for the registry at this cell.")
    ] = None
    particles_vpn_port: Annotated[
        int | None,
        typer.Option("--particles-vpn-port", help="UDP port for particles at this cell."),
    ] = None
    backbone_vpn_port: Annotated[
        int | None,
        typer.Option("--backbone-vpn-port", help="First UDP port of links at this cell."),
    ] = None
    timing_profile: Annotated[
        TimingProfile | None,
        typer.Option(
            "--timing-profile",
            help="How fast failures of its links are detected. Of both ends the slower is used.",
        ),
    ] = None


NewName = Annotated[
    str | None,
    typer.Option("-n", "--name", metavar="NEW", help="New name; keys and addresses stay."),
]
NoAddress = Annotated[bool, typer.Option("--no-address", help="Clear the address.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class UvnChanges:
    """Options that change a UVN but do not define one."""

    no_address: NoAddress = False
    no_notify: Annotated[
        bool, typer.Option("--no-notify", help="Notify nobody: clear targets and heartbeat.")
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CellChanges:
    """Options that change a cell but do not define one."""

    new_name: NewName = None
    added: Annotated[
        list[str] | None,
        typer.Option(
            "--add-network",
            metavar="A.B.C.D/N",
            help="A LAN to attach beside the others; repeat for more.",
        ),
    ] = None
    removed: Annotated[
        list[str] | None,
        typer.Option(
            "--remove-network", metavar="A.B.C.D/N", help="A LAN to remove; repeat for more."
        ),
    ] = None
    no_address: NoAddress = False
    no_location: Annotated[bool, typer.Option("--no-location", help="Clear the location.")] = False
    no_web_certificate: Annotated[
        bool,
        typer.Option(
            "--no-web-certificate", help="Serve its page with the UVN's certificate alone."
        ),
    ] = False
    no_timing_profile: Annotated[
        bool, typer.Option("--no-timing-profile", help="Use the UVN's timing profile.")
    ] = False
    default_ports: Annotated[
        bool, typer.Option("--default-ports", help="Use the UVN's UDP ports.")
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintOptions:
    """How to print a configuration."""

    print: Annotated[
        bool, typer.Option("-P", "--print", help="Print the configuration, also after -U.")
    ] = False
    query: Annotated[
        str | None,
        typer.Option("-Q", "--query", metavar="PATH", help="Print only this part: cells[0].name"),
    ] = None
    json: Annotated[bool, typer.Option("-J", "--json", help="Print JSON instead of YAML.")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonOption:
    """JSON, for programs."""

    json: Annotated[bool, typer.Option("-J", "--json", help="Print JSON.")] = False


def takes_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Let typer see `command` with the fields of its groups in place of the groups."""
    hints = get_type_hints(command, include_extras=True)
    hints.pop("return", None)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    shown: list[inspect.Parameter] = [_CONTEXT]
    for name, parameter in inspect.signature(command).parameters.items():
        if name in groups:
            shown.extend(_options_of(groups[name]))
        else:
            shown.append(
                parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[name])
            )

    @functools.wraps(command)
    def run(**given: Any) -> None:
        context = given.pop(_CONTEXT.name)
        refuse_contradictions(context)
        given[_TYPED] = typed(context)
        values = {
            name: group(**{f.name: given[f.name] for f in fields(group)})
            for name, group in groups.items()
        }
        taken = {_TYPED, *(f.name for group in groups.values() for f in fields(group))}
        command(**{name: value for name, value in given.items() if name not in taken}, **values)

    # An option that two groups have is one option, and both get its value.
    shown = list({parameter.name: parameter for parameter in reversed(shown)}.values())[::-1]
    run.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    return run


def takes_answers(command: Callable[..., None]) -> Callable[..., None]:
    """Let typer accept `-y` and `--no` for `command`, which asks nothing and has no `Common`."""
    signature = inspect.signature(command, eval_str=True)

    @functools.wraps(command)
    def run(*, yes: bool, no: bool, **given: Any) -> None:
        Answers(yes=yes, no=no).refuse_both()
        command(**given)

    answers = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
        for name, kind in (("yes", UnaskedYes), ("no", UnaskedNo))
    ]
    named = [
        each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in signature.parameters.values()
    ]
    run.__signature__ = inspect.Signature([*named, *answers])  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in (*named, *answers)}
    return run


# The field that is no option.
_TYPED = "typed"
_CONTEXT = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)


@functools.cache
def _options_of(group: Any) -> tuple[inspect.Parameter, ...]:
    hints = get_type_hints(group, include_extras=True)
    return tuple(
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(group)
        if field.name != _TYPED
    )
