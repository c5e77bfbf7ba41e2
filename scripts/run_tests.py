"""Run every check and every test.

1. Labs that measure nothing, six files at a time: they wait more than they compute.
2. Labs that measure times or lost packets, one at a time.
3. What failed, once more, with nothing beside it: its deadlines are those of a machine that has
   time for it. Both outcomes are printed; the second counts.

Beside 1 and 2, in processor time that they leave (SCHED_IDLE, sched(7)), run the linters, the
documentation, the tests that compute and wait for nothing, and last those of programs and of times;
their output is printed when they have ended. Arguments go to every run of pytest; with a path among
them nothing else is run.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess  # noqa: TID251 - this script is no part of uno
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Exit statuses of pytest.
TESTS_FAILED = 1
NO_TESTS_COLLECTED = 5
# The exit status of linters or documentation that fail.
CHECKS_FAILED = 99
# Each of these computes; no test in them has a deadline.
COMPUTING = (
    *("tests/golden", "tests/property", "tests/unit/model", "tests/unit/planning"),
    *("tests/unit/reconcile", "tests/unit/registry", "tests/unit/render", "tests/unit/spec"),
    "tests/unit/statesync",
)
ELSEWHERE = tuple(f"--ignore={path}" for path in ("tests/lab", *COMPUTING))
LABS_TOGETHER = ("-m", "lab and not alone", "-n6", "--dist=loadfile", "--no-loadscope-reorder")
LABS_ALONE = ("-m", "lab and alone")
BESIDE = "--beside"
# Octets of memory for temporary files: four times what the tests need.
ENOUGH = 1_000_000_000


def main(arguments: list[str]) -> int:
    """Run all of it; return 0 if all passed."""
    os.chdir(ROOT)
    os.environ["PATH"] = f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"
    # Each run of pytest has several processes, which would all compile all tests again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if arguments[:1] == [BESIDE]:
        yield_to_all_others()
        return checks_and_tests(*arguments[1:])
    obstacle = lab_obstacle()
    if obstacle:
        report(f"The lab is skipped: {obstacle}.")
    if any(Path(each.split("::")[0]).exists() for each in arguments):
        labs = () if obstacle else (LABS_TOGETHER, LABS_ALONE)
        return worst([without_lab(*arguments), *(run("pytest", *lab, *arguments) for lab in labs)])
    with tempfile.TemporaryDirectory() as folder:
        caches = [f"{folder}/labs", f"{folder}/others"]
        if obstacle:
            statuses = [checks_and_tests(caches[1], *arguments)]
        else:
            with beside(caches[1], *arguments) as ended:
                statuses = [
                    run("pytest", *lab, *keeping(caches[0]), "tests/lab", *arguments)
                    for lab in (LABS_TOGETHER, LABS_ALONE)
                ]
                statuses.append(ended())
        if worst(statuses) == TESTS_FAILED:
            report("Tests have failed (see above). They run again, with nothing beside them.")
            statuses = [again(cache, *arguments) for cache in caches if has_failed(cache)]
        return worst(statuses)


def checks_and_tests(cache: str, *arguments: str) -> int:
    """Run linters, documentation, and the tests without a lab: last those that have deadlines."""
    if run("just", "lint", "docs"):
        return CHECKS_FAILED
    return worst(
        [
            without_lab(*keeping(cache), *COMPUTING, *arguments),
            without_lab(*keeping(cache), "tests", *ELSEWHERE, *arguments),
        ]
    )


def keeping(cache: str) -> tuple[str, ...]:
    """Return the options of pytest that keep in a directory which tests have failed."""
    return ("-o", f"cache_dir={cache}")


def has_failed(cache: str) -> bool:
    """Whether a test has failed of those that were kept."""
    return Path(cache, "v/cache/lastfailed").exists()


def again(cache: str, *arguments: str) -> int:
    """Run the tests that have failed, one at a time."""
    failed = ("--last-failed", "--last-failed-no-failures=none")
    return run("pytest", *keeping(cache), *failed, "tests", *arguments)


def without_lab(*arguments: str) -> int:
    """Run tests without a lab on all processors."""
    with in_memory() as memory:
        return run("pytest", "-m", "not lab", "-nauto", *memory, *arguments)


@contextlib.contextmanager
def beside(*arguments: str) -> Iterator[Callable[[], int]]:
    """Run checks and tests without a lab; yield what waits for their end and prints them.

    They have a session of their own: the kernel shares processors by session (autogroups).
    """
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, __file__, BESIDE, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

        def ended() -> int:
            status = process.wait()
            output.seek(0)
            sys.stdout.buffer.write(output.read())
            sys.stdout.flush()
            return status

        try:
            yield ended
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()


def yield_to_all_others() -> None:
    """Take processor time that nothing else wants, from here on, children included."""
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text("19")
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def lab_obstacle() -> str:
    """Return why there can be no lab here, or nothing."""
    if os.geteuid() != 0:
        return "it needs root, for network namespaces"
    if not os.access("/usr/lib/frr/bgpd", os.X_OK):
        return "FRR is not installed (scripts/setup installs it)"
    return ""


@contextlib.contextmanager
def in_memory() -> Iterator[list[str]]:
    """Yield the option of pytest for temporary files in memory, where fsync(2) costs nothing.

    A path of a unix socket has at most 107 octets (unix(7)): this one is shorter than pytest's.
    """
    shared = Path("/dev/shm")  # noqa: S108
    if not shared.is_dir() or shutil.disk_usage(shared).free < ENOUGH:
        yield []
        return
    with tempfile.TemporaryDirectory(prefix="uno-tests.", dir=shared) as made:
        # FRR's daemons read files in it as a user of their own.
        Path(made).chmod(0o711)
        os.environ["TMPDIR"] = made
        yield [f"--basetemp={made}/t"]
        del os.environ["TMPDIR"]


def run(*command: str) -> int:
    """Run a command; return its exit status, 0 where no test was chosen (as with -k)."""
    report(" ".join(command))
    status = subprocess.run(command, check=False).returncode  # noqa: S603
    return 0 if status == NO_TESTS_COLLECTED else status


def worst(statuses: Sequence[int]) -> int:
    """Return the greatest status, 0 if all passed."""
    return max(statuses, key=abs)


def report(line: str) -> None:
    """Print a line at once, in order with what commands print."""
    print(f"\n{line}", flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(sys.argv[1:]))
