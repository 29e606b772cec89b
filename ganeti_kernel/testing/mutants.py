"""Runs a suite on a plugin that was broken on purpose.

A suite that cannot fail is worth nothing: for each promise there is a mutant, a plugin that
breaks it, and a test that the suite notices.

    class Suite(ExtStorageContract):
        @pytest.fixture
        def plugin_class(self, mutant: type[Plugin]) -> type[Plugin]:
            return mutant

    @pytest.mark.parametrize("mutant, caught_by", [(ForgetsDetach, "test_data_survive_detach")])
    def test_mutant_is_caught(mutant, caught_by):
        assert caught_by in run_suite(Suite, mutant, only=caught_by).failed

The suite's name must not begin with "Test", or pytest would run it in the first place.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest

CONFIG = """\
[pytest]
python_classes = {name}
markers =
    root: needs root
    slow: takes long
    peer: needs programs of upstream
    qemu: boots a guest
"""


@dataclass
class Outcome:
    """Names of a suite's tests by how they ended."""

    passed: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)
    report: str = ""
    plugin: object = None

    @pytest.fixture
    def mutant(self) -> object:
        """The plugin under test, for the suite's fixtures."""
        return self.plugin

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.nodeid.rpartition("::")[2].partition("[")[0]
        if report.failed:
            self.failed.add(name)
        elif report.skipped:
            self.skipped.add(name)
        elif report.when == "call":
            self.passed.add(name)


def run_suite(suite: type, mutant: object, *, only: str = "") -> Outcome:
    """Run the tests of a class in this process (those that match the expression `only`)."""
    outcome = Outcome(plugin=mutant)
    with tempfile.TemporaryDirectory(prefix="gnt-mutant-") as directory:
        config = Path(directory) / "pytest.ini"
        config.write_text(CONFIG.format(name=suite.__name__))
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            pytest.main(
                [
                    f"{inspect.getfile(suite)}::{suite.__name__}",
                    "-c",
                    str(config),
                    f"--rootdir={directory}",
                    "--import-mode=importlib",
                    "-q",
                    "-p",
                    "no:cacheprovider",
                    "-p",
                    "no:timeout",
                    *(["-k", only] if only else []),
                ],
                plugins=[outcome],
            )
    outcome.passed -= outcome.failed
    outcome.report = output.getvalue()
    assert outcome.passed | outcome.failed, f"no test of {suite.__name__} ran:\n{outcome.report}"
    return outcome
