"""Steps that add an object to the configuration, change it, or take it out again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ganeti_kernel.config.changes import Draft, ident_of, lookup
from ganeti_kernel.config.keys import object_class
from ganeti_kernel.jobs.operation import JobContext, Step, StepPlan, step


def add_object(value: msgspec.Struct) -> StepPlan:
    """A step that writes a new object; undone, it is taken out again."""
    table, uuid = ident_of(value)
    args = {"table": table, "uuid": uuid, "value": msgspec.to_builtins(value)}
    return StepPlan(name=AddObject.NAME, args=args)


def drop_object(value: msgspec.Struct) -> StepPlan:
    """A step that takes an object out; put NO_RETURN before it."""
    table, uuid = ident_of(value)
    return StepPlan(name=DropObject.NAME, args={"table": table, "uuid": uuid})


def set_fields(value: msgspec.Struct, **fields: Any) -> StepPlan:
    """A step that gives fields of an object plain values; undone, they have those of now."""
    table, uuid = ident_of(value)
    before = {name: getattr(value, name) for name in fields}
    args = {"table": table, "uuid": uuid, "fields": fields, "before": before}
    return StepPlan(name=SetFields.NAME, args=args)


@step
class AddObject(Step):
    """Arguments: table, uuid, value."""

    NAME = "config.add"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        value = msgspec.convert(args["value"], object_class(args["table"]))

        def change(draft: Draft) -> None:
            if lookup(draft.view, (args["table"], args["uuid"])) is None:
                draft.put(value)

        context.update(change)

    def undo(self, context: JobContext, args: Mapping[str, Any]) -> None:
        drop(context, args["table"], args["uuid"])


@step
class DropObject(Step):
    """Arguments: table, uuid."""

    NAME = "config.remove"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        drop(context, args["table"], args["uuid"])


def drop(context: JobContext, table: str, uuid: str) -> None:
    """Take an object out of the configuration; one that is gone is success."""

    def change(draft: Draft) -> None:
        value = lookup(draft.view, (table, uuid))
        if value is not None:
            draft.delete(value)

    context.update(change)


@step
class SetFields(Step):
    """Arguments: table, uuid, fields, before (the same fields' old values)."""

    NAME = "config.set-fields"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        _set(context, args, args["fields"])

    def undo(self, context: JobContext, args: Mapping[str, Any]) -> None:
        _set(context, args, args["before"])


def _set(context: JobContext, args: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
    def change(draft: Draft) -> None:
        value = lookup(draft.view, (args["table"], args["uuid"]))
        if value is not None:
            draft.replace(value, **fields)

    context.update(change)
