"""What holds for plugins of every kind."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ganeti_kernel.paths import Paths
from ganeti_kernel.specs import API_AGE, API_VERSION, Parameter, Plugin, PluginContext
from ganeti_kernel.testing.fakes import FixedLookup, RecordingNics

PARAMETER_TYPES = {
    "string": (str,),
    "maybe-string": (str, type(None)),
    "int": (int,),
    "size": (int,),
    "float": (int, float),
    "bool": (bool,),
}


class PluginContract:
    """Base of every suite.

    To fill in: `plugin_class`; or `make` when a plugin's constructor takes more than a context.
    May be overridden: `nics`, `neighbours`, `context`.
    Never to be overridden: the tests, `plugin`.
    """

    CONTRACT: ClassVar[type] = Plugin
    FEATURES: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Each feature of the contract, with the optional methods that it promises.

    One that ends with a colon stands for all that begin so.
    """

    def _known(self, feature: str) -> str | None:
        family = feature.partition(":")[0] + ":"
        return next((name for name in (feature, family) if name in self.FEATURES), None)

    # -- fixtures --------------------------------------------------------------------------------

    @pytest.fixture
    def plugin_class(self) -> type[Plugin]:
        raise NotImplementedError("fill in the fixture plugin_class: return your plugin's class")

    @pytest.fixture
    def nics(self) -> RecordingNics:
        return RecordingNics()

    @pytest.fixture
    def neighbours(self) -> FixedLookup:
        return FixedLookup()

    @pytest.fixture
    def context(
        self, ganeti_root: Path, nics: RecordingNics, neighbours: FixedLookup
    ) -> PluginContext:
        return PluginContext(
            paths=Paths(ganeti_root), node_name="node1.example.com", nics=nics, plugins=neighbours
        )

    @pytest.fixture
    def make(self, plugin_class: type[Plugin], context: PluginContext) -> Callable[[], Any]:
        """Makes another object of the plugin on the same node, as a restarted daemon does."""
        return lambda: plugin_class(context)

    @pytest.fixture
    def plugin(self, make: Callable[[], Any]) -> Any:
        return make()

    # -- tests -----------------------------------------------------------------------------------

    def test_contract_tests_are_all_there(self) -> None:
        """An override must be an expected failure with its reason."""
        for name in {name for name in dir(type(self)) if name.startswith("test_")}:
            owners = [cls for cls in type(self).__mro__ if name in vars(cls)]
            original = next(cls for cls in reversed(owners))
            if not original.__module__.startswith("ganeti_kernel.testing."):
                continue
            if owners[0].__module__.startswith("ganeti_kernel.testing."):
                continue
            marks = getattr(vars(owners[0])[name], "pytestmark", [])
            reasons = [mark.kwargs.get("reason") for mark in marks if mark.name == "xfail"]
            assert any(reasons), f"{name} is the contract's: mark the override xfail with a reason"

    def test_derives_from_contract(self, plugin: Any) -> None:
        assert isinstance(plugin, self.CONTRACT)

    def test_api_version_is_supported(self, plugin: Any) -> None:
        assert API_VERSION - API_AGE <= type(plugin).API_VERSION <= API_VERSION

    def test_methods_are_marked(self, plugin: Any) -> None:
        for name, _ in contract_methods(self.CONTRACT):
            own = getattr(type(plugin), name)
            if own is getattr(self.CONTRACT, name):
                continue
            assert hasattr(own, "ganeti_impl"), f"mark {name} with @hookimpl"

    def test_methods_have_the_contracts_arguments(self, plugin: Any) -> None:
        for name, theirs in contract_methods(self.CONTRACT):
            own = list(inspect.signature(getattr(type(plugin), name)).parameters)
            assert own == list(inspect.signature(theirs).parameters), name

    def test_description_is_always_the_same(self, plugin: Any, make: Callable[[], Any]) -> None:
        assert plugin.describe() == plugin.describe() == make().describe()

    def test_description_says_who_it_is(self, plugin: Any) -> None:
        description = plugin.describe()
        assert description.name.strip() == description.name != ""
        assert re.match(r"\d", description.version)
        assert description.summary.strip()
        assert "\n" not in description.summary

    def test_features_are_the_contracts(self, plugin: Any) -> None:
        unknown = {item for item in plugin.describe().features if not self._known(item)}
        assert not unknown, f"not features of {self.CONTRACT.__name__}: {sorted(unknown)}"

    def test_features_are_implemented(self, plugin: Any) -> None:
        for feature in plugin.describe().features:
            for method in self.FEATURES.get(self._known(feature) or "", ()):
                own = getattr(type(plugin), method)
                assert own is not getattr(self.CONTRACT, method), f"{feature} promises {method}"

    def test_parameters_are_well_described(self, plugin: Any) -> None:
        parameters = plugin.describe().parameters
        names = [item.name for item in parameters]
        assert len(names) == len(set(names)), "a parameter is described twice"
        for item in parameters:
            check_parameter(item)


def contract_methods(contract: type) -> Iterator[tuple[str, Any]]:
    """Name and function of each method of a contract."""
    for name, member in inspect.getmembers(contract, inspect.isfunction):
        if hasattr(member, "ganeti_spec"):
            yield name, member


def check_parameter(item: Parameter) -> None:
    """Assert that a parameter's type is known and that its default keeps its own rules."""
    assert item.type in PARAMETER_TYPES, f"{item.name}: unknown type {item.type}"
    types = PARAMETER_TYPES[item.type]
    assert isinstance(item.default, types), f"{item.name}: default is no {item.type}"
    assert isinstance(item.default, bool) == (item.type == "bool"), item.name
    if item.choices and item.default != "":
        assert item.default in item.choices, f"{item.name}: default is no choice"
    if isinstance(item.default, int | float):
        assert item.minimum is None or item.default >= item.minimum, item.name
        assert item.maximum is None or item.default <= item.maximum, item.name
    if item.pattern is not None:
        assert not item.default or re.fullmatch(item.pattern, str(item.default)), item.name
