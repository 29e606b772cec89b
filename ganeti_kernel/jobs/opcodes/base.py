"""What all opcodes share: common fields, decoding with clear errors, summaries.

An opcode travels as a JSON object with its class in "OP_ID". Names of hypervisors, templates and
other plugins are only strings here; the operation checks them against what is installed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec
from msgspec import Meta

from ganeti_kernel.errors import OpCodeUnknown, OpPrereqError, ParameterError

Name = Annotated[str, Meta(min_length=1)]
Natural = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(gt=0)]
DiskIndex = Annotated[int, Meta(ge=0, lt=16)]
Params = dict[str, Any]
NicParams = dict[str, str | None]
FinalStatus = Literal["canceled", "success", "error"]

SUBMIT_PRIORITIES: Final = (-10, 0, 10)
"""Priorities a job can be submitted with: high, normal, low (upstream 3.0)."""


class Opcode(
    msgspec.Struct, tag_field="OP_ID", forbid_unknown_fields=True, kw_only=True, frozen=True
):
    """Fields of every opcode.

    `depends`: [job id, accepted final statuses] each; a negative id counts back within one
    submission, an empty status list takes any end. `reason`: [source, text, nanoseconds] each.
    """

    SUMMARY: ClassVar[str] = ""
    """The field that `opcode_summary` shows in parentheses."""

    dry_run: bool | None = False
    debug_level: Natural | None = 0
    priority: Literal[-10, 0, 10] = 0
    depends: list[tuple[int, list[FinalStatus]]] | None = None
    comment: str | None = None
    reason: list[tuple[str, str, int]] | None = None


class InstanceOpcode(Opcode, kw_only=True, frozen=True):
    """An opcode on one instance."""

    SUMMARY: ClassVar[str] = "instance_name"
    instance_name: str
    instance_uuid: Name | None = None


class NodeOpcode(Opcode, kw_only=True, frozen=True):
    """An opcode on one node."""

    SUMMARY: ClassVar[str] = "node_name"
    node_name: Name
    node_uuid: Name | None = None


class GroupOpcode(Opcode, kw_only=True, frozen=True):
    """An opcode on one node group."""

    SUMMARY: ClassVar[str] = "group_name"
    group_name: Name


def opcode_classes() -> dict[str, type[Opcode]]:
    """OP_ID -> class, of all opcodes whose module was imported."""
    classes = {str(cls.__struct_config__.tag): cls for cls in _descendants(Opcode)}
    return {op_id: cls for op_id, cls in classes.items() if op_id.startswith("OP_")}


def decode_opcode(value: Any) -> Opcode:
    """Build an opcode from its JSON object.

    Raises OpCodeUnknown, or ParameterError with the name of the field that is missing, unknown
    or ill-typed.
    """
    if not isinstance(value, Mapping) or not isinstance(value.get("OP_ID"), str):
        raise ParameterError('an opcode must be an object with "OP_ID"')
    cls = _classes().get(value["OP_ID"])
    if cls is None:
        raise OpCodeUnknown(f"Unknown opcode {value['OP_ID']}")
    try:
        return msgspec.convert(value, cls)
    except msgspec.ValidationError as error:
        raise ParameterError(_explain(str(error))) from None


def encode_opcode(op: Opcode) -> dict[str, Any]:
    """Return the JSON object, all fields filled in, "OP_ID" included."""
    value: dict[str, Any] = msgspec.to_builtins(op)
    return value


def opcode_summary(value: Mapping[str, Any]) -> str:
    """`OP_INSTANCE_CREATE` -> `INSTANCE_CREATE(name)`; works on what was stored, known or not."""
    op_id = str(value.get("OP_ID", ""))
    cls = _classes().get(op_id)
    text = op_id.removeprefix("OP_")
    if cls is not None and cls.SUMMARY:
        field = value.get(cls.SUMMARY)
        if isinstance(field, list):
            field = ",".join(str(item) for item in field)
        text += f"({field})"
    return text


def reason_name(value: Mapping[str, Any]) -> str:
    """The source an opcode has in a reason trail: `gnt:opcode:instance_create`."""
    return f"gnt:opcode:{str(value.get('OP_ID', '')).removeprefix('OP_').lower()}"


def check_priority(priority: int) -> None:
    """Raise OpPrereqError unless a user may ask for this priority."""
    if priority not in SUBMIT_PRIORITIES:
        allowed = ", ".join(str(item) for item in SUBMIT_PRIORITIES)
        raise OpPrereqError(f"priority {priority} is not one of {allowed}", "wrong_input")


_cache: dict[str, type[Opcode]] = {}


def _classes() -> dict[str, type[Opcode]]:
    if not _cache:
        _cache.update(opcode_classes())
    return _cache


def _descendants(cls: type[Opcode]) -> Iterator[type[Opcode]]:
    for child in cls.__subclasses__():
        yield child
        yield from _descendants(child)


_AT = re.compile(r"^(?P<what>.*) - at `\$\.?(?P<where>[^`]*)`$")
_FIELD = re.compile(r"`(?P<field>[a-z0-9_]+)`$")


def _explain(text: str) -> str:
    """msgspec's message -> one that begins with the field's name."""
    at = _AT.match(text)
    if at:
        return f"Can't parse value for '{at['where']}': {at['what']}"
    field = _FIELD.search(text)
    if field and "missing required" in text:
        return f"Missing parameter '{field['field']}'"
    if field and "unknown field" in text:
        return f"Unknown parameter '{field['field']}'"
    return text
