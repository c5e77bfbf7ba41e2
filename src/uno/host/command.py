"""Runs other programs: the only module that starts processes."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from uno.diagnostics import ACTIVITY, ActionNeeded, TransientFailure

_log = logging.getLogger(__name__)


class Completed(Struct, frozen=True, kw_only=True):
    """The result of a program that has ended."""

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str


PACKAGES = {
    "bfdd": "frr",
    "bgpd": "frr",
    "frr-reload.py": "frr-pythontools",
    "ip": "iproute2",
    "ip6tables": "iptables",
    "ip6tables-restore": "iptables",
    "iptables": "iptables",
    "iptables-restore": "iptables",
    "nft": "nftables",
    "nice": "coreutils",
    "sh": "dash",
    "systemctl": "systemd",
    "tc": "iproute2",
    "vtysh": "frr",
    "watchfrr": "frr",
    "wg": "wireguard-tools",
    "wireguard-go": "wireguard-go",
    "zebra": "frr",
}
"""The Debian package of each program that uno runs on a host."""


class ProgramMissing(ActionNeeded):
    """A program is not installed."""

    def __init__(self, argv: Sequence[str]) -> None:
        """Name the command as it would be typed."""
        package = PACKAGES.get(Path(argv[0]).name)
        super().__init__(
            f"command `{shlex.join(argv)}` was not found: {argv[0]} is not installed",
            f"install the package {package}" if package else "install the package that holds it",
        )


class CommandFailed(TransientFailure):
    """A program could not be started, ended with a failure, or did not end in time."""

    def __init__(
        self, argv: Sequence[str], reason: str, *, stderr: str = "", hint: str = ""
    ) -> None:
        """Include the command as typed in a shell, and its error output."""
        self.argv = tuple(argv)
        self.stderr = stderr.strip()
        output = f": {self.stderr}" if self.stderr else ""
        super().__init__(f"command `{shlex.join(argv)}` {reason}{output}", hint)


def run(
    argv: Sequence[str],
    *,
    stdin: bytes | str | None = None,
    timeout: float = 30,
    env: Mapping[str, str] | None = None,
    check: bool = True,
) -> Completed:
    """Run a program to its end. Raises `ProgramMissing`, and `CommandFailed` if it fails.

    With `check=False` an exit status other than 0 is returned, not raised.
    `env` is added to what every program gets (`_environment`). `timeout` is in seconds.
    """
    given = stdin.encode() if isinstance(stdin, str) else stdin
    began = time.monotonic()
    try:
        done = subprocess.run(
            list(argv),
            input=given,
            stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True,
            timeout=timeout,
            env=_environment(env),
            check=False,
        )
    except FileNotFoundError as error:
        raise ProgramMissing(argv) from error
    except OSError as error:
        raise CommandFailed(argv, f"could not be started ({error.strerror})") from error
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(argv, f"did not end within {timeout:g} s") from error
    completed = Completed(
        argv=tuple(argv),
        status=done.returncode,
        stdout=done.stdout.decode(errors="replace"),
        stderr=done.stderr.decode(errors="replace"),
    )
    _record(completed, time.monotonic() - began)
    if check and completed.status != 0:
        raise CommandFailed(argv, f"ended with status {completed.status}", stderr=completed.stderr)
    return completed


def _record(completed: Completed, seconds: float) -> None:
    # Standard output may hold keys (`wg show all dump`).
    command = shlex.join(completed.argv)
    _log.log(ACTIVITY, "ran `%s`: status %d, %.3f s", command, completed.status, seconds)
    for line in completed.stderr.splitlines():
        _log.debug("%s: %s", completed.argv[0], line)


class Process(Struct, frozen=True):
    """A program running in the background, in a session of its own."""

    popen: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.popen.pid

    def status(self) -> int | None:
        """Its exit status, or None while it runs."""
        return self.popen.poll()

    def stop(self, *, within: float = 5) -> int:
        """Send SIGTERM, after `within` seconds SIGKILL, and return the exit status."""
        self.popen.terminate()
        try:
            return self.popen.wait(within)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            return self.popen.wait()

    def kill(self) -> int:
        """Kill it unless it has ended, and return the exit status."""
        self.popen.kill()
        return self.popen.wait()

    def ended(self, *, within: float) -> int | None:
        """Wait until it has ended, and return the exit status; None if it still runs then."""
        try:
            return self.popen.wait(within)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises `CommandFailed` after `timeout` seconds."""
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise CommandFailed(_argv(self.popen), f"did not end within {timeout:g} s") from error


def start(
    argv: Sequence[str], *, log: Path | None = None, env: Mapping[str, str] | None = None
) -> Process:
    """Start a program in the background, its output appended to `log`, or dropped.

    Output never goes to a pipe: a daemon that keeps the pipe open would block its reader.
    """
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if log else None
    try:
        return Process(
            subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if output is None else output,
                stderr=subprocess.STDOUT,
                env=_environment(env),
                start_new_session=True,
            )
        )
    except FileNotFoundError as error:
        raise ProgramMissing(argv) from error
    except OSError as error:
        raise CommandFailed(argv, f"could not be started ({error.strerror})") from error
    finally:
        if output is not None:
            os.close(output)


def start_child(
    argv: Sequence[str], *, descriptor: int, errors: int, env: Mapping[str, str]
) -> Process:
    """Start a program with the open file `descriptor`, and no environment but `env`.

    It writes its errors to the file `errors`.
    """
    try:
        return Process(
            subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env=dict(env),
                pass_fds=(descriptor,),
                start_new_session=True,
            )
        )
    except OSError as error:
        raise CommandFailed(argv, f"could not be started ({error.strerror})") from error


# Where Python and native libraries are found. A child gets no other variable: secrets may be there.
_OF_CHILDREN = ("PYTHONHOME", "PYTHONPATH", "LD_LIBRARY_PATH", "CYCLONEDDS_HOME", "NDDSHOME")


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a process without rights, of those of its agent."""
    kept = {name: environ[name] for name in _OF_CHILDREN if name in environ}
    return {"PATH": search_path(), "LC_ALL": "C.UTF-8", **kept}


def find(program: str) -> str | None:
    """Return the path of a program, None where it is not installed."""
    return shutil.which(program, path=search_path())


def search_path() -> str:
    """Return the directories of programs: those of PATH, then those that it leaves out.

    cron, `su` without `-`, and users' shells have a PATH without the directories of system
    administration, where `nft`, `tc` and `iptables` are.
    """
    given = [each for each in os.environ.get("PATH", "").split(os.pathsep) if each]
    return os.pathsep.join(dict.fromkeys((*given, *_DIRECTORIES)))


# Where programs are by hier(7).
_DIRECTORIES = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


def _argv(popen: subprocess.Popen[bytes]) -> tuple[str, ...]:
    given = popen.args
    return tuple(map(str, given)) if isinstance(given, list | tuple) else (str(given),)


# Variables of this process that programs get, if it has them. The others may hold secrets.
_INHERITED = ("HOME", "TMPDIR", "TZ")


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    """Return the variables of a program, `extra` included."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    # LC_ALL=C: messages that are parsed or shown are the documented ones. PATH is also what
    # `subprocess` searches for the program.
    return {**inherited, "PATH": search_path(), "LC_ALL": "C", **(extra or {})}
