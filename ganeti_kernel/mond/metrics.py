"""Numbers of a report as Prometheus metrics.

Names and help come from the collector's `FIELDS`; a number that no field describes is called
after its path. Labels are the items' own (`label` fields), positions, or keys, as the path says.
Source of the format and of the rules for names: Prometheus' documentation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ganeti_kernel.specs.collector import Collector, Field

MAX_SAMPLES: Final = 50_000
"""Samples of one collector; what is beyond is left out."""

Family = tuple[str, str, str]
"""Name, the lines HELP and TYPE, the lines of samples."""

PREFIX: Final = "ganeti_"
_RESERVED: Final = ("_total", "_count", "_sum", "_bucket", "_info", "_created")
"""Endings that Prometheus keeps for other types than gauges."""
_STEP: Final = re.compile(r"([^.\[\]{}]+)|\[(\w*)\]|\{(\w+)\}")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_STRANGE: Final = re.compile(r"[^a-z0-9_]+")

NAME: Final = "name"
"""Member that tells the items of a list apart when no field says which does."""

ITEM: Final = "[]"
KEY: Final = "{}"


class _Node:
    """One step of the paths in `FIELDS`: a member, the items of a list, or the keys of a map."""

    __slots__ = ("children", "family", "field", "label", "labels", "words")

    def __init__(self, words: tuple[str, ...]) -> None:
        self.children: dict[str, _Node] = {}
        self.words = words
        self.label = ""
        self.labels: list[str] = []
        self.field: Field | None = None
        self.family: _Family | None = None


class _Family:
    __slots__ = ("head", "lines", "name", "scale")

    def __init__(self, name: str, help_text: str, kind: str, scale: float) -> None:
        self.name = name
        self.scale = scale
        self.head = f"# HELP {name} {_escape_help(help_text)}\n# TYPE {name} {kind}\n"
        self.lines: list[str] = []


def render(name: str, collector: Collector, data: Any) -> list[Family]:
    """The metrics of one report. A collector that makes its own is asked for them."""
    own = collector.metrics(data)
    if own is not None:
        return split_text(own)
    return from_fields(name, collector.FIELDS, data)


def from_fields(name: str, fields: tuple[Field, ...], data: Any) -> list[Family]:
    writer = _Writer(name)
    writer.walk(_tree(fields), data, "")
    return [
        (family.name, family.head, "".join(family.lines))
        for family in writer.families.values()
        if family.lines
    ]


def metric_name(collector: str, words: tuple[str, ...], field: Field | None) -> str:
    """The metric of a field: as the field says, else after the words of its path."""
    tail = field.metric if field is not None and field.metric else "_".join(map(snake, words))
    out = PREFIX + snake(collector) + (f"_{tail}" if tail else "")
    if (field is None or not field.counter) and out.endswith(_RESERVED):
        out += "_value"
    return out


def snake(word: str) -> str:
    return _STRANGE.sub("_", _CAMEL.sub("_", word).lower()).strip("_")


def steps(path: str) -> Iterator[tuple[str, str]]:
    """A field's path as (what, name): ("a", ""), then (ITEM or KEY, its label's name)."""
    for word, position, key in _STEP.findall(path):
        if word:
            yield word, ""
        elif key:
            yield KEY, key
        else:
            yield ITEM, position


def escape(text: str) -> str:
    """A label's value."""
    if '"' in text or "\\" in text or "\n" in text:
        return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return text


def _escape_help(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _tree(fields: tuple[Field, ...]) -> _Node:
    root = _Node(())
    for field in fields:
        node, parent = root, root
        for what, label in steps(field.path):
            words = node.words if what in (ITEM, KEY) else (*node.words, what)
            parent, node = node, node.children.setdefault(what, _Node(words))
            node.label = node.label or label
        node.field = field
        if field.label:
            parent.labels.append(node.words[-1])
    return root


class _Writer:
    """Walks data along the tree and writes samples."""

    def __init__(self, collector: str) -> None:
        self.collector = collector
        self.families: dict[str, _Family] = {}
        self.left = MAX_SAMPLES

    def walk(self, node: _Node, value: Any, labels: str) -> None:
        if isinstance(value, bool | int | float):
            self._sample(node, value, labels)
        elif isinstance(value, Mapping):
            self._object(node, value, labels)
        elif isinstance(value, list | tuple):
            self._list(node, value, labels)

    def _sample(self, node: _Node, value: float, labels: str) -> None:
        if self.left <= 0:
            return
        self.left -= 1
        family = node.family
        if family is None:
            family = node.family = self._family(node)
        number = value * family.scale if family.scale != 1 else value
        text = repr(float(number)) if isinstance(number, float) else str(int(number))
        lines = family.lines
        if labels:
            lines.append(f"{family.name}{{{labels[:-1]}}} {_number(text)}\n")
        else:
            lines.append(f"{family.name} {_number(text)}\n")

    def _family(self, node: _Node) -> _Family:
        field = node.field
        name = metric_name(self.collector, node.words, field)
        family = self.families.get(name)
        if family is None:
            what = field.help if field is not None else f"field {'.'.join(node.words) or 'data'}"
            kind = "counter" if field is not None and field.counter else "gauge"
            family = _Family(
                name,
                f"{what} (collector {self.collector})",
                kind,
                field.scale if field is not None else 1,
            )
            self.families[name] = family
        return family

    def _object(self, node: _Node, value: Mapping[Any, Any], labels: str) -> None:
        own = node.labels
        if own:
            for key in own:
                label = value.get(key)
                if label is not None:
                    labels += f'{snake(key)}="{escape(str(label))}",'
        keyed = node.children.get(KEY)
        children = node.children
        for key, item in value.items():
            if item is None or key in own:
                continue
            child = children.get(key)
            if child is not None:
                self.walk(child, item, labels)
            elif keyed is not None:
                self.walk(keyed, item, f'{labels}{keyed.label}="{escape(str(key))}",')
            elif not isinstance(item, str):
                child = children[key] = _Node((*node.words, str(key)))
                self.walk(child, item, labels)

    def _list(self, node: _Node, value: list[Any] | tuple[Any, ...], labels: str) -> None:
        child = node.children.get(ITEM)
        if child is None:
            child = node.children[ITEM] = _Node(node.words)
            if value and isinstance(value[0], Mapping) and NAME in value[0]:
                child.labels.append(NAME)
        if child.labels:
            for item in value:
                self.walk(child, item, labels)
            return
        label = child.label or "index"
        for position, item in enumerate(value):
            self.walk(child, item, f'{labels}{label}="{position}",')


def _number(text: str) -> str:
    return {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}.get(text, text)


def split_text(text: str) -> list[Family]:
    """Prometheus text as families; raises ValueError that names the line which is none."""
    families: dict[str, list[str]] = {}
    for line in text.splitlines():
        line = line.strip()
        if not line:
            continue
        head = _HEAD.match(line)
        if head is not None:
            families.setdefault(head[2], ["", ""])[0] += line + "\n"
            continue
        if line.startswith("#"):
            continue
        sample = _SAMPLE.match(line)
        if sample is None:
            raise ValueError(f"{line[:120]!r} is not a line of Prometheus' text format")
        families.setdefault(_base(sample[1], families), ["", ""])[1] += line + "\n"
    return [(name, head, lines) for name, (head, lines) in families.items() if lines]


_HEAD: Final = re.compile(r"# (HELP|TYPE) ([A-Za-z_:][\w:]*)(?: (.*))?$")
_SAMPLE: Final = re.compile(
    r"([A-Za-z_:][\w:]*)(\{(?:\s*[A-Za-z_]\w*\s*=\s*\"(?:[^\"\\]|\\.)*\"\s*,?)*\})?"
    r"\s+([-+]?(?:\d[\d.eE+-]*|\.\d+|Inf|NaN|inf|nan))(\s+-?\d+)?$"
)
_PARTS: Final = ("_bucket", "_sum", "_count")


def _base(name: str, families: Mapping[str, list[str]]) -> str:
    """The family of a sample: a histogram's parts belong to the histogram."""
    for part in _PARTS:
        if name.endswith(part) and name.removesuffix(part) in families:
            return name.removesuffix(part)
    return name
