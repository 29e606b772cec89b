"""Which jobs have a process, and how it is found out that one is gone.

A process tells of itself when it connects, the warm parent when it forked or buried one; neither
may live to say so. What counts is the job's livelock, looked at on a sign and each second.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from ganeti_kernel.jobs.livelock import Lives
from ganeti_kernel.jobs.tasks import Tasks

WATCH_SECONDS: Final = 1.0
"""How often it is looked whether the jobs' processes live, besides when a sign of death comes."""

SWEEP_ROUNDS: Final = 10
"""Looks between two sweeps of what is left of processes that ended when nobody was told."""

DEATH_CHECKS: Final = 40
"""Times 25 ms to look whether a process is gone after its connection closed."""


@dataclass(slots=True)
class Running:
    """A job that has, or is about to have, a process."""

    job_id: int
    pid: int = 0
    known: bool = False
    """A process was forked or has connected: a free livelock means it is dead."""

    starts: int = 0
    how: str = ""


class RunningJobs:
    """Implements `ProcessEvents`; `died` is told of each process that is gone, once."""

    def __init__(
        self, lives: Lives, tasks: Tasks, died: Callable[[Running], Awaitable[None]]
    ) -> None:
        self._lives = lives
        self._tasks = tasks
        self._died = died
        self.table: dict[int, Running] = {}

    def add(self, entry: Running) -> Running:
        self.table[entry.job_id] = entry
        return entry

    def watch(self) -> None:
        """Begin to look at all processes each second."""
        self._tasks.spawn(self._watch())

    def check(self, job_id: int) -> None:
        """There is a sign that the job's process has died."""
        self._tasks.spawn(self._check_death(job_id))

    def attach(self, job_id: int, pid: int) -> Running:
        """A process says it runs the job."""
        entry = self.table.get(job_id) or self.add(Running(job_id))
        entry.pid, entry.known = pid, True
        return entry

    def detach(self, entry: Running) -> None:
        """Its connection closed: it died, or will connect again."""
        if self.table.get(entry.job_id) is entry:
            self.check(entry.job_id)

    # -- what the warm parent says -------------------------------------------------------------

    def started(self, job_id: int, pid: int) -> None:
        if job_id in self.table:
            entry = self.table[job_id]
            entry.pid, entry.known, entry.starts = pid, True, entry.starts + 1

    def held(self, job_id: int) -> None:
        if job_id in self.table:
            self.table[job_id].known = True

    def exited(self, job_id: int, pid: int, how: str) -> None:
        entry = self.table.get(job_id)
        if entry is None:
            self._lives.forget_dead(job_id)
        elif entry.pid == pid:
            entry.how = how
            self.check(job_id)

    def parent_lost(self) -> None:
        """Processes that were not seen may have died with it: the watch looks after the rest."""

    # -- looking -------------------------------------------------------------------------------

    async def _watch(self) -> None:
        for number in itertools.count(1):
            await asyncio.sleep(WATCH_SECONDS)
            for entry in list(self.table.values()):
                await self._look(entry)
            if number % SWEEP_ROUNDS == 0:
                self._lives.forget_all_but(self.table.keys())

    async def _check_death(self, job_id: int) -> None:
        for _ in range(DEATH_CHECKS):
            entry = self.table.get(job_id)
            if entry is None or not entry.known or await self._look(entry):
                return
            await asyncio.sleep(0.025)

    async def _look(self, entry: Running) -> bool:
        """Tell of a process that is gone; returns whether it is."""
        if not entry.known or self._lives.alive(entry.job_id):
            return False
        entry.known = False
        await self._died(entry)
        return True
