"""`hail` as an Allocator plugin: the program's decisions without a process of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ganeti_kernel.specs import Description, hookimpl
from ganeti_kernel.specs.allocator import Allocator

from . import __version__

#: Request types of the protocol that it answers.
REQUESTS = (
    "allocate",
    "allocate-secondary",
    "change-group",
    "multi-allocate",
    "node-evacuate",
    "relocate",
)

DESCRIPTION = Description(
    name="hail",
    version=__version__,
    summary="Places instances where the cluster's balance suffers least",
    features=frozenset(REQUESTS),
)


class Hail(Allocator):
    """Answers IAllocator requests by the balancing programs' score."""

    API_VERSION = 1

    @hookimpl
    def describe(self) -> Description:
        return DESCRIPTION

    @hookimpl
    def allocate(self, request: Mapping[str, Any], options: Mapping[str, str]) -> dict[str, Any]:
        # numpy takes a tenth of a second: only a process that places something pays for it.
        from .errors import HtoolsError
        from .iallocator import answer
        from .loaders import ialloc
        from .options import Options
        from .prepare import make_state, prepare

        settings = Options()
        try:
            cluster = ialloc.parse(request, settings.static_kvm_node_memory)
            loaded = prepare(cluster, settings)
            state = make_state(loaded.cluster, loaded.rules, settings)
            return dict(answer(request["request"], state).response)
        except (HtoolsError, KeyError) as error:
            text = f"the request is not understood: {error}"
            return {"success": False, "info": text, "result": []}
