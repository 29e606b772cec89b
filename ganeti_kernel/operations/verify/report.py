"""What `gnt-cluster verify` reports: findings with upstream's codes, and their lines."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from ganeti_kernel.constants import VERIFY_CODES
from ganeti_kernel.jobs.operation import JobContext


class Finding(NamedTuple):
    """Something that is wrong (or, as a warning, worth knowing). `item` names the object."""

    code: str
    item: str
    text: str
    warning: bool = False


def line(finding: Finding, *, codes: bool, ignored: Collection[str]) -> str:
    """The line of a finding; an ignored code is only a warning."""
    severity = "WARNING" if finding.warning or finding.code in ignored else "ERROR"
    kind = VERIFY_CODES[finding.code]
    if codes:
        return f"  - {severity}:{finding.code}:{kind}:{finding.item}:{finding.text}"
    item = f" {finding.item}" if finding.item else ""
    return f"  - {severity}: {kind}{item}: {finding.text}"


def is_error(finding: Finding, ignored: Collection[str]) -> bool:
    return not finding.warning and finding.code not in ignored


class Reporter:
    """Tells a job's findings and remembers whether one was an error.

    `args` are the fields all opcodes of a verification share: error_codes, ignore_errors,
    verbose, debug_simulate_errors.
    """

    def __init__(self, context: JobContext, args: Mapping[str, Any]) -> None:
        self._context = context
        self._codes = bool(args["error_codes"])
        self._ignored = frozenset(args["ignore_errors"])
        self._verbose = bool(args["verbose"])
        self._simulate = bool(args["debug_simulate_errors"])
        self.bad = False

    def section(self, text: str) -> None:
        self._context.log(f"* {text}")

    def detail(self, text: str) -> None:
        """A section line that only a verbose verification has."""
        if self._verbose:
            self.section(text)

    def notice(self, text: str) -> None:
        self._context.log(f"  - NOTICE: {text}")

    def output(self, text: str) -> None:
        """Lines that somebody else wrote, indented under a finding."""
        for item in text.splitlines():
            self._context.log(f"      {item}")

    def tell(self, findings: Iterable[Finding]) -> None:
        for item in findings:
            self._context.log(line(item, codes=self._codes, ignored=self._ignored))
            self.bad = self.bad or is_error(item, self._ignored)

    def simulate(self, codes: Iterable[str], item: str) -> None:
        """With debug_simulate_errors: a finding of each code, so that readers can be tested."""
        if self._simulate:
            self.tell(Finding(code, item, "simulated error") for code in codes)
