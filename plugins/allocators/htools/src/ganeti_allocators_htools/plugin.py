"""`hail` as an Allocator plugin: the program's decisions without a process of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ganeti_kernel.specs import Description, hookimpl
from ganeti_kernel.specs.allocator import Allocator

from . import __version__

if TYPE_CHECKING:
    from .options import Options

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
        from .loaders.ialloc import section
        from .message import question

        try:
            settings = _settings(options)
            wanted = section(request, "request", dict, "invalid iallocator message")
            _, state, rules = question(request, settings)
            return dict(answer(wanted, state, rules).response)
        except HtoolsError as error:
            text = f"the request is not understood: {error}"
            return {"success": False, "info": text, "result": []}


def _settings(parameters: Mapping[str, str]) -> Options:
    """The allocator parameters as `hail`'s options; raises `UsageError` that names a bad one."""
    from .command_line import read
    from .errors import UsageError

    flags = []
    for name, value in parameters.items():
        flags.append(f"--{name}" if value in ("", "True", "None") else f"--{name}={value}")
        try:
            read("hail", flags[-1:])
        except UsageError as error:
            why = str(error).split("\n\n")[0].rstrip().replace("\n", " ")
            raise UsageError(f"allocator parameter {name!r}: {why}") from error
    return read("hail", flags)
