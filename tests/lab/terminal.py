"""Sessions of commands on the hosts of a lab, each at a terminal of 80 columns.

A session is a text: a title, then commands with what they print, and comments between them.

    # A title.

    registry# uno status
    what it prints

    # A comment.

A command begins with the name of its host. It runs in the host's home, or where `cd` has led; `&`
at its end starts it in the background, one on each host, and `kill %1` ends it. `scp`
copies to another host, and `poweroff` ends all that runs on a host and empties its disk. An answer
to a question is what follows it in the text.
"""

from __future__ import annotations

import os
import re
import select
import shlex
import shutil
import sys
import termios
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from prefork import Prefork
from watching import await_true, power_cut

from sessions import masked
from uno import control
from uno.diagnostics import UnoError
from uno.lab.agents import is_settled
from uno.lab.node import Node, Program
from uno.lab.world import World
from uno.model.status import UvnView

COLUMNS = 80
_LINES = 50
# Seconds that a command may take.
_LONGEST = 150.0
_QUESTION = re.compile(r"\[y/N\]: $")
_PROMPT = re.compile(r"(?m)^((New p|P)ass(word|phrase) of .*|Once more): \Z")
_ANSWERED = re.compile(r"\[y/N\]: (\w+)$", re.MULTILINE)
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# Seconds until agents are at rest after a change; this machine runs all of them.
_REST = 120.0
_SOCKET = "run/uno/*/agent.sock"

# What varies, beside what varies in every session: durations, ages, measurements, the host.
_MASKS = (
    (r"\(\d+\.\d s\)", "(1.0 s)"),
    (r"process \d+", "process 1000"),
    (r"\d+ KiB", "100 KiB"),
    (r"time=[\d.]+ ms", "time=1.0 ms"),
    (r"(?m)^(rtt|.*packets transmitted).*\n", ""),
    (r"WireGuard: .*", "WireGuard: (kernel or userspace)"),
    (r"\d+ (s|min) ago +", "1 s ago    "),
    # The status of a UVN, whose columns are as wide as what varies in them.
    (r" +SEEN", "  SEEN"),
    (r"(?<=\d)(?<!IPv6) {8,}(?=\w)", "        "),
    (r" +\d+ (s|min)(?=  )", "   1 s"),
    (r"(?m)^LINK +STATE .*$", "LINK  STATE  …"),
    (r"(?m)^(\S+ – \S+) +up .*$", r"\1  up  …"),
)
# What cells report during `uno sync`: in any order, and some of it passes too fast to be seen.
_REPORT = re.compile(r"(?m)^(?:waiting: )?[\w-]+  .*\n(?:  .*\n)*")
_PASSING = re.compile(
    r"^waiting|has staged|switched to|confirmed|in contact|contact lost|does not reach"
    r"|reaches every LAN"
)


def typed(terminal: int, answers: Iterable[str]) -> str:
    """Type what a program at a terminal asks for, and return what the terminal shows at its end.

    Each answer is typed after a question, and a password after each prompt for one, or for a
    passphrase. Colours are left out. `terminal` is the near end, which is closed.
    """
    left = list(answers)
    deadline = time.monotonic() + _LONGEST
    shown = b""
    try:
        while (more := _read(terminal, deadline)) is not None:
            shown += more
            text = shown.decode(errors="replace").replace("\r\n", "\n")
            if left and _QUESTION.search(text):
                os.write(terminal, f"{left.pop(0)}\n".encode())
            if _PROMPT.search(text):
                os.write(terminal, b"five random words or more\n")
    finally:
        os.close(terminal)
    return _CONTROL.sub("", shown.decode(errors="replace")).replace("\r\n", "\n")


def _read(terminal: int, deadline: float) -> bytes | None:
    """Return what the terminal shows next, None at its end."""
    readable, _, _ = select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))
    assert readable, f"the command does not end within {_LONGEST} s"
    try:
        return os.read(terminal, 65536) or None
    except OSError:
        # Linux reports the end of a terminal's other side as EIO.
        return None


@dataclass(kw_only=True)
class Terminals:
    """A terminal on each host of a world."""

    world: World
    prefork: Prefork
    _places: dict[str, Path] = field(default_factory=dict)
    _started: dict[str, Program] = field(default_factory=dict)

    def play(self, script: str) -> Iterator[str]:
        """Yield the script's comments and commands, with what the commands print now."""
        names = "|".join(map(re.escape, self.world.nodes))
        blocks = re.split(rf"(?m)^(?=(?:{names})# )", script)
        yield blocks[0]
        for block in blocks[1:]:
            command, _, rest = block.partition("\n")
            host, _, words = command.partition("# ")
            comments = [line for line in rest.splitlines() if line.startswith("# ")]
            yield f"{command}\n"
            yield self._printed(self.world.nodes[host], words, _ANSWERED.findall(rest))
            yield "\n" + "".join(f"{line}\n" for line in comments)

    def stop(self) -> None:
        """End all that was started in the background."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda program: program.stop(within=60), self._started.values()))

    def _printed(self, node: Node, words: str, answers: Sequence[str]) -> str:
        match shlex.split(words):
            case ["cd", place]:
                self._places[node.name] = self._path(node, place)
            case ["scp", *files, target]:
                self._copy(node, files, target)
            case ["kill", "%1"]:
                self._started.pop(node.name).stop(within=60)
            case ["poweroff"]:
                self._power_off(node)
            case [*_, "&"]:
                self._start(node, words.removesuffix(" &"))
            case _:
                return self._run(node, words, answers)
        return ""

    def _run(self, node: Node, words: str, answers: Sequence[str]) -> str:
        if "sync" in words.split():
            self._await_agents()
        if "status" in words.split():
            self._await_agents()
            self._await_rest()
        place = self._places.get(node.name, node.directory)
        program, *arguments = shlex.split(words)
        if program == "uno":
            near, far = os.openpty()
            termios.tcsetwinsize(far, (_LINES, COLUMNS))
            ended = self.prefork.at_terminal(
                node, *arguments, terminal=far, directory=place, env=_environment(node)
            )
            shown, status = typed(near, answers), ended()
        else:
            shell = ("sh", "-c", f"cd {shlex.quote(str(place))} && {words}")
            done = node.run(shell, check=False)
            shown, status = done.stdout + done.stderr, done.status
        text = _comparable(shown, home=node.directory)
        if "sync" in words.split():
            text = _without_passing(text)
        return text + (f"(exit status {status})\n" if status else "")

    def _start(self, node: Node, words: str) -> None:
        place = self._places.get(node.name, node.directory)
        shell = ("sh", "-c", f"cd {shlex.quote(str(place))} && exec {words}")
        log = node.directory / "background.log"
        self._started[node.name] = node.start(shell, log=log, env=_environment(node))

    def _copy(self, node: Node, files: Iterable[str], target: str) -> None:
        host, _, place = target.partition(":")
        into = self.world.nodes[host]
        for each in files:
            shutil.copy(self._path(node, each), self._path(into, place or "."))

    def _power_off(self, node: Node) -> None:
        power_cut(node)
        self._started.pop(node.name).wait(60)
        shutil.rmtree(node.directory / "uvn", ignore_errors=True)

    def _path(self, node: Node, place: str) -> Path:
        return (self._places.get(node.name, node.directory) / place).resolve()

    def _await_agents(self) -> None:
        """Wait until every agent that was started serves, as a person who types does."""
        for name in self._started:
            found = self.world.nodes[name].directory
            await_true(
                lambda found=found: any(map(control.is_served, found.glob(_SOCKET))),
                f"the agent of {name} serves",
                within=_REST,
            )

    def _await_rest(self) -> None:
        """Wait until every agent that serves sees all cells settled and all links up."""
        await_true(
            lambda: all(map(_is_at_rest, self._views())), "the agents are at rest", within=_REST
        )

    def _views(self) -> Iterator[UvnView | None]:
        for node in self.world.nodes.values():
            for socket in node.directory.glob(_SOCKET):
                try:
                    yield control.request_view(socket, control.ControlRequest.VIEW)
                except control.NoAgent:
                    # Left by one that was killed.
                    continue
                except UnoError:
                    yield None


def _is_at_rest(view: UvnView | None) -> bool:
    if view is None or not is_settled(view):
        return False
    return all(link.works for cell in view.cells if cell.status for link in cell.status.links)


def _comparable(shown: str, *, home: Path) -> str:
    """Return what a terminal shows without what varies."""
    text = masked(shown.replace(str(home), "~"))
    text = "".join(f"{line.rstrip()}\n" for line in text.splitlines())
    for pattern, mask in _MASKS:
        text = re.sub(pattern, mask, text)
    return text


def _without_passing(text: str) -> str:
    """Return the output of `uno sync` with the faults of cells, without their progress."""
    reports = [found[0] for found in _REPORT.finditer(text)]
    return "".join(sorted(each for each in reports if not _PASSING.search(each))) + _REPORT.sub(
        "", text
    )


def _environment(node: Node) -> dict[str, str]:
    path = os.pathsep.join((str(Path(sys.executable).parent), "/usr/bin", "/bin"))
    home = str(node.directory)
    return {"HOME": home, "PATH": path, "TERM": "xterm", "LANG": "C.UTF-8", "SUDO_USER": "jane"}
