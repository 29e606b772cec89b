"""A job process: the same requests as the real one's, in virtual time, and it may die at any."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import msgspec

from ganeti_kernel.errors import GenericError, JobCanceled, JobLost, OpExecError, encode_error
from ganeti_kernel.jobs.channel import NUMBERED, Reply, Request
from ganeti_kernel.jobs.job import CANCELED, CANCELING, ERROR, FINAL, RUNNING, SUCCESS, Job
from ganeti_kernel.jobs.journal import Begun, Ended, Entry, Failed, Planned, Undone, progress
from ganeti_kernel.jobs.operation import Lock, StepPlan
from ganeti_kernel.jobs.runner import JobStart

if TYPE_CHECKING:
    from tests.simulation.plans import OpPlan
    from tests.simulation.world import World


class Died(Exception):
    """The process was killed."""


class Process:
    """One process of one job."""

    def __init__(self, world: World, start: JobStart, pid: int) -> None:
        self.pid = pid
        self._world = world
        self._start = start
        self._rng = random.Random(f"{world.schedule.seed} {pid}")
        self._seq = 0
        self._job: Job
        self._journal: list[Entry] = []

    async def run(self) -> None:
        try:
            await self._hello()
            await self._run_job()
        except Died:
            self._world.process_died()
        except JobLost:
            pass

    async def _run_job(self) -> None:
        recover = self._start.recover
        for index, op in enumerate(self._job.ops):
            if op.status in FINAL:
                continue
            plan = self._world.plan(self._job).ops[index]
            if recover:
                await self._recover(index)
                return
            if not await self._execute(index, plan):
                return

    async def _execute(self, index: int, plan: OpPlan) -> bool:
        job_id, oracle = self._job.id, self._world.oracle
        entries: list[Entry] = []

        async def note(entry: Entry) -> bool:
            entries.append(entry)
            return await self._note(entry)

        try:
            held = await self.call("acquire", op=index, locks=plan.locks, pick=plan.pick)
            jobs = self._world.life.queue.jobs
            oracle.granted(job_id, msgspec.convert(held, list[Lock]), plan.locks, plan.pick, jobs)
            self._world.check_begin(self._job, index)
            if await self.call("status", op=index, status=RUNNING):
                raise JobCanceled("Job canceled by request")
            if plan.keep is not None:
                keep = msgspec.convert(held, list[Lock])[: plan.keep]
                oracle.gives_back(job_id, keep)
                await self.call("narrow", locks=keep)
            await note(Planned(index, [StepPlan(name="s")] * plan.steps))
            for step in range(plan.steps):
                if await note(Begun(index, step)):
                    entries.pop()
                    raise JobCanceled("Job canceled by request")
                await self._work(plan.work)
                oracle.does(job_id, index, step)
                await note(Ended(index, step))
            await self.call("log", op=index, type="message", message="done")
            if plan.fails:
                raise OpExecError("planned to fail")
        except (Died, JobLost):
            raise
        except GenericError as error:
            await self._fail(index, entries, error)
            return False
        oracle.gives_back(job_id)
        await self.call("status", op=index, status=SUCCESS)
        return True

    async def _fail(self, index: int, entries: list[Entry], error: GenericError) -> None:
        status = CANCELED if isinstance(error, JobCanceled) else ERROR
        state = progress(entries, index)
        if state.planned:
            await self._note(Failed(index, list(encode_error(error)), status))
            await self._undo(index, state.to_undo())
        self._world.oracle.gives_back(self._job.id)
        await self.call("status", op=index, status=status, result=list(encode_error(error)))

    async def _recover(self, index: int) -> None:
        state = progress(self._journal, index)
        cancel = self._job.ops[index].status == CANCELING or self._job.cancel
        status = CANCELED if cancel else ERROR
        error = list(encode_error(OpExecError(self._start.reason)))
        if state.failure is not None:
            status = state.failure.status
        elif state.planned:
            await self._note(Failed(index, error, status))
        await self._undo(index, state.to_undo())
        self._world.oracle.gives_back(self._job.id)
        await self.call("status", op=index, status=status, result=error)

    async def _undo(self, index: int, steps: list[int]) -> None:
        for step in steps:
            self._world.oracle.undoes(self._job.id, index, step)
            await self._note(Undone(index, step))

    async def _note(self, entry: Entry) -> bool:
        return bool(await self.call("journal", entries=[entry]))

    async def _work(self, seconds: float) -> None:
        if seconds:
            await asyncio.sleep(seconds)
        self._may_die()

    def _may_die(self) -> None:
        if self._rng.random() < self._world.schedule.deaths:
            raise Died

    # -- the line to the master daemon -----------------------------------------------------------

    async def _hello(self) -> None:
        answer = await self._attach()
        self._job = answer["job"]
        self._journal = list(answer["journal"])
        self._seq = answer["seq"]

    async def _attach(self) -> dict[str, Any]:
        while True:
            life = await self._world.serving()
            reply = await life.hello(self._start.job, self.pid)
            if reply is not None and reply.ok:
                answer: dict[str, Any] = reply.result
                return answer
            await self._again(reply)

    async def call(self, method: str, **args: Any) -> Any:
        """As `Channel.call`: what got no answer is asked again with the same number."""
        self._may_die()
        seq = None
        if method in NUMBERED:
            self._seq += 1
            seq = self._seq
        wire = msgspec.to_builtins(args)
        request = Request(method, wire, seq)
        life = self._world.life
        while True:
            if life is not self._world.life or not life.serves:
                await self._attach()
                life = self._world.life
            reply = await life.ask(self._start.job, self.pid, request)
            if reply is not None and self._rng.random() < self._world.schedule.deaths:
                raise Died
            if reply is not None and reply.ok:
                return reply.result
            await self._again(reply)

    async def _again(self, reply: Reply | None) -> None:
        """Wait before the next attempt, or raise what was answered."""
        if reply is not None and reply.error is not None and reply.error[0] != "StoreError":
            raise self._world.error(reply)
        await asyncio.sleep(0.05)
