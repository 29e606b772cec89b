"""Job filters (upstream 3.0): rules that pause, reject or limit queued jobs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from ganeti_kernel.errors import ECODE_INVAL, GenericError, OpPrereqError
from ganeti_kernel.jobs.job import Job
from ganeti_kernel.jobs.scheduler import Judge
from ganeti_kernel.objects import FilterRule
from ganeti_kernel.query.filter import Predicate, compile_filter
from ganeti_kernel.query.source import NORMAL, Missing

log = logging.getLogger(__name__)

ACTIONS: Final = ("ACCEPT", "PAUSE", "REJECT", "CONTINUE")
RATE_LIMIT: Final = "RATE_LIMIT"

_ANSWERS: Final = {"ACCEPT": "start", "PAUSE": "wait", "REJECT": "reject"}

Item = Callable[[str], tuple[int, Any]]
"""Gives the cell of a field of a job, an opcode or a reason."""


class _Everything:
    """The known fields of an opcode: any name is allowed, what is absent never matches."""

    def __contains__(self, _name: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def check_rule(rule: FilterRule) -> None:
    """Raise OpPrereqError that says what is wrong with a rule."""
    if rule.priority < 0:
        raise OpPrereqError(f"priority {rule.priority} of a filter is negative", ECODE_INVAL)
    _limit(rule.action)
    _compile(rule)


def make_judge(rules: Iterable[FilterRule], running: Sequence[Job]) -> Judge | None:
    """What the filter chain says of queued jobs, while these are running; None without rules.

    A rule that cannot be read (an imported configuration may have one) is left out.
    """
    chain: list[tuple[FilterRule, Callable[[Job], bool]]] = []
    for rule in sorted(rules, key=lambda item: (item.priority, item.watermark, item.uuid)):
        try:
            _limit(rule.action)
            chain.append((rule, _compile(rule)))
        except GenericError as error:
            log.warning("job filter %s is not used: %s", rule.uuid, error)
    if not chain:
        return None
    counts = {rule.uuid: sum(map(matches, running)) for rule, matches in chain}

    def judge(job: Job) -> str:
        matched = []
        answer = "start"
        for rule, matches in chain:
            if rule.action == "CONTINUE" or not matches(job):
                continue
            matched.append(rule.uuid)
            limit = _limit(rule.action)
            if limit is None:
                answer = _ANSWERS[rule.action]
            elif counts[rule.uuid] >= limit:
                answer = "wait"
            break
        if answer == "start":
            for uuid in matched:
                counts[uuid] += 1
        return answer

    return judge


def _limit(action: Any) -> int | None:
    """The number of a RATE_LIMIT, None for the other actions; raises OpPrereqError."""
    if isinstance(action, str) and action in ACTIONS:
        return None
    match action:
        case [str(name), int(limit)] if name == RATE_LIMIT and limit > 0:
            return limit
    raise OpPrereqError(
        f"{action!r} is no action of a filter; there are {', '.join(ACTIONS)} and "
        f'["{RATE_LIMIT}", number above 0]',
        ECODE_INVAL,
    )


def _compile(rule: FilterRule) -> Callable[[Job], bool]:
    tests = [_predicate(item, rule.watermark) for item in rule.predicates]
    return lambda job: all(test(job) for test in tests)


def _predicate(value: Any, watermark: int) -> Callable[[Job], bool]:
    match value:
        case ["jobid", expression]:
            test = compile_filter(_with_watermark(expression, watermark), ("id",))
            return lambda job: _holds(test, {"id": job.id})
        case ["opcode", expression]:
            test = compile_filter(expression, _Everything())
            return lambda job: any(_holds(test, op.input) for op in job.ops)
        case ["reason", expression]:
            test = compile_filter(expression, ("source", "reason", "timestamp"))
            return lambda job: any(_holds(test, reason) for reason in _reasons(job))
    raise OpPrereqError(
        f'{value!r} is no predicate of a filter; write ["jobid", …], ["opcode", …] or '
        '["reason", …] with an expression of the query language',
        ECODE_INVAL,
    )


def _holds(test: Predicate, fields: Any) -> bool:
    def cell(name: str) -> tuple[int, Any]:
        value = fields
        for part in name.split("."):
            if not isinstance(value, dict) or part not in value:
                return int(Missing.UNAVAIL), None
            value = value[part]
        return NORMAL, value

    return bool(test(cell))


def _reasons(job: Job) -> Iterator[dict[str, Any]]:
    for op in job.ops:
        for source, reason, timestamp in op.input.get("reason") or ():
            yield {"source": source, "reason": reason, "timestamp": timestamp}


def _with_watermark(expression: Any, watermark: int) -> Any:
    if isinstance(expression, list):
        return [_with_watermark(item, watermark) for item in expression]
    return watermark if expression == "watermark" else expression
