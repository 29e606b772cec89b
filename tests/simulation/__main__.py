"""Many random schedules: `python -m tests.simulation [--first N] [--count N] [--processes N]`.

Prints each seed that fails with the reason; the exit code is 1 when there is one. `--mutants` looks
instead, for each defect of `mutants.py`, for the first seed that finds it.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.simulation.mutants import MUTANTS, Patch
from tests.simulation.run import run_seed

CHUNK = 250


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Deaths and full disks are what is simulated: their log lines are no news."""
    log = logging.getLogger("ganeti_kernel")
    nowhere = logging.NullHandler()
    log.addHandler(nowhere)
    log.propagate = False
    try:
        yield
    finally:
        log.propagate = True
        log.removeHandler(nowhere)


def run_chunk(first: int, count: int) -> tuple[int, float, list[tuple[int, str]]]:
    """Returns jobs, CPU seconds, and the seeds that failed with the reason."""
    began, jobs = time.process_time(), 0
    failed: list[tuple[int, str]] = []
    with quiet():
        for seed in range(first, first + count):
            try:
                jobs += run_seed(seed)
            except Exception as error:  # whatever it is, it is what was looked for
                failed.append((seed, f"{type(error).__name__}: {error}"))
    return jobs, time.process_time() - began, failed


def find(mutant: Patch, first: int, count: int) -> tuple[int, str] | None:
    """The first seed that finds a mutant, and how."""
    with pytest.MonkeyPatch.context() as patch, quiet():
        mutant(patch)
        for seed in range(first, first + count):
            try:
                run_seed(seed)
            except Exception as error:  # as above
                return seed, f"{type(error).__name__}: {error}"
    return None


def run_all(first: int, count: int, processes: int) -> int:
    starts = list(range(first, first + count, CHUNK))
    counts = [min(CHUNK, first + count - start) for start in starts]
    jobs, cpu, bad = 0, 0.0, 0
    with ProcessPoolExecutor(processes) as pool:
        for part in pool.map(run_chunk, starts, counts):
            jobs, cpu, bad = jobs + part[0], cpu + part[1], bad + len(part[2])
            for seed, text in part[2]:
                print(f"seed {seed}: {text}", flush=True)
    print(f"{count} schedules, {jobs} jobs, {bad} failed, {cpu:.0f} s CPU")
    return 1 if bad else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--mutants", action="store_true")
    options = parser.parse_args()
    if not options.mutants:
        return run_all(options.first, options.count, options.processes)
    missed = 0
    for mutant in MUTANTS:
        found = find(mutant, options.first, options.count)
        missed += found is None
        print(f"{mutant.__name__}: {found or 'NOT FOUND'}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
