"""Tags of the cluster, nodes, node groups, instances and networks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from ganeti_kernel.config.changes import Draft, ident_of, lookup
from ganeti_kernel.errors import ECODE_INVAL, ECODE_NOENT, TagError
from ganeti_kernel.jobs.opcodes import OpTagsDel, OpTagsGet, OpTagsSearch, OpTagsSet
from ganeti_kernel.jobs.operation import (
    JobContext,
    Lock,
    Operation,
    Step,
    StepPlan,
    operation,
    step,
)
from ganeti_kernel.objects import ConfigView
from ganeti_kernel.operations import finding

MAX_LENGTH: Final = 128
MAX_TAGS: Final = 4096
_TAG: Final = re.compile(r"[\w.+*/:@-]+")

_FIND: Final[dict[str, Callable[[ConfigView, str], Any]]] = {
    "node": finding.node,
    "nodegroup": finding.group,
    "instance": finding.instance,
    "network": finding.network,
}


def check_tag(tag: str) -> None:
    """Raise TagError (upstream 3.0's texts) unless this can be a tag."""
    if not tag:
        raise TagError("Tags cannot be empty")
    if len(tag) > MAX_LENGTH:
        raise TagError(f"Tag too long (maximum {MAX_LENGTH} characters)")
    if _TAG.fullmatch(tag) is None:
        raise TagError("Tag contains invalid characters")


def find_tagged(view: ConfigView, kind: str, name: str | None) -> Any:
    """The object a tag opcode means; refuses one that is not there."""
    if kind == "cluster":
        return view.cluster
    if not name:
        finding.refuse(f"which {kind}? its name is missing", ECODE_INVAL)
    return _FIND[kind](view, name)


def search(view: ConfigView, pattern: re.Pattern[str]) -> list[tuple[str, str]]:
    """All (path, tag) whose tag matches somewhere, sorted; paths as upstream 3.0's."""
    tagged: list[tuple[str, Any]] = [("/cluster", view.cluster)]
    for folder, table in (
        ("/instances/", view.instances),
        ("/nodes/", view.nodes),
        ("/nodegroup/", view.nodegroups),
        ("/network/", view.networks),
    ):
        objects: Mapping[str, Any] = table
        tagged += [(folder + value.name, value) for value in objects.values()]
    return sorted(
        (path, tag) for path, value in tagged for tag in value.tags if pattern.search(tag)
    )


@step
class ChangeTags(Step):
    """Add tags to an object and take some away. Arguments: table, uuid, add, remove."""

    NAME = "config.tags"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        _change(context, args, add=args["add"], remove=args["remove"])

    def undo(self, context: JobContext, args: Mapping[str, Any]) -> None:
        _change(context, args, add=args["remove"], remove=args["add"])


def _change(
    context: JobContext, args: Mapping[str, Any], *, add: Sequence[str], remove: Sequence[str]
) -> None:
    def change(draft: Draft) -> None:
        value = lookup(draft.view, (args["table"], args["uuid"]))
        if value is not None:
            draft.replace(value, tags=sorted((set(value.tags) | set(add)) - set(remove)))

    context.update(change)


class _TagOperation(Operation[Any]):
    target: msgspec.Struct

    def locks(self) -> Sequence[Lock]:
        # Tags are sets and the writer notices conflicts: the cluster's need no lock.
        if self.op.kind == "cluster":
            return ()
        found = find_tagged(self.context.view, self.op.kind, self.op.name)
        name = found.name if self.op.kind == "instance" else found.uuid
        return [Lock(self.op.kind, name, exclusive=True)]

    def check(self) -> None:
        for tag in self.op.tags:
            check_tag(tag)
        self.target = find_tagged(self.context.view, self.op.kind, self.op.name)

    @property
    def present(self) -> set[str]:
        return set(self.target.tags)  # type: ignore[attr-defined] # all kinds have tags

    def change(self, *, add: set[str], remove: set[str]) -> list[StepPlan]:
        table, uuid = ident_of(self.target)
        args = {"table": table, "uuid": uuid, "add": sorted(add), "remove": sorted(remove)}
        return [StepPlan(name=ChangeTags.NAME, args=args)] if add or remove else []


@operation
class TagsSet(_TagOperation):
    """Add tags."""

    OPCODE = OpTagsSet

    def check(self) -> None:
        super().check()
        if len(self.present | set(self.op.tags)) > MAX_TAGS:
            raise TagError(f"Too many tags (maximum {MAX_TAGS})")

    def plan(self) -> Sequence[StepPlan]:
        return self.change(add=set(self.op.tags) - self.present, remove=set())


@operation
class TagsDel(_TagOperation):
    """Remove tags that are there."""

    OPCODE = OpTagsDel

    def check(self) -> None:
        super().check()
        missing = sorted(set(self.op.tags) - self.present)
        if missing:
            finding.refuse(f"Tag(s) {', '.join(map(repr, missing))} not found", ECODE_NOENT)

    def plan(self) -> Sequence[StepPlan]:
        return self.change(add=set(), remove=set(self.op.tags))


@operation
class TagsGet(Operation[OpTagsGet]):
    """Return an object's tags."""

    OPCODE = OpTagsGet

    def check(self) -> None:
        self.target = find_tagged(self.context.view, self.op.kind, self.op.name)

    def plan(self) -> Sequence[StepPlan]:
        return []

    def result(self, outcomes: Sequence[Any]) -> Any:
        return sorted(self.target.tags)


@operation
class TagsSearch(Operation[OpTagsSearch]):
    """Return where tags match a regular expression."""

    OPCODE = OpTagsSearch

    def check(self) -> None:
        try:
            self.pattern = re.compile(self.op.pattern)
        except re.error as error:
            finding.refuse(f"Invalid search pattern '{self.op.pattern}': {error}")

    def plan(self) -> Sequence[StepPlan]:
        return []

    def result(self, outcomes: Sequence[Any]) -> Any:
        return search(self.context.view, self.pattern)
