"""gnt-cluster modify."""

from __future__ import annotations

from typing import Any

import click

from ganeti_cli.app import Misuse
from ganeti_cli.cluster_options import make_opcode, settings_options
from ganeti_cli.jobs import follow_result, job_options, run_opcode
from ganeti_cli.options import JOB, options


@click.command()
@settings_options(making=False)
@options(*JOB, "force")
def modify(**given: Any) -> int:
    """Change the cluster's settings: all that are given, or none if one is wrong.

    A parameter's value `default` brings back what it is without any setting.
    """
    fields = make_opcode(given)
    if not fields:
        raise Misuse("Please give at least one of the parameters.")
    opcode = {"OP_ID": "OP_CLUSTER_SET_PARAMS", "force": given["force"], **fields}
    return follow_result(run_opcode(opcode, **job_options(given)))
