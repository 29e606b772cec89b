"""What Xen says of the instances whose primary node this is. Fields and codes: upstream 3.0."""

from __future__ import annotations

__version__ = "0.1.0"

from shutil import which
from typing import Any

from ganeti_collectors_inst_status_xen.domains import Domain, Hung, parse_list, parse_uptime
from ganeti_kernel.errors import CommandError
from ganeti_kernel.plugins import process
from ganeti_kernel.specs import Description, PluginContext, hookimpl
from ganeti_kernel.specs.collector import (
    BAD,
    CONFD_INPUTS,
    KIND_STATUS,
    Collector,
    merge_status,
    status,
)
from ganeti_kernel.specs.instance_status import FIELDS, entry, primary_instances

TOOLS = ("xl", "xm")
DEADLINE = 4.0
ABSENT = "unknown"


class XenInstanceStatus(Collector):
    """Stateful only to tell a hung domain from an idle one where Xen prints coarse CPU times."""

    API_VERSION = 1
    CATEGORY = "instance"
    KIND = KIND_STATUS
    STATEFUL = True
    FIELDS = FIELDS
    INPUTS = CONFD_INPUTS

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context)
        self._hung = Hung()
        self._now = 0.0

    @hookimpl
    def describe(self) -> Description:
        return Description(
            name="inst-status-xen", version=__version__, summary="status of Xen instances"
        )

    @hookimpl
    def precondition(self) -> str | None:
        return None if _tool() else "neither xl nor xm is installed (no Xen here)"

    @hookimpl
    def update(self, now: float) -> None:
        self._now = now

    @hookimpl
    def collect(self) -> Any:
        instances = primary_instances(self.context.cluster, self.context.node_name)
        try:
            domains = self._domains()
        except CommandError as error:
            text = f"Unable to receive the list of instances: {error}"
            return {"instances": [], "status": status(BAD, text)}
        uptimes = _uptimes()
        entries = []
        for instance in instances:
            name = str(instance["name"])
            actual = self._state(instance, domains.get(name))
            entries.append(entry(self.context.paths, instance, actual, uptimes.get(name)))
        return {
            "instances": entries,
            "status": merge_status(
                (item["status"]["code"], item["status"]["message"]) for item in entries
            ),
        }

    @hookimpl
    def save(self) -> Any:
        return self._hung.save()

    @hookimpl
    def restore(self, state: Any) -> None:
        self._hung.restore(state)
        self._now = max((when for _cpu, when in state.values()), default=0.0)

    def _domains(self) -> dict[str, Domain]:
        """All domains; those that got no CPU time between two looks are hung."""
        first, second = _list(), _list()
        return self._hung.mark(self._now, first, second)

    def _state(self, instance: dict[str, Any], domain: Domain | None) -> str:
        if domain is not None:
            return domain.state
        return "shutdown" if instance.get("admin_state") == "down" else ABSENT


def _tool() -> str | None:
    return next((tool for tool in TOOLS if which(tool)), None)


def _run(*arguments: str) -> str:
    tool = _tool() or TOOLS[0]
    return process.check((tool, *arguments), timeout=DEADLINE).output


def _list() -> dict[str, Domain]:
    text = _run("list", "--long")
    if not text.lstrip().startswith("("):  # this Xen's long form has no states
        text = _run("list")
    return parse_list(text)


def _uptimes() -> dict[str, str]:
    try:
        return parse_uptime(_run("uptime"))
    except CommandError:  # the report does without: the field may be null
        return {}
