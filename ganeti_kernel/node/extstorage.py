"""The call about ExtStorage providers: directories of scripts and Python distributions alike."""

from __future__ import annotations

from ganeti_kernel.node.context import NodeContext
from ganeti_kernel.node.registry import node_call
from ganeti_kernel.rpc.results import ProviderStatus

KIND = "extstorage"


@node_call("extstorage_diagnose")
def extstorage_diagnose(context: NodeContext) -> list[ProviderStatus]:
    """Every provider of this node by name, with its parameters or with what is wrong with it."""
    context.refresh()
    good, broken = context.plugins.load_all(KIND)
    found = [
        ProviderStatus(
            name=name,
            path=context.plugins.location(KIND, name),
            valid=True,
            parameters=[(item.name, item.help) for item in provider.describe().parameters],
        )
        for name, provider in good.items()
    ]
    found += [
        ProviderStatus(
            name=item.name,
            path=context.plugins.location(KIND, item.name) or item.distribution,
            valid=False,
            message=item.reason,
        )
        for item in broken
    ]
    return sorted(found, key=lambda item: item.name)
