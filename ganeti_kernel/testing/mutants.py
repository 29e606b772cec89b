"""Runs a suite on a plugin that was broken on purpose.

A suite that cannot fail is worth nothing: for each promise there is a mutant, a plugin that
breaks it, and a test that the suite notices.

    class MutantForgetsDetach(ExtStorageContract):
        plugin_class = ...

    @pytest.mark.parametrize("mutant, caught_by", [(MutantForgetsDetach, "test_detach_…")])
    def test_mutant_is_caught(mutant, caught_by):
        assert caught_by in run_suite(mutant).failed

The classes' names must not begin with "Test", or pytest would run them in the first place.
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

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.nodeid.rpartition("::")[2].partition("[")[0]
        if report.failed:
            self.failed.add(name)
        elif report.skipped:
            self.skipped.add(name)
        elif report.when == "call":
            self.passed.add(name)


def run_suite(suite: type, only: str = "") -> Outcome:
    """Run the tests of a class (those that match the expression `only`) in this process."""
    outcome = Outcome()
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
