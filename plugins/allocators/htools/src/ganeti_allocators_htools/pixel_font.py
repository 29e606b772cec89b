"""Letters of three by five dots for pictures drawn without a font: capitals, digits, signs."""

from __future__ import annotations

from collections.abc import Iterator

HEIGHT, WIDTH = 5, 3

#: Five rows per letter, three dots each.
_LETTERS = {
    "A": "010 101 111 101 101", "B": "110 101 110 101 110", "C": "011 100 100 100 011",
    "D": "110 101 101 101 110", "E": "111 100 110 100 111", "F": "111 100 110 100 100",
    "G": "011 100 101 101 011", "H": "101 101 111 101 101", "I": "111 010 010 010 111",
    "J": "001 001 001 101 010", "K": "101 101 110 101 101", "L": "100 100 100 100 111",
    "M": "101 111 111 101 101", "N": "110 101 101 101 101", "O": "010 101 101 101 010",
    "P": "110 101 110 100 100", "Q": "010 101 101 110 011", "R": "110 101 110 101 101",
    "S": "011 100 010 001 110", "T": "111 010 010 010 010", "U": "101 101 101 101 111",
    "V": "101 101 101 101 010", "W": "101 101 111 111 101", "X": "101 101 010 101 101",
    "Y": "101 101 010 010 010", "Z": "111 001 010 100 111", "0": "111 101 101 101 111",
    "1": "010 110 010 010 111", "2": "110 001 010 100 111", "3": "110 001 010 001 110",
    "4": "101 101 111 001 001", "5": "111 100 110 001 110", "6": "011 100 111 101 111",
    "7": "111 001 010 010 010", "8": "111 101 111 101 111", "9": "111 101 111 001 110",
    ".": "000 000 000 000 010", "-": "000 000 111 000 000", "%": "101 001 010 100 101",
    ":": "000 010 000 010 000", "/": "001 001 010 100 100", "_": "000 000 000 000 111",
}  # fmt: skip
_UNKNOWN = "111 101 101 101 111"


def dots(text: str) -> Iterator[tuple[int, int]]:
    """Column and row of each dot of a line of text, letters one dot apart; a blank has none."""
    for place, letter in enumerate(text.upper()):
        if letter == " ":
            continue
        for row, line in enumerate(_LETTERS.get(letter, _UNKNOWN).split()):
            for column, dot in enumerate(line):
                if dot == "1":
                    yield place * (WIDTH + 1) + column, row
