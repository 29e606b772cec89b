"""Pictures of nodes' use before and after, as SVG text or PNG bytes.

One panel per quantity (memory, disk, virtual CPUs, load), in it a pair of bars per node; the line
is the mean. PNG has the bars only: it needs no font and no drawing library.
"""

from __future__ import annotations

import struct
import zlib
from html import escape
from typing import NamedTuple

import numpy as np

from .model import Floats
from .state import State

BEFORE, AFTER, LINE, PAPER = "#b0b7c3", "#2f6fb7", "#c0392b", "#ffffff"
_BAR, _GAP, _HEIGHT, _MARGIN, _LABEL = 8, 6, 120, 40, 90


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
    return _MARGIN * 2 + count * (2 * _BAR + _GAP), len(drawn) * (_HEIGHT + _MARGIN) + _LABEL


def rectangles(drawn: list[Panel]) -> list[Rectangle]:
    """All bars and mean lines of the picture."""
    boxes = []
    width, _ = _size(drawn)
    for number, panel in enumerate(drawn):
        base = number * (_HEIGHT + _MARGIN) + _MARGIN + _HEIGHT
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
    for number, panel in enumerate(drawn):
        top = number * (_HEIGHT + _MARGIN) + _MARGIN - 6
        parts.append(f'<text x="{_MARGIN}" y="{top}">{escape(panel.title)}</text>')
    for node, name in enumerate(before.static.cluster.nodes.alias):
        x = _MARGIN + node * (2 * _BAR + _GAP) + _BAR
        y = len(drawn) * (_HEIGHT + _MARGIN) + 8
        parts.append(f'<text transform="translate({x},{y}) rotate(60)">{escape(name)}</text>')
    return "\n".join((*parts, "</svg>\n"))


def _chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png(before: State, after: State) -> bytes:
    """The picture as PNG: 8-bit RGB, no text."""
    drawn = panels(before, after)
    width, height = _size(drawn)
    image = np.full((height, width, 3), 255, dtype=np.uint8)
    for box in rectangles(drawn):
        colour = [int(box.colour[start : start + 2], 16) for start in (1, 3, 5)]
        image[box.y : box.y + box.height, box.x : box.x + box.width] = colour
    rows = np.concatenate((np.zeros((height, 1), np.uint8), image.reshape(height, -1)), axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(rows.tobytes(), 9))
        + _chunk(b"IEND", b"")
    )
