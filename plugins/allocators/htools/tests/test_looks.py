"""What is made for eyes: pictures that say what they show, a bar that keeps clear of the plan."""

from __future__ import annotations

import os
import pty
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from balancing_clusters import random_state, random_text
from ganeti_allocators_htools import pixel_font, plot


def decoded(picture: bytes) -> np.ndarray:
    """The dots of a PNG as `plot.png` makes it: rows of RGB."""
    assert picture.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", picture[16:24])
    size = struct.unpack(">I", picture[33:37])[0]
    assert picture[37:41] == b"IDAT"
    raw = np.frombuffer(zlib.decompress(picture[41 : 41 + size]), np.uint8)
    return raw.reshape(height, 1 + 3 * width)[:, 1:].reshape(height, width, 3)


def test_a_picture_names_what_it_shows() -> None:
    before, after = random_state(5), random_state(6)
    text = plot.svg(before, after)
    for word in ("before", "after", "mean", "memory used", "disk used", "CPU load", "node3", "0.5"):
        assert f">{word}</text>" in text


def test_both_pictures_have_the_same_boxes_and_all_fit() -> None:
    before, after = random_state(5, nodes=30), random_state(6, nodes=30)
    picture = decoded(plot.png(before, after))
    height, width, _ = picture.shape
    drawn = plot.panels(before, after)
    for box in plot.rectangles(drawn):
        assert 0 <= box.x <= box.x + box.width <= width
        assert 0 <= box.y <= box.y + box.height <= height
    for label in plot.labels(drawn, before.static.cluster.nodes.alias):
        length = 2 * (pixel_font.WIDTH + 1) * len(label.text)
        assert label.x + (10 if label.turned else length) <= width
        assert 10 <= label.y <= height - (length if label.turned else 0)
    colours = {tuple(colour) for colour in picture.reshape(-1, 3).tolist()}
    wanted = (plot.BEFORE, plot.AFTER, plot.LINE, plot.INK, plot.FRAME)
    assert {tuple(bytes.fromhex(colour[1:])) for colour in wanted} <= colours


@pytest.mark.parametrize("text", ["node1", "virtual CPUs per CPU", "0.75%", "ü"])
def test_letters_have_their_place(text: str) -> None:
    dots = list(pixel_font.dots(text))
    assert len(set(dots)) == len(dots) > 0
    assert all(column % 4 < 3 and 0 <= row < 5 for column, row in dots)
    assert max(column for column, _row in dots) < 4 * len(text)


def test_letters_differ() -> None:
    shapes = {frozenset(pixel_font.dots(letter)) for letter in "abcdefghijklmnpqrstuvwxyz123456789"}
    assert len(shapes) >= 33  # S and 5 may be alike on a screen, nothing else


def on_a_terminal(*options: str, folder: Path) -> str:
    """Run hbal with a terminal as both its outputs; returns what appears there."""
    (folder / "c.data").write_text(random_text(5, nodes=8, instances=40))
    main, side = pty.openpty()
    program = Path(sys.executable).parent / "hbal"
    with subprocess.Popen(
        [program, "-t", "c.data", *options], cwd=folder, stdout=side, stderr=side, stdin=side
    ):
        os.close(side)
        seen = b""
        while True:
            try:
                seen += os.read(main, 1 << 16)
            except OSError:  # the program has ended
                break
    os.close(main)
    return seen.decode()


def test_the_bar_goes_before_the_next_line_comes(tmp_path: Path) -> None:
    lines = on_a_terminal("--progress", "-l", "3", folder=tmp_path).split("\r\n")
    shown = [line.rpartition("\x1b[K")[2] for line in lines if " a=" in line]
    assert [line.split(".")[0].strip() for line in shown] == ["1", "2", "3"]
    assert not any("#" in line for line in shown)
    assert sum("step" in line for line in lines) == 3


def test_without_being_asked_a_terminal_with_the_plan_gets_no_bar(tmp_path: Path) -> None:
    assert "step" not in on_a_terminal("-l", "3", folder=tmp_path)
