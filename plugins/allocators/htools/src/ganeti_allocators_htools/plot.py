"""Pictures of nodes' use before and after, as SVG text or PNG bytes.

One panel per quantity (memory, disk, virtual CPUs, load) with its scale, in it a pair of bars per
node; the line is the mean. Both pictures are made of the same boxes and texts; for PNG, text is
drawn in dots, so that neither a font nor a drawing library is needed.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from html import escape
from typing import NamedTuple

import numpy as np

from . import pixel_font
from .model import Floats
from .state import State

BEFORE, AFTER, LINE, PAPER = "#b0b7c3", "#2f6fb7", "#c0392b", "#ffffff"
INK, FRAME = "#333333", "#dddddd"
_BAR, _GAP, _HEIGHT, _MARGIN, _LABEL = 8, 6, 120, 50, 90
_HEAD, _NARROWEST = 24, 300
_DOT = 2
"""Pixels of a dot of a letter."""


class Panel(NamedTuple):
    """One quantity: values per node, as fractions of ``top``."""

    title: str
    before: Floats
    after: Floats
    top: float


class Rectangle(NamedTuple):
    """A filled box in pixels."""

    x: int
    y: int
    width: int
    height: int
    colour: str


class Label(NamedTuple):
    """Text whose first letter's lower left corner is at (x, y); `turned` runs downwards."""

    x: int
    y: int
    text: str
    turned: bool = False


def _fractions(state: State) -> dict[str, Floats]:
    nodes = state.static.cluster.nodes
    with np.errstate(divide="ignore", invalid="ignore"):
        values = {
            "memory used": 1 - state.umem / nodes.tmem,
            "memory reserved": state.rmem / nodes.tmem,
            "disk used": 1 - state.pdsk,
            "virtual CPUs per CPU": state.ucpu / nodes.tcpu / nodes.cpu_speed,
            "CPU load": state.cload / state.static.pool[0],
        }
    return {name: np.nan_to_num(row, nan=0, posinf=0, neginf=0) for name, row in values.items()}


def panels(before: State, after: State) -> list[Panel]:
    """The quantities to draw; both states are of one cluster."""
    old, new = _fractions(before), _fractions(after)
    result = []
    for name, values in old.items():
        top = float(max(values.max(initial=0), new[name].max(initial=0), 1e-9))
        result.append(Panel(name, values, new[name], max(top, 1.0) if "used" in name else top))
    return result


def _size(drawn: list[Panel]) -> tuple[int, int]:
    count = len(drawn[0].before) if drawn else 0
    width = _MARGIN * 2 + count * (2 * _BAR + _GAP)
    return max(_NARROWEST, width), _HEAD + len(drawn) * (_HEIGHT + _MARGIN) + _LABEL


def _base(number: int) -> int:
    """Where the bars of a panel stand."""
    return _HEAD + number * (_HEIGHT + _MARGIN) + _MARGIN + _HEIGHT


def rectangles(drawn: list[Panel]) -> list[Rectangle]:
    """Legend, frames, bars and mean lines of the picture."""
    width, _ = _size(drawn)
    boxes = [
        Rectangle(_MARGIN + 80 * place, 12, 10, 10, colour)
        for place, colour in enumerate((BEFORE, AFTER))
    ]
    boxes.append(Rectangle(_MARGIN + 160, 17, 10, 1, LINE))
    for number, panel in enumerate(drawn):
        base = _base(number)
        for share in (0, 0.5, 1):
            y = base - round(_HEIGHT * share)
            boxes.append(Rectangle(_MARGIN, y, width - 2 * _MARGIN, 1, FRAME))
        for node in range(len(panel.before)):
            left = _MARGIN + node * (2 * _BAR + _GAP)
            for offset, values, colour in (
                (0, panel.before, BEFORE),
                (_BAR, panel.after, AFTER),
            ):
                height = round(_HEIGHT * max(0.0, min(1.0, float(values[node]) / panel.top)))
                boxes.append(Rectangle(left + offset, base - height, _BAR, height, colour))
        if len(panel.after):
            mean = round(_HEIGHT * max(0.0, min(1.0, float(panel.after.mean()) / panel.top)))
            boxes.append(Rectangle(_MARGIN, base - mean, width - 2 * _MARGIN, 1, LINE))
    return boxes


def labels(drawn: list[Panel], nodes: tuple[str, ...]) -> Iterator[Label]:
    """Legend, titles, scales and nodes' names."""
    for place, text in enumerate(("before", "after", "mean")):
        yield Label(_MARGIN + 80 * place + 14, 22, text)
    for number, panel in enumerate(drawn):
        base = _base(number)
        yield Label(_MARGIN, base - _HEIGHT - 8, panel.title)
        for share in (0.0, 0.5, 1.0):
            yield Label(4, base - round(_HEIGHT * share) + 4, f"{panel.top * share:.4g}"[:6])
    for node, name in enumerate(nodes):
        left = _MARGIN + node * (2 * _BAR + _GAP) + 2
        yield Label(left, _base(len(drawn) - 1) + 8, name[: _LABEL // (4 * _DOT)], turned=True)


def svg(before: State, after: State) -> str:
    """The picture as SVG, with titles and node names."""
    drawn = panels(before, after)
    width, height = _size(drawn)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        ' font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="{PAPER}"/>',
    ]
    for box in rectangles(drawn):
        parts.append(
            f'<rect x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}"'
            f' fill="{box.colour}"/>'
        )
    for label in labels(drawn, before.static.cluster.nodes.alias):
        turn = " rotate(90)" if label.turned else ""
        place = f"translate({label.x},{label.y}){turn}"
        parts.append(f'<text transform="{place}" fill="{INK}">{escape(label.text)}</text>')
    return "\n".join((*parts, "</svg>\n"))


def _rgb(colour: str) -> list[int]:
    return [int(colour[start : start + 2], 16) for start in (1, 3, 5)]


def _chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png(before: State, after: State) -> bytes:
    """The picture as PNG: 8-bit RGB."""
    drawn = panels(before, after)
    width, height = _size(drawn)
    image = np.full((height, width, 3), 255, dtype=np.uint8)
    for box in rectangles(drawn):
        image[box.y : box.y + box.height, box.x : box.x + box.width] = _rgb(box.colour)
    for label in labels(drawn, before.static.cluster.nodes.alias):
        for column, row in pixel_font.dots(label.text):
            x, y = label.x + _DOT * column, label.y + _DOT * (row - pixel_font.HEIGHT)
            if label.turned:
                x, y = label.x + _DOT * (pixel_font.HEIGHT - row), label.y + _DOT * column
            image[y : y + _DOT, x : x + _DOT] = _rgb(INK)
    rows = np.concatenate((np.zeros((height, 1), np.uint8), image.reshape(height, -1)), axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(rows.tobytes(), 9))
        + _chunk(b"IEND", b"")
    )
