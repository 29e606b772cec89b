"""Numbers as the programs read them from data files and print them.

Upstream reads numbers with its language's reader (sign, decimal and exponent forms, hexadecimal,
parentheses) and rounds printed ones half to even on the shortest decimal form of the double, which
differs from C's rounding in the last printed digit. Both are visible in files and output.
"""

from __future__ import annotations

import math
import re

from .errors import LoadError, UsageError

_INT = re.compile(r"\s*(-\s*)?(0[xX][0-9a-fA-F]+|0[oO][0-7]+|[0-9]+)(?![0-9a-zA-Z_.])")
_FLOAT = re.compile(
    r"\s*(-\s*)?(0[xX][0-9a-fA-F]+|0[oO][0-7]+|[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|NaN|Infinity)"
    r"(?![0-9a-zA-Z_])"
)


#: Longer texts are refused: no number of a cluster comes near.
_MAX_LENGTH = 200


def _read(pattern: re.Pattern[str], text: str, where: str) -> tuple[str, str]:
    if len(text) > _MAX_LENGTH:
        raise LoadError(f"{where}: a number of {len(text)} characters, refused")
    inner = text.strip()
    while inner.startswith("(") and inner.endswith(")"):
        inner = inner[1:-1].strip()
        text = inner
    match = pattern.match(text)
    if match is None:
        raise LoadError(f"{where}: cannot parse string '{text}'")
    rest = text[match.end() :]
    if rest:
        raise LoadError(f"{where}: leftover characters when parsing '{text}': '{rest}'")
    return ("-" if match[1] else ""), match[2]


def parse_int(text: str, where: str) -> int:
    """The integer in ``text``; ``where`` starts the message of the `LoadError` raised if none."""
    if text.isdigit() and text.isascii() and len(text) <= _MAX_LENGTH:
        return int(text)
    sign, digits = _read(_INT, text, where)
    base = {"0x": 16, "0o": 8}.get(digits[:2].lower(), 10)
    return int(sign + digits, base)


def parse_float(text: str, where: str) -> float:
    """The number in ``text``; ``where`` starts the message of the `LoadError` raised if none."""
    sign, digits = _read(_FLOAT, text, where)
    base = {"0x": 16, "0o": 8}.get(digits[:2].lower())
    value = float(int(digits, base)) if base else float(digits)
    return -value if sign else value


def parse_unit(text: str) -> int:
    """A size in MiB with an optional unit: m g t binary, M G T decimal (also mib, MB, ...)."""
    stripped = text.lstrip()
    digits = len(stripped) - len(stripped.lstrip("0123456789"))
    if not digits or stripped[digits : digits + 1] in (".", "_"):
        raise UsageError(f"Can't parse string '{text}'")
    value, unit = int(stripped[:digits]), stripped[digits:].strip()
    lower = unit.lower()
    power = {"": 0, "m": 0, "mib": 0, "mb": 0, "g": 1, "gib": 1, "gb": 1}
    power.update({"t": 2, "tib": 2, "tb": 2})
    if lower not in power:
        raise UsageError(f"Unknown unit '{unit}'")
    decimal = lower in ("mb", "gb", "tb") or unit in ("M", "G", "T")
    scale: int = (1000 if decimal else 1024) ** (power[lower] + 2)
    return value * scale // 1024**2


def fixed(value: float, decimals: int) -> str:
    """``value`` with ``decimals`` digits after the point, half to even on its shortest form."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    text = repr(float(value))
    mantissa, _, exponent = text.partition("e")
    sign = "-" if mantissa.startswith("-") else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    power = int(exponent or 0)
    digits = whole + fraction
    point = len(whole) + power  # digits before the decimal point
    keep = point + decimals
    if keep < 0:
        number = 0
    else:
        digits = digits.ljust(keep, "0")
        number = int(digits[:keep] or "0")
        rest = digits[keep:].rstrip("0")
        if rest > "5" or (rest == "5" and number % 2 == 1):
            number += 1
    text = str(number).rjust(decimals + 1, "0")
    return sign + (f"{text[:-decimals]}.{text[-decimals:]}" if decimals else text)


def show_float(value: float) -> str:
    """``value`` in upstream's shortest notation: 1.0, 0.1, 1.0e-2, 1.5e7, NaN."""
    if math.isnan(value) or math.isinf(value):
        return fixed(value, 0)
    if value == 0 or 0.1 <= abs(value) < 1e7:
        return repr(float(value)) if "e" not in repr(float(value)) else f"{value:f}"
    mantissa, _, exponent = repr(float(value)).partition("e")
    sign = "-" if mantissa.startswith("-") else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    digits = whole + (fraction if fraction != "0" else "")
    stripped = digits.lstrip("0")
    power = int(exponent or 0) + len(whole) - 1 - (len(digits) - len(stripped))
    stripped = stripped.rstrip("0") or "0"
    return f"{sign}{stripped[0]}.{stripped[1:] or '0'}e{power}"


def general(value: float, decimals: int = 6) -> str:
    """Upstream's %g: plain digits for 0.1 <= value < 10**7, else with an exponent."""
    if value == 0 or 0.1 <= abs(value) < 1e7 or not math.isfinite(value):
        return fixed(value, decimals)
    power = math.floor(math.log10(abs(value)))
    mantissa = fixed(float(f"{value!r}") / 10.0**power, decimals)
    if mantissa.lstrip("-").startswith("10."):
        power += 1
        mantissa = fixed(value / 10.0**power, decimals)
    elif mantissa.lstrip("-").startswith("0."):
        power -= 1
        mantissa = fixed(value / 10.0**power, decimals)
    return f"{mantissa}e{power}"
