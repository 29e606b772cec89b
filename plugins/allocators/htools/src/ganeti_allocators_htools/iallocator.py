"""The IAllocator protocol: from a request and a cluster to a response, without any I/O.

`answer` is the whole of it; the types are those of protocol version 2 (upstream 3.0, and
``allocate-secondary`` of 2.16). A request that cannot be understood raises `LoadError`; one that
cannot be fulfilled gets a response that says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .choosing import Refused, Rules, allocate_many, allocate_one
from .errors import LoadError
from .loaders.ialloc import section
from .relocating import change_group, evacuate_nodes, relocate
from .secondary import allocate_secondary
from .state import State


@dataclass(frozen=True)
class Answer:
    """The response and the state it leads to."""

    response: dict[str, Any]
    state: State


def answer(request: Mapping[str, Any], state: State, rules: Rules | None = None) -> Answer:
    """Fulfil one decoded request on a prepared state; raises `LoadError`."""
    kind = section(request, "type", str, "invalid request dict")
    handler = _HANDLERS.get(kind)
    if handler is None:
        raise LoadError(f"Invalid request type '{kind}'")
    try:
        info, result, final = handler(request, state, rules or Rules())
    except Refused as err:
        return Answer({"success": False, "info": f"Request failed: {err}", "result": []}, state)
    return Answer({"success": True, "info": f"Request successful: {info}", "result": result}, final)


_HANDLERS = {
    "allocate": allocate_one,
    "multi-allocate": allocate_many,
    "allocate-secondary": allocate_secondary,
    "relocate": relocate,
    "node-evacuate": evacuate_nodes,
    "change-group": change_group,
}
