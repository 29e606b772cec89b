"""Runs one schedule from its seed to the end of all jobs, and checks what is left."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Coroutine
from typing import Any, Final

import msgspec

from ganeti_kernel.errors import GenericError
from ganeti_kernel.jobs.job import FINAL, Job
from tests.simulation.clock import Stuck, VirtualLoop
from tests.simulation.oracle import Broken, check_clean
from tests.simulation.plans import Event, JobPlan, Schedule, draw, make_rule
from tests.simulation.world import Errors, Life, World

PATIENCE: Final = 1800.0
"""Virtual seconds in which all jobs must have ended after the last event."""

LOG: Final = logging.getLogger("ganeti_kernel.jobs")


class Driver:
    """Does what users and fate do; each event's kind is a method."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._answered: dict[int, int] = {}
        self._rules = itertools.count()
        self._requests: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        world = self._world
        await world.life.start()
        begun = asyncio.get_running_loop().time()
        for event in world.schedule.events:
            await asyncio.sleep(max(0.0, begun + event.time - asyncio.get_running_loop().time()))
            await self._happen(event)
        await world.serving()
        await asyncio.gather(*self._requests)
        world.store.full = False
        world.rules.clear()
        world.life.manager.starter.kick()
        await self._all_ended()
        self._check()

    async def _happen(self, event: Event) -> None:
        life = await self._world.serving()
        happening = getattr(self, f"do_{event.kind}")(**event.values)
        if event.kind in ("crash", "full", "parent"):
            await happening
        else:
            self._requests.append(asyncio.create_task(self._request(life, happening)))
            await asyncio.sleep(0)

    async def _request(self, life: Life, happening: Coroutine[Any, Any, Any]) -> None:
        """Users do not wait for each other."""
        with contextlib.suppress(GenericError):  # the store is full: the user is told
            await life.until_done(happening)

    async def do_submit(self, jobs: list[JobPlan]) -> None:
        world = self._world
        for plan in jobs:
            world.plans[plan.number] = plan
        answers = await world.life.queue.submit([plan.opcodes() for plan in jobs])
        for plan, (ok, value) in zip(jobs, answers, strict=True):
            if ok:
                self._answered[plan.number] = int(value)
                if world.store.get(f"jobs/{int(value):010d}") is None:
                    raise Broken(f"job {value} was promised and is not on disk")

    async def do_cancel(self, number: int, kill: bool = False) -> None:
        job_id = self._answered.get(number)
        if job_id is not None:
            ok, text = await self._world.life.manager.cancel(job_id, kill)
            if ok and text.endswith(" canceled"):
                self._world.oracle.refused.add(job_id)

    async def do_kill(self, number: int) -> None:
        await self.do_cancel(number, kill=True)

    async def do_priority(self, number: int, priority: int) -> None:
        life, job_id = self._world.life, self._answered.get(number, 0)
        before = life.queue.jobs.get(job_id)
        ok, _text = await life.manager.change_priority(job_id, priority)
        job = life.queue.jobs.get(job_id)
        if ok and before is not None and job is not None and not job.final:
            for old, new in zip(before.ops, job.ops, strict=True):
                if new.status not in FINAL and new.priority == old.priority != priority:
                    raise Broken(f"job {job_id} has not got priority {priority}")

    async def do_archive(self, number: int) -> None:
        if number in self._answered:
            await self._world.life.queue.archive(self._answered[number])

    async def do_rule(self, action: Any, label: str, priority: int) -> None:
        rule = make_rule(next(self._rules), action, label, priority)
        self._world.rules[rule.uuid] = rule
        self._world.life.manager.starter.kick()

    async def do_unrule(self) -> None:
        self._world.rules.clear()
        self._world.life.manager.starter.kick()

    async def do_crash(self, seconds: float) -> None:
        await self._world.crash(seconds)

    async def do_parent(self) -> None:
        self._world.kill_parent()

    async def do_full(self, seconds: float) -> None:
        self._world.store.full = True
        loop = asyncio.get_running_loop()
        loop.call_later(seconds, setattr, self._world.store, "full", False)

    # -- the end -------------------------------------------------------------------------------

    async def _all_ended(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE
        while True:
            await asyncio.sleep(0.5)
            jobs = self._world.life.queue.jobs.values()
            todo = [job for job in jobs if job.end_timestamp is None]
            if not todo and not self._world.oracle.alive:
                break
            if self._world.failures:
                return
            if loop.time() > deadline:
                raise Stuck(f"never ended: {[await self._state(job) for job in todo]}")
        await asyncio.sleep(30)  # what is left of processes is swept

    async def _state(self, job: Job) -> str:
        waits = await self._world.life.manager.starter.waits()
        return f"job {job.id} {job.status} ({waits.get(job.id, 'nobody knows why')})"

    def _check(self) -> None:
        world = self._world
        if world.failures:
            return
        stored: dict[int, Job] = {}
        for prefix in ("jobs/", "archive/"):
            for entry in world.store.list(prefix):
                job = msgspec.json.decode(entry.value, type=Job)
                stored[job.id] = job
        lost = set(self._answered.values()) - set(stored)
        if lost:
            raise Broken(f"jobs {sorted(lost)} are lost")
        for job in stored.values():
            world.oracle.check_end(job, [op.steps for op in world.plan(job).ops])
        if world.life.manager.grants.locks.owners() or world.life.manager.grants.locks.waiters():
            raise Broken(f"locks are left: {world.life.manager.grants.locks.owners()}")
        if world.life.manager.running.table:
            raise Broken(f"jobs {list(world.life.manager.running.table)} still count as running")
        check_clean(world.store.values, world.lives.files)


def run_schedule(schedule: Schedule) -> int:
    """Run a schedule; returns how many jobs it had. Raises Broken or Stuck."""
    loop = VirtualLoop()
    unexpected: list[BaseException] = []
    loop.set_exception_handler(
        lambda _loop, context: unexpected.append(context.get("exception") or Broken(str(context)))
    )
    try:
        return loop.run_until_complete(_run(schedule, loop, unexpected))
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


async def _run(schedule: Schedule, loop: VirtualLoop, unexpected: list[BaseException]) -> int:
    world = World(schedule)
    if schedule.disk:
        loop.disk_delay = lambda: world.rng.random() * schedule.disk
    handler = Errors(world)
    LOG.addHandler(handler)
    try:
        await Driver(world).run()
        await world.life.die()
    finally:
        LOG.removeHandler(handler)
    for error in [*world.failures, *unexpected]:
        raise error
    return len(world.plans)


def run_seed(seed: int) -> int:
    """Run the schedule of a seed; the error's text says how to repeat it."""
    try:
        return run_schedule(draw(seed))
    except Exception as error:
        error.add_note(f"repeat with: python -m tests.simulation --first {seed} --count 1")
        raise
