"""Job filters (upstream 3.0): rules that pause, reject or limit queued jobs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from ganeti_kernel.errors import ECODE_INVAL, GenericError, OpPrereqError
from ganeti_kernel.jobs.job import Job
from ganeti_kernel.jobs.scheduler import START, Opinion, wait
from ganeti_kernel.objects import FilterRule
from ganeti_kernel.query.filter import Predicate, compile_filter
from ganeti_kernel.query.source import NORMAL, Missing

log = logging.getLogger(__name__)

ACTIONS: Final = ("ACCEPT", "PAUSE", "REJECT", "CONTINUE")
RATE_LIMIT: Final = "RATE_LIMIT"

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


class FilterChain:
    """`Judge` of the job filters, given the jobs that run.

    A rule that cannot be read (an imported configuration may have one) is left out.
    """

    def __init__(self, rules: Iterable[FilterRule], running: Sequence[Job]) -> None:
        self._chain: list[tuple[FilterRule, Callable[[Job], bool]]] = []
        for rule in sorted(rules, key=lambda item: (item.priority, item.watermark, item.uuid)):
            try:
                _limit(rule.action)
                self._chain.append((rule, _compile(rule)))
            except GenericError as error:
                log.warning("job filter %s is not used: %s", rule.uuid, error)
        self._counts = {rule.uuid: sum(map(matches, running)) for rule, matches in self._chain}

    def opinion(self, job: Job) -> Opinion:
        rule = self._decisive(job)
        if rule is None or rule.action == "ACCEPT":
            return START
        if rule.action == "REJECT":
            return Opinion("reject", f"job filter {rule.uuid} rejects this job{_reason(rule)}")
        if rule.action == "PAUSE":
            return wait(f"job filter {rule.uuid}, which pauses it{_reason(rule)}")
        limit = _limit(rule.action)
        assert limit is not None
        if self._counts[rule.uuid] < limit:
            return START
        return wait(f"job filter {rule.uuid}, of which {limit} jobs may run at once{_reason(rule)}")

    def started(self, job: Job) -> None:
        rule = self._decisive(job)
        if rule is not None:
            self._counts[rule.uuid] += 1

    def _decisive(self, job: Job) -> FilterRule | None:
        """The first rule that matches and says more than to go on with the next."""
        return next(
            (rule for rule, matches in self._chain if rule.action != "CONTINUE" and matches(job)),
            None,
        )


def _reason(rule: FilterRule) -> str:
    """The user's text in a rule's reason trail, for who hears of the rule."""
    texts = [str(text) for source, text, _stamp in rule.reason_trail if source == "gnt:user"]
    return f" ({texts[0]})" if texts else ""


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
