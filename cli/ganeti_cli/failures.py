"""From an error to what a person reads and a script checks (upstream 3.0's forms and codes)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ganeti_kernel import errors
from ganeti_kernel.constants import EXIT_FAILURE, EXIT_NOT_CLUSTER, EXIT_NOT_MASTER, EXIT_USAGE


class NotCluster(errors.LuxiError):
    """This machine belongs to no cluster."""


class NotMaster(errors.LuxiError):
    """This node is not the master. Argument: the master's name."""


def _prereq(error: errors.GenericError) -> str:
    head = "Failure: prerequisites not met for this operation:\n"
    if len(error.args) > 1:
        return f"{head}error type: {error.args[1]}, error details:\n{error}"
    return f"{head}{error}"


def _hooks(error: errors.GenericError) -> str:
    lines = ["Failure: hooks execution failed:"]
    for item in error.args[0] if error.args else ():
        node, script, output = (*item, "", "", "")[:3]
        lines.append(f"  node: {node}, script: {script}, output: {output or '(no output)'}")
    return "\n".join(lines)


def _not_master(error: errors.GenericError) -> str:
    return f"This node is not the master: run the command on {error}"


_FORMS: Final[dict[type[errors.GenericError], tuple[Callable[[errors.GenericError], str], int]]] = {
    NotCluster: (
        lambda _e: (
            "Failure: prerequisites not met for this operation:\n"
            "error type: wrong_input, error details:\n"
            "Cluster not initialized or this machine is not part of a cluster"
        ),
        EXIT_FAILURE,
    ),
    NotMaster: (_not_master, EXIT_FAILURE),
    errors.TagError: (lambda e: f"Failure: invalid tag(s) given:\n{e}", EXIT_FAILURE),
    errors.HooksAbort: (_hooks, EXIT_FAILURE),
    errors.OpPrereqError: (_prereq, EXIT_FAILURE),
    errors.OpExecError: (lambda e: f"Failure: command execution error:\n{e}", EXIT_FAILURE),
    errors.ConfigVersionMismatch: (lambda e: f"Corrupt configuration file: {e}", EXIT_USAGE),
    errors.ConfigurationError: (lambda e: f"Corrupt configuration file: {e}", EXIT_USAGE),
    errors.JobCanceled: (lambda e: f"Job was cancelled: {e}", EXIT_FAILURE),
    errors.JobLost: (lambda e: f"Error checking job status: {e}", EXIT_FAILURE),
    errors.JobQueueDrainError: (
        lambda _e: (
            "Failure: the job queue is drained and takes no jobs; "
            "`gnt-cluster queue undrain` opens it again"
        ),
        EXIT_FAILURE,
    ),
    errors.JobQueueFull: (
        lambda _e: (
            "Failure: the job queue is full; archive old jobs with `gnt-job autoarchive all`"
        ),
        EXIT_FAILURE,
    ),
    errors.QueryFilterParseError: (
        lambda e: f"Error while parsing query filter: {e}",
        EXIT_FAILURE,
    ),
    errors.LuxiError: (lambda e: f"Cannot communicate with the master daemon: {e}", EXIT_FAILURE),
    errors.ParameterError: (lambda e: f"Failure: unknown/wrong parameter: {e}", EXIT_FAILURE),
    errors.PluginError: (lambda e: f"Failure: {e}", EXIT_FAILURE),
}

__all__ = ["EXIT_NOT_CLUSTER", "EXIT_NOT_MASTER", "NotCluster", "NotMaster", "explain"]


def explain(error: errors.GenericError) -> tuple[str, int]:
    """Return the text for standard error and the exit code."""
    for cls in type(error).__mro__:
        form = _FORMS.get(cls)
        if form is not None:
            return form[0](error), form[1]
    return f"Failure: {error}", EXIT_FAILURE
