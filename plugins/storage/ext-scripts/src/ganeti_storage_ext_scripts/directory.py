"""A provider's directory: what must be in it, and what is wrong with one.

Source: upstream 3.0's ExtStorage Interface.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ganeti_kernel.errors import PluginError
from ganeti_kernel.specs import Parameter

NAME: Final = re.compile(r"[a-zA-Z0-9_-]+")
REQUIRED: Final = ("create", "remove", "grow", "attach", "detach", "setinfo", "verify")
OPTIONAL: Final = ("snapshot", "open", "close")
PARAMETERS_FILE: Final = "parameters.list"
MAX_PARAMETERS_BYTES: Final = 256 << 10


@dataclass(frozen=True, slots=True)
class ProviderDirectory:
    """A usable provider. `scripts` are the actions it has."""

    name: str
    path: Path
    scripts: frozenset[str]
    parameters: tuple[Parameter, ...]


def find(name: str, search_path: Sequence[Path]) -> Path | None:
    """Return the first directory of that name, None when there is none."""
    if not NAME.fullmatch(name):
        return None
    return next((base / name for base in search_path if (base / name).is_dir()), None)


def names(search_path: Sequence[Path]) -> list[str]:
    """Return the names of all directories that could be providers, sorted."""
    found: set[str] = set()
    for base in search_path:
        try:
            entries = list(base.iterdir())
        except OSError:
            continue  # a part of the search path need not exist
        found.update(item.name for item in entries if NAME.fullmatch(item.name) and item.is_dir())
    return sorted(found)


def load(name: str, search_path: Sequence[Path]) -> ProviderDirectory:
    """Return the provider of that name; raises PluginError that says what is wrong with it."""
    path = find(name, search_path)
    if path is None:
        raise PluginError(
            f"Directory for External Storage Provider {name} not found in search path"
            f" ({':'.join(str(base) for base in search_path)})"
        )
    scripts = {action for action in REQUIRED if check_script(path, action)}
    scripts |= {action for action in OPTIONAL if check_script(path, action, optional=True)}
    return ProviderDirectory(name, path, frozenset(scripts), read_parameters(path))


def check_script(path: Path, action: str, *, optional: bool = False) -> bool:
    """Say whether a script is there; raises PluginError when it cannot be used."""
    try:
        status = (path / action).stat()
    except FileNotFoundError as error:
        if optional:
            return False
        raise PluginError(f"File '{action}' under path '{path}' is missing (ENOENT)") from error
    except OSError as error:
        raise PluginError(
            f"File '{action}' under path '{path}' cannot be read ({error.strerror})"
        ) from error
    if not stat.S_ISREG(status.st_mode):
        raise PluginError(f"File '{action}' under path '{path}' is not a regular file")
    if not status.st_mode & stat.S_IXUSR:
        raise PluginError(f"File '{action}' under path '{path}' is not executable")
    return True


def read_parameters(path: Path) -> tuple[Parameter, ...]:
    file = path / PARAMETERS_FILE
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_PARAMETERS_BYTES + 1)
        if len(data) > MAX_PARAMETERS_BYTES:
            raise ValueError(f"over {MAX_PARAMETERS_BYTES} bytes")
        return parse_parameters(data.decode("utf-8"))
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            text = f"File '{PARAMETERS_FILE}' under path '{path}' is missing (ENOENT)"
            raise PluginError(text) from error
        raise PluginError(_unreadable(file, error.strerror or str(error))) from error
    except ValueError as error:
        raise PluginError(_unreadable(file, str(error))) from error


def parse_parameters(text: str) -> tuple[Parameter, ...]:
    """Read `name description` lines; empty ones are skipped.

    Raises ValueError for a name that cannot be part of a variable's name.
    """
    out: dict[str, Parameter] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        name, *rest = line.split(None, 1)
        if not NAME.fullmatch(name):
            raise ValueError(f"line {number}: {name!r} cannot be a parameter's name")
        out[name] = Parameter(name=name, help=rest[0].strip() if rest else "")
    return tuple(out.values())


def _unreadable(file: Path, why: str) -> str:
    return f"Error while reading the EXT parameters file at {file}: {why}"
