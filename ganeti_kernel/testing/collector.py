"""Conformance suite for collectors of the monitoring daemon."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import msgspec
import pytest

from ganeti_kernel.specs.collector import (
    CATEGORIES,
    CODES,
    KIND_PERFORMANCE,
    KIND_STATUS,
    Collector,
)
from ganeti_kernel.testing.plugin import PluginContract

MAX_REPORT = 16 << 20
HOUR = 3600.0
METRIC = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
STEP = re.compile(r"([^.\[\]{}]+)|\[(\w*)\]|\{(\w+)\}")
TYPES: Mapping[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "string": (str,),
    "bool": (bool,),
    "list": (list,),
    "object": (dict,),
}


class CollectorContract(PluginContract):
    """To fill in: `plugin_class`, and `ready` when the collector needs something to collect from
    (recordings given with `use_inputs`, files in the node's directory).
    Never to be overridden: the tests, `report`.
    """

    CONTRACT: ClassVar[type] = Collector

    @pytest.fixture
    def ready(self) -> Callable[[Any], None]:
        """Prepares a collector object so that it has something to report."""
        return lambda _collector: None

    @pytest.fixture
    def report(self, plugin: Any, ready: Callable[[Any], None]) -> Any:
        """Data as the daemon gets them: after some samples, through JSON."""
        ready(plugin)
        _run(plugin)
        return _json(plugin.collect())

    # -- what it says of itself ------------------------------------------------------------------

    def test_category_and_kind_are_known(self, plugin: Any) -> None:
        assert plugin.CATEGORY in CATEGORIES
        assert plugin.KIND in (KIND_PERFORMANCE, KIND_STATUS)

    def test_versions_are_given(self, plugin: Any) -> None:
        assert isinstance(plugin.VERSION, str)
        assert plugin.VERSION
        assert isinstance(plugin.FORMAT_VERSION, int)
        assert plugin.FORMAT_VERSION > 0

    def test_limits_are_sensible(self, plugin: Any) -> None:
        assert 0.5 <= plugin.INTERVAL <= 24 * HOUR
        assert 0 < plugin.DEADLINE <= 60
        assert 16 <= plugin.MEMORY <= 4096

    def test_precondition_is_a_reason_or_none(self, plugin: Any) -> None:
        reason = plugin.precondition()
        assert reason is None or (isinstance(reason, str) and reason.strip())

    def test_inputs_have_names_of_their_own(self, plugin: Any) -> None:
        names = [item.name for item in plugin.INPUTS] + [item.short for item in plugin.INPUTS]
        assert len(names) == len(set(names))
        for item in plugin.INPUTS:
            assert item.kind in ("file", "address", "port")
            assert len(item.short) == 1
            assert item.help.strip()

    # -- its reports -----------------------------------------------------------------------------

    def test_report_is_json(self, report: Any) -> None:
        assert len(msgspec.json.encode(report)) <= MAX_REPORT

    def test_report_can_be_repeated(
        self, plugin: Any, report: Any, ready: Callable[[Any], None]
    ) -> None:
        again = _json(plugin.collect())
        assert type(again) is type(report)
        if isinstance(report, dict):
            assert set(again) == set(report)

    def test_status_reports_have_a_status(self, plugin: Any, report: Any) -> None:
        if plugin.KIND == KIND_STATUS:
            assert isinstance(report, dict), "a status report is an object"
            assert "status" in report
        for status in _statuses(report):
            assert status["code"] in CODES
            assert isinstance(status["message"], str)

    def test_fields_are_as_described(self, plugin: Any, report: Any) -> None:
        """Every described field has the described type wherever it is (null is allowed)."""
        for field in plugin.FIELDS:
            for value in _values(report, list(STEP.findall(field.path))):
                assert field.type in TYPES, f"{field.path}: unknown type {field.type}"
                right = isinstance(value, TYPES[field.type])
                if field.type in ("int", "float"):
                    right = right and not isinstance(value, bool)
                assert right, f"{field.path} is {value!r}, not {field.type}"

    def test_all_fields_are_described(self, plugin: Any, report: Any) -> None:
        known = {_pattern(field.path) for field in plugin.FIELDS}
        missing = sorted(set(_paths(report, known, "")) - known)
        assert not missing, f"describe these in FIELDS: {missing}"

    def test_metrics_have_good_names(self, plugin: Any) -> None:
        names = [field.metric for field in plugin.FIELDS if field.metric]
        assert len(names) == len(set(names)), "two fields are one metric"
        for field in plugin.FIELDS:
            assert field.help.strip(), field.path
            if field.metric:
                assert METRIC.fullmatch(field.metric), f"{field.metric} is not snake_case"
                total = field.metric.endswith("_total")
                assert total == field.counter, f"{field.metric}: counters end in _total, alone"

    # -- its samples -----------------------------------------------------------------------------

    def test_state_survives_the_process(
        self, plugin: Any, make: Callable[[], Any], ready: Callable[[Any], None]
    ) -> None:
        if not plugin.STATEFUL:
            pytest.skip("not stateful")
        ready(plugin)
        now = _run(plugin)
        state = msgspec.msgpack.decode(msgspec.msgpack.encode(plugin.save()))
        other = make()
        ready(other)
        other.restore(state)
        assert _json(other.save()) == _json(plugin.save())
        assert _shape(_json(other.collect())) == _shape(_json(plugin.collect()))
        other.update(now + 5)
        other.collect()

    def test_state_is_bounded(self, plugin: Any, ready: Callable[[Any], None]) -> None:
        if not plugin.STATEFUL:
            pytest.skip("not stateful")
        ready(plugin)
        now = _run(plugin, count=400)
        before = len(msgspec.msgpack.encode(plugin.save()))
        _run(plugin, count=200, start=now + 5)
        assert len(msgspec.msgpack.encode(plugin.save())) <= before * 1.2 + 100

    def test_clock_may_go_backwards(self, plugin: Any, ready: Callable[[Any], None]) -> None:
        if not plugin.STATEFUL:
            pytest.skip("not stateful")
        ready(plugin)
        now = _run(plugin)
        plugin.update(now - HOUR)
        _json(plugin.collect())
        _run(plugin, start=now - HOUR + 5)
        assert not _has_negative_rate(plugin, _json(plugin.collect()))


def _run(collector: Any, count: int = 30, start: float | None = None) -> float:
    """Take samples five seconds apart as far as the collector knows; returns the last time."""
    now = time.clock_gettime(time.CLOCK_BOOTTIME) if start is None else start
    if collector.STATEFUL:
        for _ in range(count):
            now += 5
            collector.update(now)
    return now


def _json(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shape(item) for item in value]
    return type(value).__name__


def _statuses(value: Any) -> Iterator[dict[str, Any]]:
    """Every member `status` of the report that is a status object."""
    if isinstance(value, dict):
        found = value.get("status")
        if isinstance(found, dict):
            yield found
        for item in value.values():
            yield from _statuses(item)
    elif isinstance(value, list):
        for item in value:
            yield from _statuses(item)


def _values(value: Any, steps: list[tuple[str, str, str]]) -> Iterator[Any]:
    if value is None:
        return
    if not steps:
        yield value
        return
    (word, _position, key), rest = steps[0], steps[1:]
    if word:
        if isinstance(value, dict) and word in value:
            yield from _values(value[word], rest)
    elif key:
        for item in value.values() if isinstance(value, dict) else ():
            yield from _values(item, rest)
    else:
        for item in value if isinstance(value, list) else ():
            yield from _values(item, rest)


def _pattern(path: str) -> str:
    """A path without the names of labels."""
    return re.sub(r"\{\w+\}", "{}", re.sub(r"\[\w*\]", "[]", path))


def _paths(value: Any, known: set[str], here: str) -> Iterator[str]:
    """Paths of all leaves; what is described as a whole is not looked into."""
    if here in known or value is None:
        return
    if isinstance(value, list):
        for item in value:
            yield from _paths(item, known, f"{here}[]")
    elif isinstance(value, dict):
        keyed = any(path.startswith(here + "{}") for path in known)
        for key, item in value.items():
            step = here + "{}" if keyed else (f"{here}.{key}" if here else key)
            yield from _paths(item, known, step)
    else:
        yield here


def _has_negative_rate(collector: Any, report: Any) -> bool:
    return any(
        isinstance(value, int | float) and value < 0
        for field in collector.FIELDS
        if field.type == "float" and field.unit.startswith("CPU")
        for value in _values(report, list(STEP.findall(field.path)))
    )
