"""The collector suite notices a collector that breaks a promise."""

from __future__ import annotations

from typing import Any

import pytest
from ganeti_collectors_cpu_avg_load import CpuAvgLoad
from ganeti_collectors_node_resources import NodeResources

from ganeti_kernel.specs import hookimpl
from ganeti_kernel.specs.collector import KIND_STATUS, Collector, Field
from ganeti_kernel.testing.collector import CollectorContract
from ganeti_kernel.testing.mutants import run_suite


class Suite(CollectorContract):
    @pytest.fixture
    def plugin_class(self, mutant: type[Collector]) -> type[Collector]:
        return mutant


class UnknownCategory(CpuAvgLoad):
    CATEGORY = "cars"


class NoStatus(CpuAvgLoad):
    """Says that it is a status collector and has no status."""

    KIND = KIND_STATUS


class StrangeCode(CpuAvgLoad):
    @hookimpl
    def collect(self) -> Any:
        return {"status": {"code": 3, "message": ""}}


class NotJson(CpuAvgLoad):
    @hookimpl
    def collect(self) -> Any:
        return {"windows": self}


class Undescribed(CpuAvgLoad):
    FIELDS = CpuAvgLoad.FIELDS[1:]


class WrongType(NodeResources):
    FIELDS = tuple(
        Field(path=field.path, help=field.help, type="string", metric=field.metric)
        if field.path == "uptime"
        else field
        for field in NodeResources.FIELDS
    )


class CamelMetric(NodeResources):
    FIELDS = (*NodeResources.FIELDS, Field(path="more", help="more", metric="moreThings"))


class CounterWithoutTotal(NodeResources):
    FIELDS = (*NodeResources.FIELDS, Field(path="more", help="x", metric="more", counter=True))


class Forgets(CpuAvgLoad):
    """Its samples end with the process."""

    @hookimpl
    def save(self) -> Any:
        return {}


class Hoards(CpuAvgLoad):
    """Keeps every sample for ever."""

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self.all: list[float] = []

    @hookimpl
    def update(self, now: float) -> None:
        super().update(now)
        self.all.append(now)

    @hookimpl
    def save(self) -> Any:
        return {"all": self.all}

    @hookimpl
    def restore(self, state: Any) -> None:
        self.all = list(state["all"])


class TripsOverTheClock(CpuAvgLoad):
    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self.last = 0.0

    @hookimpl
    def update(self, now: float) -> None:
        if now < self.last:
            raise ValueError("time goes backwards")
        self.last = now
        super().update(now)


class Impatient(CpuAvgLoad):
    DEADLINE = 600.0


class EmptyReason(CpuAvgLoad):
    @hookimpl
    def precondition(self) -> str | None:
        return " "


@pytest.mark.parametrize("healthy", [CpuAvgLoad, NodeResources])
def test_healthy_collectors_pass(healthy: type[Collector]) -> None:
    outcome = run_suite(Suite, healthy)
    assert not outcome.failed, outcome.report


@pytest.mark.parametrize(
    ("mutant", "caught_by"),
    [
        (UnknownCategory, "test_category_and_kind_are_known"),
        (NoStatus, "test_status_reports_have_a_status"),
        (StrangeCode, "test_status_reports_have_a_status"),
        (NotJson, "test_report_is_json"),
        (Undescribed, "test_all_fields_are_described"),
        (WrongType, "test_fields_are_as_described"),
        (CamelMetric, "test_metrics_have_good_names"),
        (CounterWithoutTotal, "test_metrics_have_good_names"),
        (Forgets, "test_state_survives_the_process"),
        (Hoards, "test_state_is_bounded"),
        (TripsOverTheClock, "test_clock_may_go_backwards"),
        (Impatient, "test_limits_are_sensible"),
        (EmptyReason, "test_precondition_is_a_reason_or_none"),
    ],
)
def test_mutant_is_caught(mutant: type[Collector], caught_by: str) -> None:
    outcome = run_suite(Suite, mutant, only=caught_by)
    assert caught_by in outcome.failed, outcome.report
