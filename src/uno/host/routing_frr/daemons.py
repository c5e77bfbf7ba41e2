"""uno's own FRR: its daemons, their folder, their watchdog.

All of it lives in one folder, sockets included, so that the host's own FRR, and those of other
cells on the machine, never meet it. Sources: FRR 8.4 user manual (Basic Setup, watchfrr, VTY
shell), zebra(8), watchfrr(8), `frr-reload.py --help`.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import re
import shlex
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import groupby
from pathlib import Path

from uno import program
from uno.diagnostics import ActionNeeded, TransientFailure, UnoError
from uno.files import make_open_dir, write_atomic
from uno.host import programs
from uno.host.command import run, start
from uno.host.routing_frr import frr_diff, prefix_limits, seccomp_no_socket_filter, vty
from uno.model.routing_policy import BGP_PORT, LEAST_MAXIMUM_PREFIXES, MAXIMUM_PATHS
from uno.ports.host import Routing, SessionStatus
from uno.render.frr import integrated, startup

PROGRAMS = Path("/usr/lib/frr")
SCRIPT = "daemon.sh"
DAEMONS = ("zebra", "bfdd", "bgpd")  # in the order to start them
RELOAD = PROGRAMS / "frr-reload.py"

# FRR's own, by its packages.
_GROUPS = ("frr", "frrvty")

STOP_SECONDS = 5.0
# A small computer that boots starts all of its services at once.
_START_SECONDS = 30.0

# What a daemon that the watchdog starts may take to record its process, in seconds.
_RECORD_SECONDS = 3.0

# zebra deletes routes of FRR's protocols that it finds and does not learn again within this time,
# which is longer than a graceful restart (15 s).
SWEEP_SECONDS = 150

# A BFD packet or a route that waits for a busy processor costs traffic; FRR's own systemd unit has
# -5 for all. zebra comes before bgpd: a route that was advertised must be in the kernel before more
# are computed. Where that is not permitted, nice(1) warns, and they run at the default niceness.
NICENESS = {"zebra": -15, "bfdd": -15, "bgpd": -10}

# KiB of address space that bgpd may have, which starts with 180,000. It keeps also routes that it
# refuses, 0.5 kB each, and does not limit them; the agent does. Without an agent, too, an attacker
# must not take the memory of the host. A bgpd that ends is restarted, and forwarding goes on
# meanwhile.
BGPD_MEMORY = 1 << 20

# Files that a daemon may have open: a few for each session. Without a bound of its own a daemon
# allocates memory for as many as the host permits (getrlimit(2), RLIMIT_NOFILE), which in a
# container can be a thousand million: 8 GB, and it does not start.
OPEN_FILES = 10_000
_BOUND = f"ulimit -n {OPEN_FILES} 2>/dev/null"

# Where another FRR has routes on this host zebra must never sweep: it would delete them too.
NEVER_SECONDS = 2_000_000_000


def version() -> tuple[int, int]:
    """Return the major and minor version that is installed. Raises `UnoError` if none is."""
    printed = programs.version(PROGRAMS / "zebra")
    found = re.search(r"version (\d+)\.(\d+)", printed)
    if found is None:
        raise ActionNeeded(f"cannot read FRR's version from {printed.splitlines()[:1]}")
    return int(found[1]), int(found[2])


class Frr:
    """The FRR of one cell. `folder` holds its configuration, sockets, process ids and log."""

    def __init__(self, folder: Path) -> None:
        """Use `folder`, which is made when FRR is first started.

        This process joins FRR's groups: root without CAP_DAC_OVERRIDE would be refused the sockets
        of daemons, which run as another user.
        """
        _join_groups()
        self._folder = folder
        self._kept = {name: vty.VtyConnection(folder / f"{name}.vty") for name in DAEMONS}
        self._limits: tuple[prefix_limits.PrefixLimit, ...] = ()
        self._limits_of = 0

    def running(self) -> Routing | None:
        """Return the configuration, if the watchdog and every daemon run.

        Where another program has changed the running configuration it is that one, as FRR shows it.
        """
        found = self._configured()
        if not found or not all(self._alive(name) for name in ("watchfrr", *dict(found))):
            return None
        recorded = self._recorded()
        shown = self.shown() if recorded else ()
        return Routing(daemons=shown if shown and frr_diff.differ(shown, recorded) else found)

    def shown(self) -> frr_diff.Texts:
        """Return each running configuration as FRR shows it; none if a daemon is silent."""
        try:
            return tuple(
                (name, vty.query(self._folder, name, "show running-config"))
                for name, _ in self._configured()
            )
        except OSError:
            return ()

    def fingerprint(self) -> tuple[bytes | None, ...]:
        """Return what each daemon shows as its running configuration, None where it is silent."""
        return vty.query_all([(each, "show running-config") for each in self._kept.values()])

    def leftovers(self) -> bool:
        """Whether anything of an earlier start is there."""
        return self._folder.exists()

    def start(self, routing: Routing, *, others_have_routes: bool) -> None:
        """Start the daemons and their watchdog, and wait until they answer.

        Those that run already with this very configuration are left alone.
        """
        programs.require(required_programs())
        script = self._folder / SCRIPT
        is_new = not script.exists() or self._configured() != routing.daemons
        if is_new:
            self.stop()
            sweep = NEVER_SECONDS if others_have_routes else SWEEP_SECONDS
            self._make_folder(script, sweep, routing)
        self._unless_it_runs("bgpd", _require_port)
        for name, _ in routing.daemons:
            self._unless_it_runs(name, partial(run, [*_shell(script), "start", name]))
        if self._alive("watchfrr") is None:
            start(self.watchdog(routing), log=self._folder / "watchfrr.log")
        self._await_sockets([name for name, _ in routing.daemons])
        if is_new:
            self._record_shown()

    def reload(self, routing: Routing) -> None:
        """Change the running daemons to `routing`, by the difference alone.

        New filters take effect at once, and no session ends that both configurations have.
        """
        before = self._configured()
        try:
            self._revert()
            self._apply(before, routing)
        except (frr_diff.Unknown, UnoError, OSError):
            # A difference of another kind, or a changed running configuration: compare all of it.
            self._compare_all(routing)
        if not before or frr_diff.filters_differ(before, routing.daemons):
            self._refilter(dict(routing.daemons)["bgpd"])
        if not before or frr_diff.exports_differ(before, routing.daemons):
            self._advertise_again()
        self._write(routing)
        self._record_shown()

    def _revert(self) -> None:
        """Revert what another program has changed. Raises `UnoError`, `Unknown`, OSError."""
        recorded = self._recorded()
        shown = self.shown() if recorded else ()
        if not shown or not frr_diff.differ(shown, recorded):
            return
        self._configure(frr_diff.reverting(shown, recorded))
        if frr_diff.differ(self.shown(), recorded):
            raise TransientFailure("FRR did not revert its running configuration")
        self._refilter(dict(self._configured())["bgpd"])

    def _apply(self, before: tuple[tuple[str, str], ...], routing: Routing) -> None:
        """Apply the difference between two texts. Raises `UnoError`, `Unknown`, OSError."""
        self._configure(frr_diff.steps(before, routing.daemons))
        old = dict(before)
        for daemon, text in routing.daemons:
            if text != old[daemon]:
                shown = vty.query(self._folder, daemon, "show running-config")
                if left := frr_diff.missing(shown, old[daemon], text):
                    raise TransientFailure(f"FRR's {daemon} did not apply: {'; '.join(left)}")

    def _configure(self, steps: Iterable[frr_diff.Step]) -> None:
        for daemon, group in groupby(steps, key=lambda each: each.daemon):
            vty.configure(self._folder, daemon, [each.commands for each in group])

    def drop_routes(self, neighbor: str) -> None:
        """Remove the stale routes (RFC 4724) of a neighbour whose session is down.

        bgpd keeps them for the restart time, and no command clears them; but it removes those of
        a neighbour that is shut down (`peer_flag_modify_action` in bgpd/bgpd.c). Raises `UnoError`
        if bgpd does not respond.
        """
        router = _router(dict(self._configured()).get("bgpd", ""))
        shutdown = f"neighbor {neighbor} shutdown"
        with _answering():
            # One step: this process may be killed between two, and leave the neighbour shut down.
            vty.configure(self._folder, "bgpd", [(router, shutdown, f"no {shutdown}", "exit")])

    def end_sessions_over_limit(self) -> tuple[str, ...]:
        """End the sessions of neighbours that advertise more than they may, refused ones included.

        Returns their addresses. Raises `UnoError` if bgpd does not respond.
        """
        bgpd = self._kept["bgpd"]
        count = prefix_limits.prefix_count(bgpd.query(prefix_limits.COUNT))
        if count <= LEAST_MAXIMUM_PREFIXES:
            return ()
        limits = [each for each in self._prefix_limits() if each.limit < count]
        over = [each for each in limits if each.is_exceeded(bgpd.query(each.query))]
        if over:
            router = _router(dict(self._configured()).get("bgpd", ""))
            with _answering():
                vty.configure(self._folder, "bgpd", [each.ending(router) for each in over])
        return tuple(sorted({each.neighbor for each in over}))

    def _prefix_limits(self) -> tuple[prefix_limits.PrefixLimit, ...]:
        """Return the limits of the running configuration; it may have 130 kB."""
        path = self._folder / "bgpd.conf"
        with suppress(FileNotFoundError):
            written = path.stat().st_mtime_ns
            if written != self._limits_of:
                self._limits = tuple(prefix_limits.prefix_limits(path.read_text()))
                self._limits_of = written
        return self._limits

    def reinstall_routes(self) -> None:
        """Have zebra, if it runs, install the routes of bgpd again. Raises `UnoError`.

        With an address the kernel removes the routes that it is the source of, and does not notify
        zebra (`fib_sync_down_addr` in net/ipv4/fib_semantics.c). A changed route-map for a protocol
        makes zebra install that protocol's routes again, also where it is the same afterwards.
        """
        if self._alive("zebra") is None:
            return
        text = dict(self._configured()).get("zebra", "")
        maps = [line for line in text.splitlines() if " protocol bgp " in line]
        with _answering("zebra"):
            vty.configure(self._folder, "zebra", [(f"no {line}", line) for line in maps])

    def _refilter(self, text: str) -> None:
        """Apply the import filters to all received routes again, and select routes.

        Raises `UnoError` if bgpd, which runs with the configuration `text`, does not respond.
        """
        router, paths = _router(text), f"maximum-paths {MAXIMUM_PATHS}"
        with _answering():
            for family in ("ipv4", "ipv6"):
                vty.query(self._folder, "bgpd", f"clear bgp {family} unicast * soft in")
            # bgpd runs no route selection for an update that arrives meanwhile, and drops a later
            # copy as a duplicate: the former path stays until another event (BGP_NODE_SOFT_RECONFIG
            # in `bgp_process`, "Same attribute comes in" in `bgp_update`, both in
            # bgpd/bgp_route.c). Setting the number of paths makes it select again.
            select = (router, "address-family ipv4 unicast", paths, "exit-address-family", "exit")
            vty.configure(self._folder, "bgpd", [select])

    def _advertise_again(self) -> None:
        """Apply the export filters to all routes again: `bgp route-map delay-timer 0` prevents it.

        Raises `UnoError` if bgpd does not respond.
        """
        with _answering():
            for family in ("ipv4", "ipv6"):
                vty.query(self._folder, "bgpd", f"clear bgp {family} unicast * soft out")

    def _compare_all(self, routing: Routing) -> None:
        path = self._folder / "frr.conf"
        write_atomic(path, integrated(routing.daemons).encode(), mode=0o640, durable=False)
        here = str(self._folder)
        words = [str(RELOAD), "--reload", "--stdout", "--log-level", "error", "--vty_socket", here]
        try:
            words += ["--confdir", here, "--rundir", here, "--bindir", "/usr/bin", str(path)]
            run(words, env=self._home)
        except UnoError:
            # It may have applied a part: the files no longer describe what runs.
            (self._folder / "bgpd.conf").unlink(missing_ok=True)
            raise

    def stop(self) -> None:
        """Shut all sessions down administratively, end the daemons, and remove the folder."""
        if not self.leftovers():
            return
        self._end("watchfrr")
        with suppress(UnoError, FileNotFoundError):
            self._shut_sessions_down()
        for name in reversed(DAEMONS):
            self._end(name)
        shutil.rmtree(self._folder, ignore_errors=True)

    def sessions(self) -> tuple[SessionStatus, ...]:
        """Return the BGP sessions, or none where a daemon does not answer."""
        return vty.sessions(self._kept["bgpd"], self._kept["bfdd"])

    def _shut_sessions_down(self) -> None:
        # Without it the neighbours would assume a graceful restart, and send to this cell for the
        # whole restart time. An administrative shutdown is a hard reset (RFC 8538, 9003).
        router = _router((self._folder / "bgpd.conf").read_text())
        words = ["vtysh", "--vty_socket", str(self._folder), "-d", "bgpd"]
        for command in ("configure terminal", router, "bgp shutdown message uno service down"):
            words += ["-c", command]
        run(words, timeout=5, env=self._home)

    @property
    def _home(self) -> dict[str, str]:
        """The environment of vtysh, which writes the file `.history_frr` to its home."""
        return {"HOME": str(self._folder)}

    def _write(self, routing: Routing) -> None:
        """Record the configuration, and write what a daemon reads when it starts."""
        group = _frr_user().pw_gid
        for name, text in routing.daemons:
            files = {f"{name}.startup": startup(text), f"{name}.conf": text}
            for path, content in ((self._folder / file, files[file]) for file in files):
                write_atomic(path, content.encode(), mode=0o640, durable=False)
                os.chown(path, -1, group)

    def watchdog(self, routing: Routing) -> list[str]:
        """Return the words that start the watchdog of these daemons, which runs `script`."""
        script = self._folder / SCRIPT
        # In a pathspace whose folder does not exist, watchfrr makes no socket and no started file;
        # without a pathspace it uses those of the host's own watchfrr, -S or not.
        words = ["sh", "-c", f'{_BOUND}; exec "$@"', "sh", str(PROGRAMS / "watchfrr")]
        words += ["-N", f"uno-{self._folder.parent.name}", "-S", str(self._folder)]
        words += ["-p", str(self._folder / "watchfrr.pid"), "-i", "1", "-t", "10", "-T", "5"]
        words += ["--min-restart-interval", "1", "--max-restart-interval", "30"]
        command = shlex.join(_shell(script))
        words += ["-s", f"{command} start %s", "-r", f"{command} restart %s"]
        words += ["-k", f"{command} stop %s"]
        return [*words, *(name for name, _ in routing.daemons)]

    def _await_sockets(self, names: list[str]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        waiting = [self._folder / f"{name}.vty" for name in names]
        waiting.append(self._folder / "watchfrr.pid")
        while missing := [path for path in waiting if not path.exists()]:
            if time.monotonic() > deadline:
                log = self._folder / "frr.log"
                output = log.read_text(errors="replace")[-500:] if log.exists() else ""
                raise TransientFailure(
                    f"FRR's {missing[0].stem} did not start: {output}".rstrip(": ")
                )
            threading.Event().wait(0.01)

    def _make_folder(self, script: Path, sweep: int, routing: Routing) -> None:
        group = _frr_user().pw_gid
        make_open_dir(self._folder.parent)
        self._folder.mkdir(mode=0o700)
        # The daemons write by their group: root without capabilities can give nothing to a user.
        os.chown(self._folder, -1, group)
        self._folder.chmod(0o770)
        log = self._folder / "frr.log"
        log.touch(mode=0o600)
        os.chown(log, -1, group)
        log.chmod(0o660)
        self._write(routing)
        helper = program.helper(seccomp_no_socket_filter.__file__, program.SOCKET_FILTER_OPTION)
        text = daemons_script(self._folder, sweep, helper=helper)
        write_atomic(script, text.encode(), durable=False)

    def _configured(self) -> tuple[tuple[str, str], ...]:
        paths = [(name, self._folder / f"{name}.conf") for name in DAEMONS]
        return tuple((name, path.read_text()) for name, path in paths if path.exists())

    def _record_shown(self) -> None:
        """Record the running configuration: FRR shows it in other terms than it was given."""
        for name, text in self.shown():
            path = self._folder / f"{name}.shown"
            write_atomic(path, text.encode(), mode=0o640, durable=False)

    def _recorded(self) -> frr_diff.Texts:
        """Return what was recorded; none where a daemon's is missing."""
        paths = [(name, self._folder / f"{name}.shown") for name, _ in self._configured()]
        if not all(path.exists() for _, path in paths):
            return ()
        return tuple((name, path.read_text()) for name, path in paths)

    def _alive(self, name: str) -> int | None:
        return _pid(self._folder / f"{name}.pid", self._folder)

    def _unless_it_runs(self, name: str, call: Callable[[], object]) -> None:
        """Call it, unless a daemon runs. The watchdog may start that one at the same moment.

        Raises `UnoError` as the call does, where the daemon does not run afterwards either.
        """
        if self._alive(name) is not None:
            return
        try:
            call()
        except UnoError:
            deadline = time.monotonic() + _RECORD_SECONDS
            while self._alive(name) is None:
                if self._alive("watchfrr") is None or time.monotonic() > deadline:
                    raise
                threading.Event().wait(0.01)

    def _end(self, name: str) -> None:
        pid = self._alive(name)
        if pid is None:
            return
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                with suppress(ProcessLookupError):
                    os.kill(pid, sign)
            except PermissionError as error:
                raise ActionNeeded(
                    f"this process may not end FRR's {name}, process {pid} of another user",
                    "run it as root, in a container with the capability KILL",
                ) from error
            deadline = time.monotonic() + STOP_SECONDS
            while self._alive(name) == pid and time.monotonic() < deadline:
                threading.Event().wait(0.01)
            if self._alive(name) != pid:
                return
        raise TransientFailure(f"FRR's {name} (process {pid}) does not end")


def _frr_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("frr")
    except KeyError as error:
        raise ActionNeeded(
            "this host has no user frr, which FRR's daemons run as",
            "install the package frr again: it makes the user",
        ) from error


def _join_groups() -> None:
    """Add FRR's groups to those of this process, if it may; its user's, and that of its sockets."""
    groups = {each.gr_gid for each in grp.getgrall() if each.gr_name in _GROUPS}
    with suppress(PermissionError):
        os.setgroups(sorted({*os.getgroups(), *groups}))


def _shell(script: Path) -> list[str]:
    """Return the words that run a script. It is not executed: /run may be mounted noexec."""
    return ["sh", str(script)]


@contextmanager
def _answering(daemon: str = "bgpd") -> Iterator[None]:
    """Raise `UnoError` where a daemon does not respond."""
    try:
        yield
    except OSError as error:
        raise TransientFailure(f"FRR's {daemon} does not respond: {error}") from error


def _router(text: str) -> str:
    """Return the command that enters the router block of a configuration of bgpd."""
    return next((line for line in text.splitlines() if line.startswith("router bgp ")), "")


def required_programs() -> tuple[str, ...]:
    """Return the programs of FRR that uno runs."""
    return (*(str(PROGRAMS / name) for name in (*DAEMONS, "watchfrr", "frr-reload.py")), "vtysh")


def _require_port() -> None:
    """Raise `UnoError` where another program has the port: bgpd would run unreachable."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as one:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                one.bind(("", BGP_PORT))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ActionNeeded(
                    f"another program has TCP port {BGP_PORT}, which uno's BGP listens on",
                    "find it with `ss -ltnp`, and end it",
                ) from error


def _pid(path: Path, folder: Path) -> int | None:
    """Return the process of a pid file, if it runs and is not another with the same number."""
    try:
        pid = int(path.read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        ended = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (OSError, ValueError):
        return None
    return pid if str(folder) in command and not ended else None


def daemons_script(folder: Path, sweep: int, *, helper: Sequence[str] = ()) -> str:
    """Return the shell script that starts and stops the daemons in `folder`.

    zebra deletes the routes of an earlier start after `sweep` seconds. `helper` are the words that
    start bfdd without the right to set socket filters; where there is none, it runs as it is.
    """
    here = shlex.quote(str(folder))
    needed = [each for each in helper if each.startswith("/")]
    there = " && ".join(f"[ -r {shlex.quote(each)} ]" for each in needed) or "false"
    return f"""\
# Starts and stops uno's FRR daemons; FRR's watchdog runs it too.
here={here}
# vtysh writes its history there.
HOME=$here
export HOME
without_socket_filter() {{
  # uno may have been moved since this file was written.
  if {there}; then {shlex.join(helper)} "$@"; else "$@"; fi
}}
stop() {{
  pid=$(cat "$here/$1.pid" 2>/dev/null) || return 0
  kill "$pid" 2>/dev/null || return 0
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    kill -0 "$pid" 2>/dev/null || return 0
    sleep 0.1
  done
  kill -9 "$pid" 2>/dev/null || return 0
}}
begin() {{
  within= memory=unlimited
  # --v6-rr-semantics: replace an IPv6 route in one step, as Linux can and zebra does not expect.
  case $1 in
    zebra) nice={NICENESS["zebra"]} extra="-s 2000000 --v6-rr-semantics -K {sweep}" ;;
    # FRR 10 has no such socket, and no option for it.
    bfdd)
      nice={NICENESS["bfdd"]} within=without_socket_filter
      extra=$({PROGRAMS}/bfdd --help | grep -q bfdctl && echo "--bfdctl $here/bfdd.sock")
      ;;
    bgpd) nice={NICENESS["bgpd"]} extra="-p {BGP_PORT}" memory={BGPD_MEMORY} ;;
    *) exit 2 ;;
  esac
  common="--vty_socket $here -z $here/zserv.api -P 0 -f $here/$1.startup -i $here/$1.pid"
  logging="--log file:$here/frr.log --log-level notifications"
  (
    {_BOUND}
    ulimit -v "$memory" 2>/dev/null
    $within nice -n "$nice" {PROGRAMS}/"$1" -d $common $logging $extra
  ) >"$here/$1.start" 2>&1 || {{
    cat "$here/$1.start" >&2
    return 1
  }}
  # With autogroup scheduling, nice has effect within a session only (sched(7), "The autogroup
  # feature"), and a daemon has a session of its own.
  {{ echo "$nice" >"/proc/$(cat "$here/$1.pid")/autogroup"; }} 2>/dev/null || :
}}
alive() {{
  pid=$(cat "$here/$1.pid" 2>/dev/null) && kill -0 "$pid" 2>/dev/null
}}
resend_routes() {{
  # bgpd does not send its routes to a new zebra (bgp_zebra_connected in bgp_zebra.c), which sweeps
  # those that the former one left in the kernel. Removing a table-map, also where there is none,
  # makes bgpd send all of them again. It connects within 10 s (lib/zclient.c).
  for _ in $(seq 60); do
    vtysh --vty_socket "$here" -d zebra -c 'show zebra client summary' | grep -q '^bgp ' && break
    sleep 0.5
  done
  vtysh --vty_socket "$here" -d bgpd -c 'configure terminal' \\
    -c "$(grep '^router bgp' "$here/bgpd.conf")" \\
    -c 'address-family ipv4 unicast' -c 'no table-map all' -c exit-address-family \\
    -c 'address-family ipv6 unicast' -c 'no table-map all'
}}
case $1-$2 in
  # The watchdog runs this when zebra has died. The others connect to the new one by themselves;
  # a restart would cost their sessions.
  restart-all)
    for daemon in zebra bfdd bgpd; do alive $daemon || begin $daemon; done
    resend_routes </dev/null >/dev/null 2>&1 &
    ;;
  start-*) begin "$2" ;;
  stop-*) stop "$2" ;;
  restart-*) stop "$2"; begin "$2" ;;
  *) exit 2 ;;
esac
"""
