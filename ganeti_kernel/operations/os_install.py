"""Installing a guest's operating system."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ganeti_kernel.errors import GenericError, OpExecError, RemoteError
from ganeti_kernel.jobs.operation import JobContext, Step, step
from ganeti_kernel.objects import Guest
from ganeti_kernel.operations.disks import node_of


@step
class InstallOs(Step):
    """Run the OS's create script. Arguments: node, guest, osparams, private, debug.

    `private` names the parameters whose values must not be seen in the script's log.

    Secret parameters are not among the arguments, which are kept: the job process adds them.
    """

    NAME = "os.create"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        guest = msgspec.convert(args["guest"], Guest)
        context.log(f"* running the instance OS create scripts ({guest.os})...")
        node = node_of(context, args)
        try:
            context.nodes.call(
                node,
                "os_create",
                guest=guest,
                osparams={**args["osparams"], **context.secrets},
                private=sorted({*args.get("private", ()), *context.secrets}),
                reinstall=False,
                debug=int(args["debug"]),
            )
        except RemoteError:
            raise
        except GenericError as error:
            raise OpExecError(f"on node {node.name}: {error}") from error
