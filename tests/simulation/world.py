"""The real queue, scheduler, locks and job server, with everything around them simulated."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections.abc import Collection, Coroutine
from types import SimpleNamespace
from typing import Any, cast

import msgspec

from ganeti_kernel.config.reservations import Reservations
from ganeti_kernel.errors import GenericError, decode_error
from ganeti_kernel.jobs.channel import Reply, Request
from ganeti_kernel.jobs.commit import Committer
from ganeti_kernel.jobs.job import Job
from ganeti_kernel.jobs.manager import JobManager
from ganeti_kernel.jobs.queue import JobQueue
from ganeti_kernel.jobs.runner import JobStart
from ganeti_kernel.jobs.running import Running
from ganeti_kernel.jobs.server import JobServer
from ganeti_kernel.luxi.filters import FilterChain
from ganeti_kernel.objects import FilterRule
from tests.simulation.clock import MemoryStore, VirtualLoop
from tests.simulation.oracle import Broken, Oracle, WatchedLocks
from tests.simulation.plans import JobPlan, Schedule
from tests.simulation.process import Process


class SimulatedLives:
    """`Lives`: which jobs have a process."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.files: set[int] = set()

    def alive(self, job_id: int) -> bool:
        return job_id in self._world.oracle.alive

    def forget(self, job_id: int) -> None:
        self.files.discard(job_id)

    def forget_dead(self, job_id: int) -> None:
        if not self.alive(job_id):
            self.files.discard(job_id)

    def forget_all_but(self, live: Collection[int]) -> None:
        for job_id in self.files - set(live):
            self.forget_dead(job_id)

    def kill(self, pid: int) -> None:
        self._world.kill(pid)


class Life:
    """One life of the master daemon."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._tasks: set[asyncio.Task[Any]] = set()
        self._entries: dict[int, Running] = {}
        self.serves = False
        self.ended = asyncio.Event()
        self.committer = Committer(world.store)
        self.queue = JobQueue(self.committer)
        cluster = SimpleNamespace(max_running_jobs=world.schedule.max_running)
        view = SimpleNamespace(cluster=cluster, serial_no=1)
        config = cast("Any", SimpleNamespace(view=view, listeners=[]))
        self.manager = JobManager(world.lives, self.committer, self.queue, config, Reservations())
        self.manager.grants.locks = WatchedLocks()
        starter = self.manager.starter
        starter.fork = self._fork
        starter.judges = lambda: [FilterChain(world.rules.values(), starter.jobs())]
        self.server = JobServer(self.manager, self.committer)

    async def start(self) -> None:
        await self.queue.load()
        await self.server.load()
        await self.manager.start()
        self.serves = True

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def until_done(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """What a request gives, or None when the daemon was killed before it answered."""
        task = self.spawn(coroutine)
        await asyncio.wait([task])
        if task.cancelled() or not self.serves:
            return None
        return task.result()

    async def hello(self, job_id: int, pid: int) -> Reply | None:
        answer = await self.until_done(self.server.hello({"job": job_id, "pid": pid}))
        if answer is None:
            return None
        entry, reply = answer
        if entry is not None:
            self._entries[pid] = entry
        return cast("Reply", reply)

    async def ask(self, job_id: int, pid: int, request: Request) -> Reply | None:
        return cast("Reply | None", await self.until_done(self.server.answer(job_id, request)))

    def process_ended(self, job_id: int, pid: int) -> None:
        """Its connection closes, and the warm parent, if it lives, says so."""
        entry = self._entries.pop(pid, None)
        if entry is not None:
            self.manager.running.detach(entry)
        if not self._world.parent_dead:
            self.manager.running.exited(job_id, pid, "signal 9")

    def _fork(self, start: JobStart) -> None:
        self._world.check_start(self, start)
        self.spawn(self._world.fork(self, start))

    async def die(self) -> None:
        self.serves = False
        self.ended.set()
        loop = cast("VirtualLoop", asyncio.get_running_loop())
        for item in list(loop.under_way):
            if self._world.rng.random() < 0.5:
                loop._work(item)  # it was on its way to the disk
        loop.under_way.clear()
        tasks = list(self._tasks)
        if self.committer._writer is not None:
            tasks.append(self.committer._writer)
        for task in tasks:
            task.cancel()
        await self.manager.stop()
        await asyncio.gather(*tasks, return_exceptions=True)


class World:
    """Everything that outlives a master daemon, and the processes."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.rng = random.Random(schedule.seed)
        self.store = MemoryStore()
        self.oracle = Oracle()
        self.rules: dict[str, FilterRule] = {}
        self.lives = SimulatedLives(self)
        self.plans: dict[int, JobPlan] = {}
        self.parent_dead = False
        self._common_death: asyncio.Task[None] | None = None
        self.life = Life(self)
        self.failures: list[BaseException] = []
        self._pids = itertools.count(100)
        self._processes: dict[int, asyncio.Task[None]] = {}

    def plan(self, job: Job) -> JobPlan:
        return self.plans[int(job.ops[0].input["comment"].split()[0])]

    def error(self, reply: Reply) -> GenericError:
        assert reply.error is not None
        return decode_error(*reply.error)

    async def serving(self) -> Life:
        while not self.life.serves:
            await asyncio.sleep(0.02)
        return self.life

    async def crash(self, seconds: float) -> None:
        """Kill the master daemon; another one is started after a time."""
        if not self.life.serves:
            return
        await self.life.die()
        await asyncio.sleep(seconds)
        self.life = Life(self)
        await self.life.start()

    # -- processes -----------------------------------------------------------------------------

    async def fork(self, life: Life, start: JobStart) -> None:
        """What the warm parent does about one request."""
        await asyncio.sleep(self.rng.choice((0.001, 0.01)))
        while self.parent_dead:
            await asyncio.sleep(0.05)
        tries = 0
        while self.lives.alive(start.job) and start.recover and tries < 50:
            await asyncio.sleep(0.01)
            tries += 1
        if self.lives.alive(start.job):
            life.manager.running.held(start.job)
            return
        process = Process(self, start, next(self._pids))
        self.lives.files.add(start.job)
        self.oracle.lives(start.job, process.pid)
        task = asyncio.get_running_loop().create_task(process.run())
        self._processes[process.pid] = task
        task.add_done_callback(lambda done: self._ended(start.job, process.pid, done))
        life.manager.running.started(start.job, process.pid)

    def kill(self, pid: int) -> None:
        task = self._processes.get(pid)
        if task is not None:
            task.cancel()

    def process_died(self) -> None:
        if self.schedule.together and not self._common_death:
            self._common_death = asyncio.get_running_loop().create_task(self.crash(0.3))

    def kill_parent(self) -> None:
        """For a while nobody forks, or tells of the dead."""
        self.parent_dead = True
        loop = asyncio.get_running_loop()
        loop.call_later(0.3, setattr, self, "parent_dead", False)
        self.life.manager.running.parent_lost()

    def _ended(self, job_id: int, pid: int, task: asyncio.Task[None]) -> None:
        del self._processes[pid]
        del self.oracle.alive[job_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures.append(error)
        if self.life.serves:
            self.life.process_ended(job_id, pid)

    # -- checks --------------------------------------------------------------------------------

    def check_start(self, life: Life, start: JobStart) -> None:
        """The scheduler wants this job to run now."""
        try:
            if not start.recover:
                self._check_start(life, life.queue.jobs[start.job])
        except Broken as error:
            self.failures.append(error)

    def _check_start(self, life: Life, job: Job) -> None:
        jobs, table = life.queue.jobs, life.manager.running.table
        if len(table) > self.schedule.max_running and not job.process_id:
            raise Broken(f"{len(table)} jobs run, at most {self.schedule.max_running} should")
        running = [jobs[number] for number in table if number in jobs and number != job.id]
        if table[job.id].starts == 0 and (why := self._forbids(job, running)):
            raise Broken(f"job {job.id} starts in spite of {why}")
        for other in jobs.values():
            before = (other.priority, other.id) < (job.priority, job.id)
            if before and other.queued and other.id not in table and other.end_timestamp is None:
                statuses = {number: item.status for number, item in jobs.items()}
                ready = all(statuses.get(n) in ok for n, ok in other.depends())
                ending = other.id in life.manager.starter._ends or other.cancel
                if ready and not ending and not self._forbids(other, running):
                    raise Broken(f"job {job.id} starts before job {other.id}")

    def _forbids(self, job: Job, running: list[Job]) -> str:
        plan = self.plan(job)
        if plan.limit:
            bucket = (plan.limit, plan.label)
            same = [item for item in map(self.plan, running) if (item.limit, item.label) == bucket]
            if len(same) >= plan.limit:
                return "its rate limit"
        rules = sorted(self.rules.values(), key=lambda r: (r.priority, r.watermark, r.uuid))
        for rule in rules:
            if rule.predicates[0][1][2].strip(" $") != plan.label:
                continue
            if rule.action in ("PAUSE", "REJECT"):
                return f"a filter ({rule.action})"
            if rule.action == "ACCEPT":
                return ""
            if any(self.plan(item).label == plan.label for item in running):
                return "a filter's rate limit"
            return ""
        return ""

    def check_begin(self, job: Job, index: int) -> None:
        jobs = self.life.queue.jobs
        statuses = {number: item.status for number, item in jobs.items()}
        self.oracle.begins(job, {**self._archived(job, jobs), **statuses})

    def _archived(self, job: Job, jobs: Any) -> dict[int, str]:
        """Status of jobs in the archive."""
        out = {}
        for other, _ok in job.depends():
            entry = self.store.get(f"archive/{other:010d}")
            if entry is not None and other not in jobs:
                out[other] = msgspec.json.decode(entry.value, type=Job).status
        return out


class Errors(logging.Handler):
    """Errors that were only logged: defects of background tasks, damage of the store."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.ERROR)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            self._world.failures.append(record.exc_info[1])
        elif record.levelno >= logging.CRITICAL:
            self._world.failures.append(Broken(record.getMessage()))
