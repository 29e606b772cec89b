"""The confd suite notices a request type that breaks a promise."""

from __future__ import annotations

from typing import Any

import pytest
from ganeti_queries_core import ConfigQuery

from ganeti_kernel.objects import ConfigView
from ganeti_kernel.specs import PluginContext, hookimpl
from ganeti_kernel.specs.confd_query import Answer, ConfdQuery, ok
from ganeti_kernel.testing.confd_query import ConfdQueryContract
from ganeti_kernel.testing.mutants import run_suite


class Suite(ConfdQueryContract):
    UPSTREAM = True

    @pytest.fixture
    def plugin_class(self, mutant: type[ConfdQuery]) -> type[ConfdQuery]:
        return mutant

    @pytest.fixture
    def queries(self) -> list[Any]:
        return ["/cluster/cluster_name", "/cluster", "/instances", "/serial_no"]


class TakesAForeignNumber(ConfigQuery):
    NUMBER = 1000


class TrustsTheQuery(ConfigQuery):
    @hookimpl
    def answer(self, view: ConfigView, query: Any) -> Answer:
        return super().answer(view, "/" + query.lstrip("/"))


class RaisesForUnknown(ConfigQuery):
    @hookimpl
    def answer(self, view: ConfigView, query: Any) -> Answer:
        answer = super().answer(view, query)
        if answer.status:
            raise KeyError(query)
        return answer


class CountsItsAnswers(ConfigQuery):
    count = 0

    @hookimpl
    def answer(self, view: ConfigView, query: Any) -> Answer:
        self.count += 1
        return ok([self.count, super().answer(view, query).answer], self.count)


class RemembersTheFirstView(ConfigQuery):
    def __init__(self, context: PluginContext) -> None:
        super().__init__(context)
        self.seen: dict[str, Answer] = {}

    @hookimpl
    def answer(self, view: ConfigView, query: Any) -> Answer:
        return self.seen.setdefault(str(query), super().answer(view, query))


class ChangesTheView(ConfigQuery):
    @hookimpl
    def answer(self, view: ConfigView, query: Any) -> Answer:
        view.cluster.enabled_hypervisors.append("asked")
        return super().answer(view, query)


class ReturnsNoJson(ConfigQuery):
    @hookimpl
    def answer(self, view: ConfigView, query: Any) -> Answer:
        return ok(object(), 1)


class HandsOutSecrets(ConfigQuery):
    @hookimpl
    def answer(self, view: ConfigView, query: Any) -> Answer:
        super().answer(view, query)
        return ok([inst.osparams_private for inst in view.instances.values()], 1)


class AnswersErrorsWithASerial(ConfigQuery):
    @hookimpl
    def answer(self, view: ConfigView, query: Any) -> Answer:
        answer = super().answer(view, query)
        return Answer(answer.status, answer.answer, view.cluster.serial_no)


class FailsWithoutInstances(ConfigQuery):
    @hookimpl
    def answer(self, view: ConfigView, query: Any) -> Answer:
        assert view.instances
        return super().answer(view, query)


@pytest.mark.parametrize(
    ("mutant", "caught_by"),
    [
        (TakesAForeignNumber, "test_number_is_free_for_it"),
        (TrustsTheQuery, "test_odd_queries_get_an_error_that_says_why"),
        (RaisesForUnknown, "test_odd_queries_get_an_error_that_says_why"),
        (CountsItsAnswers, "test_same_question_same_answer"),
        (RemembersTheFirstView, "test_answers_follow_the_view"),
        (ChangesTheView, "test_the_view_stays_as_it_is"),
        (ReturnsNoJson, "test_answers_are_json"),
        (HandsOutSecrets, "test_no_secret_is_handed_out"),
        (AnswersErrorsWithASerial, "test_odd_queries_get_an_error_that_says_why"),
        (FailsWithoutInstances, "test_a_cluster_without_instances"),
    ],
)
def test_mutant_is_caught(mutant: type[ConfdQuery], caught_by: str) -> None:
    assert caught_by in run_suite(Suite, mutant, only=caught_by).failed


def test_the_real_plugin_passes() -> None:
    assert run_suite(Suite, ConfigQuery).failed == set()
