"""What `lvs` prints, as report objects. Field names and options: upstream 3.0."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ganeti_kernel.errors import CommandError
from ganeti_kernel.specs.collector import Field

SEPARATOR = ";"


def _bytes(text: str) -> int:
    return int(text.removesuffix("B"))


COLUMNS: tuple[tuple[str, Callable[[str], Any], Field], ...] = (
    ("lv_uuid", str, Field(path="[].uuid", type="string", help="UUID of the volume")),
    ("lv_name", str, Field(path="[].name", type="string", help="name of the volume", label=True)),
    ("lv_attr", str, Field(path="[].attr", type="string", help="attributes as lvs prints them")),
    ("lv_major", int, Field(path="[].major", help="persistent major number, -1 for none")),
    ("lv_minor", int, Field(path="[].minor", help="persistent minor number, -1 for none")),
    ("lv_kernel_major", int, Field(path="[].kernel_major", help="major number, -1 for none")),
    ("lv_kernel_minor", int, Field(path="[].kernel_minor", help="minor number, -1 for none")),
    (
        "lv_size",
        _bytes,
        Field(path="[].size", unit="bytes", help="size of the volume", metric="size_bytes"),
    ),
    (
        "seg_count",
        int,
        Field(path="[].seg_count", help="segments the volume has", metric="segments"),
    ),
    ("lv_tags", str, Field(path="[].tags", type="string", help="tags of the volume")),
    ("modules", str, Field(path="[].modules", type="string", help="kernel modules it needs")),
    ("vg_uuid", str, Field(path="[].vg_uuid", type="string", help="UUID of the volume group")),
    (
        "vg_name",
        str,
        Field(path="[].vg_name", type="string", help="name of the volume group", label=True),
    ),
    ("segtype", str, Field(path="[].segtype", type="string", help="type of the segment")),
    (
        "seg_start",
        _bytes,
        Field(
            path="[].seg_start",
            unit="bytes",
            help="where in the volume the segment starts",
            label=True,
        ),
    ),
    (
        "seg_start_pe",
        int,
        Field(path="[].seg_start_pe", unit="extents", help="the same in physical extents"),
    ),
    (
        "seg_size",
        _bytes,
        Field(
            path="[].seg_size",
            unit="bytes",
            help="size of the segment",
            metric="segment_size_bytes",
        ),
    ),
    ("seg_tags", str, Field(path="[].seg_tags", type="string", help="tags of the segment")),
    ("seg_pe_ranges", str, Field(path="[].seg_pe_ranges", type="string", help="extents it has")),
    ("devices", str, Field(path="[].devices", type="string", help="devices it lies on")),
)

OPTIONS = tuple(option for option, _convert, _field in COLUMNS)
KEYS = tuple(field.path.removeprefix("[].") for _option, _convert, field in COLUMNS)
NUMBERS = tuple((index, column[1]) for index, column in enumerate(COLUMNS) if column[1] is not str)
FIELDS = (
    *(field for _option, _convert, field in COLUMNS),
    Field(
        path="[].instance",
        type="string",
        help="instance that has the volume as a disk or part of one, null for none",
        label=True,
    ),
)


def parse(text: str, owners: Mapping[tuple[str, str], str]) -> list[dict[str, Any]]:
    """One object a line. `owners`: (volume group, volume) -> instance.

    Raises CommandError that names the line which is none.
    """
    return [_line(line.strip(), owners) for line in text.splitlines() if line.strip()]


def _line(line: str, owners: Mapping[tuple[str, str], str]) -> dict[str, Any]:
    values: list[Any] = line.split(SEPARATOR)
    try:
        if len(values) != len(KEYS):
            raise ValueError
        for index, convert in NUMBERS:
            values[index] = convert(values[index])
    except ValueError:
        raise CommandError(
            f"lvs printed {line[:120]!r}, not {len(KEYS)} columns with {SEPARATOR!r} between them"
        ) from None
    out = dict(zip(KEYS, values, strict=True))
    out["instance"] = owners.get((out["vg_name"], out["name"]))
    return out
