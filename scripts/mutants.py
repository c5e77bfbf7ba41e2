"""Applies hand-made mutants to a copy of the tree, one by one, and runs the tests named for each.

    python scripts/mutants.py                  every mutant of tests/mutants.toml
    python scripts/mutants.py planning commit  those whose id starts with one of these
    python scripts/mutants.py --jobs 1 --list

A mutant is killed if a test fails. Exit status 1: a mutant survives, or cannot be applied because
its old text is not there exactly once (it is stale). Exit status 2: the tests fail without any.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CATALOGUE = ROOT / "tests" / "mutants.toml"
NOT_COPIED = shutil.ignore_patterns(
    ".*_cache", ".git", ".hypothesis", ".venv*", "__pycache__", "*.log", "site"
)
# A mutant that makes a loop endless counts as killed after this many seconds.
TIMEOUT = 600.0


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One change of one file: `old`, which is there exactly once, becomes `new`."""

    id: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


class Verdict(StrEnum):
    """What the tests made of a mutant."""

    KILLED = "killed"
    SURVIVED = "survived"
    STALE = "stale"
    # pytest ended otherwise: the mutant does not import, or a named test is not there.
    INVALID = "invalid"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A mutant, its verdict, and why or by which test."""

    mutant: Mutant
    verdict: Verdict
    detail: str
    seconds: float


class Scratch:
    """A copy of the tree that mutants are applied to."""

    def __init__(self, folder: Path, *, seed: int) -> None:
        """Copy the tree to `folder`, which must not exist yet."""
        shutil.copytree(ROOT, folder, ignore=NOT_COPIED)
        self._folder = folder
        self._seed = seed
        self._writes = 0

    async def judge(self, mutant: Mutant) -> Outcome:
        """Apply `mutant`, run its tests, and restore the file."""
        started = time.monotonic()
        path = self._folder / mutant.file
        text = path.read_text() if path.is_file() else ""
        if (count := text.count(mutant.old)) != 1:
            return Outcome(
                mutant=mutant,
                verdict=Verdict.STALE,
                detail=f"the old text is there {count} times in {mutant.file}",
                seconds=0.0,
            )
        self._write(path, text.replace(mutant.old, mutant.new))
        try:
            status, output = await self.pytest("-x", *mutant.tests)
        finally:
            self._write(path, text)
        verdict, detail = _verdict(status, output)
        seconds = time.monotonic() - started
        return Outcome(mutant=mutant, verdict=verdict, detail=detail, seconds=seconds)

    async def pytest(self, *arguments: str) -> tuple[int | None, str]:
        """Run tests against this copy; the status is None after `TIMEOUT`."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pytest", "-q", "--tb=line", "-p", "no:cacheprovider"),
            *("-m", "not lab", f"--hypothesis-seed={self._seed}"),
            *arguments,
            cwd=self._folder,
            env={**os.environ, "PYTHONPATH": str(self._folder / "src")},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), TIMEOUT)
        except TimeoutError:
            process.kill()
            await process.wait()
            return None, ""
        return process.returncode, output.decode(errors="replace")

    def _write(self, path: Path, text: str) -> None:
        path.write_text(text)
        # Bytecode is valid by size and whole seconds of the time of modification: make them differ.
        self._writes += 1
        stamp = int(time.time()) - 1_000_000 + self._writes  # noqa: TID251
        os.utime(path, (stamp, stamp))


def _verdict(status: int | None, output: str) -> tuple[Verdict, str]:
    match status:
        case None:
            return Verdict.KILLED, f"by its tests not ending within {TIMEOUT:.0f} s"
        case 0:
            return Verdict.SURVIVED, ""
        case 1:
            failed = re.search(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)
            return Verdict.KILLED, f"by {failed[1]}" if failed else ""
        case _:
            last = output.strip().splitlines()[-1:] or [""]
            return Verdict.INVALID, f"pytest ended with {status}: {last[0]}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen mutants and print each verdict, then the sums."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("prefixes", nargs="*", metavar="ID", help="ids, or how they start")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time; 2 by default")
    parser.add_argument("--list", action="store_true", help="list them, and run none")
    parser.add_argument(
        "--no-baseline", action="store_true", help="do not run the tests without a mutant first"
    )
    options = parser.parse_args(arguments)
    seed, every = read_catalogue(CATALOGUE.read_text())
    chosen = [
        each
        for each in every
        if not options.prefixes or each.id.startswith(tuple(options.prefixes))
    ]
    if options.list:
        for each in chosen:
            print(f"{each.id}  {each.file}: {each.old!r} -> {each.new!r}")
        return 0
    with tempfile.TemporaryDirectory(prefix="uno-mutants-") as folder:
        jobs = max(1, min(options.jobs, len(chosen)))
        scratches = [Scratch(Path(folder) / str(number), seed=seed) for number in range(jobs)]
        if not options.no_baseline and not asyncio.run(_passes(scratches[0], chosen)):
            return 2
        outcomes = asyncio.run(_judge_all(chosen, scratches))
    for line in summary(outcomes):
        print(line)
    return int(any(each.verdict is not Verdict.KILLED for each in outcomes))


def read_catalogue(text: str) -> tuple[int, list[Mutant]]:
    """Return the seed for Hypothesis and the mutants. A doubled id raises ValueError."""
    catalogue = tomllib.loads(text)
    mutants = [Mutant(**{**entry, "tests": tuple(entry["tests"])}) for entry in catalogue["mutant"]]
    doubled = [name for name, count in Counter(it.id for it in mutants).items() if count > 1]
    if doubled:
        raise ValueError(f"two mutants have the id {doubled[0]}")
    return catalogue["hypothesis_seed"], mutants


async def _passes(scratch: Scratch, chosen: Iterable[Mutant]) -> bool:
    tests = sorted({test for each in chosen for test in each.tests})
    status, output = await scratch.pytest(*tests)
    if status != 0:
        print(output)
        print("The tests fail without a mutant.", file=sys.stderr)
    return status == 0


async def _judge_all(chosen: Iterable[Mutant], scratches: Iterable[Scratch]) -> list[Outcome]:
    left = iter(list(chosen))
    outcomes: list[Outcome] = []

    async def work(scratch: Scratch) -> None:
        for mutant in left:
            outcome = await scratch.judge(mutant)
            outcomes.append(outcome)
            print(
                f"{outcome.verdict:<8}  {mutant.id}  ({outcome.seconds:.0f} s) {outcome.detail}",
                flush=True,
            )

    async with asyncio.TaskGroup() as group:
        for scratch in scratches:
            group.create_task(work(scratch))
    return outcomes


def summary(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Yield how many of each area were killed, and all that were not."""
    areas = Counter(each.mutant.id.partition(".")[0] for each in outcomes)
    killed = [each for each in outcomes if each.verdict is Verdict.KILLED]
    killed_in = Counter(each.mutant.id.partition(".")[0] for each in killed)
    yield ""
    for area, count in sorted(areas.items()):
        yield f"{area:<24}  {killed_in[area]:>3} of {count:>3} killed"
    share = 100 * len(killed) / max(len(outcomes), 1)
    yield f"{'all':<24}  {len(killed):>3} of {len(outcomes):>3} killed ({share:.0f} %)"
    for each in outcomes:
        if each.verdict is not Verdict.KILLED:
            yield f"{each.verdict}: {each.mutant.id} {each.detail}".rstrip()


if __name__ == "__main__":
    sys.exit(main())
