"""The call about exports of instances that a node keeps."""

from __future__ import annotations

from typing import Final

from ganeti_kernel.errors import GenericError
from ganeti_kernel.node.context import NodeContext
from ganeti_kernel.node.registry import node_call

UNFINISHED: Final = ".new"
"""End of the name of an export that is being made (upstream 3.0)."""

MAX_EXPORTS: Final = 10_000


@node_call("exports_list")
def exports_list(context: NodeContext) -> list[str]:
    """Names of the finished exports; raises GenericError on a node that has no place for any."""
    folder = context.paths.export_dir
    try:
        found = [item.name for item in folder.iterdir() if item.is_dir()]
    except OSError as error:
        raise GenericError(f"cannot list exports in {folder}: {error.strerror}") from None
    return sorted(name for name in found if not name.endswith(UNFINISHED))[:MAX_EXPORTS]
