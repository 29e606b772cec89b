"""OS definitions: directories of scripts that install, rename and export guests.

What a definition needs and the texts that say what is wrong with one are upstream 3.0's (its OS
interface, API versions 10, 15 and 20).
"""

from __future__ import annotations

import errno
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ganeti_kernel.errors import OpExecError
from ganeti_kernel.rpc.results import OsStatus
from ganeti_kernel.version import OS_API_VERSIONS

NAME: Final = re.compile(r"[a-zA-Z0-9_-]+")
API_FILE: Final = "ganeti_api_version"
VARIANTS_FILE: Final = "variants.list"
PARAMETERS_FILE: Final = "parameters.list"
MAX_FILE_BYTES: Final = 256 << 10
API_VARIANTS: Final = 15
"""From this API version on a definition may have variants; from the next on parameters."""
API_PARAMETERS: Final = 20


@dataclass(frozen=True, slots=True)
class OsDefinition:
    """A usable definition. `scripts` maps what it does to the file that does it."""

    name: str
    path: Path
    api_versions: tuple[int, ...]
    scripts: dict[str, Path]
    variants: tuple[str, ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()
    trusted: bool = True

    @property
    def api(self) -> int:
        """The highest version that both sides understand."""
        return max(set(self.api_versions) & OS_API_VERSIONS)


def diagnose(search_path: Sequence[Path]) -> list[OsStatus]:
    """Every definition on the search path, by directory and name; broken ones say why."""
    return [_status(base, name) for base in search_path for name in _entries(base)]


def find(search_path: Sequence[Path], name: str) -> OsDefinition:
    """Return the first definition of that name; raises OpExecError that says why not."""
    if NAME.fullmatch(name):
        for base in search_path:
            if (base / name).is_dir():
                return load(base / name)
    raise OpExecError(_not_found(name))


def load(path: Path) -> OsDefinition:
    """Read and check one directory; raises OpExecError with upstream's text."""
    versions = _api_versions(path)
    usable = set(versions) & OS_API_VERSIONS
    if not usable:
        wanted = ", ".join(str(item) for item in sorted(OS_API_VERSIONS))
        raise OpExecError(
            f"API version mismatch for path '{path}': found {list(versions)}, want one of {wanted}."
        )
    api = max(usable)
    untrusted = (path / "create_untrusted").exists()
    if not untrusted and not (path / "create").exists():
        raise OpExecError(f"A create script (trusted or untrusted) under path '{path}' must exist")
    names = [name for name in ("create", "create_untrusted") if (path / name).exists()]
    names += ["export", "import", "rename", *(["verify"] if api >= API_PARAMETERS else [])]
    for name in names:
        _check(path, name, executable=True)
    return OsDefinition(
        name=path.name,
        path=path,
        api_versions=versions,
        scripts={name: path / name for name in names},
        variants=_variants(path) if api >= API_VARIANTS else (),
        parameters=_parameters(path) if api >= API_PARAMETERS else (),
        trusted=not untrusted,
    )


def split_name(os_name: str) -> tuple[str, str]:
    """`debian+minimal` -> (`debian`, `minimal`); without variant the second is empty."""
    name, _, variant = os_name.partition("+")
    return name, variant


def variant_problem(definition: OsDefinition, variant: str) -> str | None:
    """Return what is wrong with the variant of an instance's OS, None when it may be used."""
    if not definition.variants:
        if variant:
            return f"OS '{definition.name}' does not support variants ('{variant}' passed)"
        return None
    if not variant:
        return f"OS name '{definition.name}' must include a variant"
    if variant not in definition.variants:
        return f"OS '{definition.name}' does not support variant '{variant}'"
    return None


def parameter_problem(definition: OsDefinition, names: Sequence[str]) -> str | None:
    """Return which parameters the definition does not know, None when it knows all."""
    known = {name for name, _help in definition.parameters}
    unknown = [name for name in names if name not in known]
    if not unknown or definition.api < API_PARAMETERS:
        return None
    return (
        f"The following parameters are not supported by the OS {definition.name}: "
        f"{', '.join(unknown)}"
    )


# -- parsing ---------------------------------------------------------------------------------------


def parse_api_versions(text: str) -> tuple[int, ...]:
    """One whole number a line; raises ValueError."""
    return tuple(int(line.strip()) for line in text.splitlines())


def parse_variants(text: str) -> tuple[str, ...]:
    """One name a line; blank lines and those that start with `#` are skipped."""
    lines = (line.strip() for line in text.splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def parse_parameters(text: str) -> tuple[tuple[str, str], ...]:
    """`name description` a line; blank lines and those that start with `#` are skipped."""
    pairs = (line.strip().partition(" ") for line in text.replace("\t", " ").splitlines())
    return tuple(
        (name, rest.strip()) for name, _, rest in pairs if name and not name.startswith("#")
    )


# -- files -----------------------------------------------------------------------------------------


def _entries(base: Path) -> Iterator[str]:
    try:
        names = sorted(item.name for item in base.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return  # a part of the search path need not exist
    except OSError as error:
        raise OpExecError(f"cannot list {base}: {error.strerror}") from None
    yield from (name for name in names if not name.startswith("."))


def _status(base: Path, name: str) -> OsStatus:
    path = base / name
    try:
        if not NAME.fullmatch(name) or not path.is_dir():
            raise OpExecError(_not_found(name))
        found = load(path)
    except OpExecError as error:
        return OsStatus(name=name, path=str(path), valid=False, diagnose=str(error))
    return OsStatus(
        name=name,
        path=str(path),
        valid=True,
        variants=list(found.variants),
        parameters=list(found.parameters),
        api_versions=list(found.api_versions),
        trusted=found.trusted,
    )


def _not_found(name: str) -> str:
    return f"Directory for OS {name} not found in search path"


def _check(path: Path, name: str, *, executable: bool = False) -> None:
    try:
        mode = (path / name).stat().st_mode
    except OSError as error:
        code = errno.errorcode.get(error.errno or 0, "unknown error")
        raise OpExecError(f"File '{name}' under path '{path}' is missing ({code})") from None
    if not stat.S_ISREG(mode):
        raise OpExecError(f"File '{name}' under path '{path}' is not a regular file")
    if executable and not mode & stat.S_IXUSR:
        raise OpExecError(f"File '{name}' under path '{path}' is not executable")


def _read(path: Path, name: str) -> str:
    try:
        with (path / name).open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise OpExecError(f"cannot read {path / name}: {error.strerror}") from None
    if len(data) > MAX_FILE_BYTES:
        raise OpExecError(f"{path / name} has more than {MAX_FILE_BYTES} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise OpExecError(f"{path / name} is not UTF-8 text") from None


def _api_versions(path: Path) -> tuple[int, ...]:
    try:
        mode = (path / API_FILE).stat().st_mode
    except OSError as error:
        code = errno.errorcode.get(error.errno or 0, "unknown error")
        raise OpExecError(
            f"Required file '{API_FILE}' not found under path {path}: {code}"
        ) from None
    if not stat.S_ISREG(mode):
        raise OpExecError(f"File '{API_FILE}' in {path} is not a regular file")
    try:
        return parse_api_versions(_read(path, API_FILE))
    except ValueError as error:
        raise OpExecError(f"API version(s) can't be converted to integer: {error}") from None


def _variants(path: Path) -> tuple[str, ...]:
    if not (path / VARIANTS_FILE).exists():
        return ()
    _check(path, VARIANTS_FILE)
    return parse_variants(_read(path, VARIANTS_FILE))


def _parameters(path: Path) -> tuple[tuple[str, str], ...]:
    _check(path, PARAMETERS_FILE)
    return parse_parameters(_read(path, PARAMETERS_FILE))
