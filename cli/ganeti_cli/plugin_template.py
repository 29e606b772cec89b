"""gnt-plugins new: writes a distribution with one plugin that works, and tests that pass.

What it writes are the files of `templates`: those of the folder `common` and of the kind's own.
Their names say where they go: `test_*.py` to the tests, other modules to the package, the rest
beside `pyproject.toml`; `usage.md` becomes part of the README.
"""

from __future__ import annotations

import re
import shlex
import shutil
import zlib
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template
from typing import Any, Final

import click

from ganeti_cli.options import options
from ganeti_kernel.errors import ECODE_ENVIRON, ECODE_EXISTS, ECODE_INVAL, OpPrereqError
from ganeti_kernel.paths import Paths, host_name
from ganeti_kernel.plugins import Registry
from ganeti_kernel.plugins.kinds import Kind, kind_of
from ganeti_kernel.specs.base import API_VERSION, PluginContext
from ganeti_kernel.version import SOFTWARE_VERSION

MAX_NAME: Final = 24
MAX_FAMILY: Final = 16
WORDS: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
SUFFIX: Final = ".tmpl"

CLASS_ENDINGS: Final = {
    "hypervisor": "Hypervisor",
    "disk_template": "Template",
    "extstorage": "Provider",
    "network_script": "Script",
    "collector": "Collector",
    "confd_query": "Query",
    "allocator": "Allocator",
    "store": "Backend",
}
"""Kind -> how the name of its class ends."""


@click.command()
@click.argument("kind", metavar="KIND")
@click.argument("name", metavar="NAME")
@click.option(
    "--family", metavar="WORD", help="Middle of the distribution's name; the kind has a usual one."
)
@click.option(
    "--directory",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder to make; without it one named after the distribution.",
)
@options()
def new(kind: str, name: str, family: str | None, directory: Path | None, **_given: Any) -> int:
    """Write a new plugin's distribution: code that works, tests that pass, a README.

    KIND is one of those that `gnt-plugins list` shows. NAME is what people will type to use the
    plugin: small letters and digits, in words joined by dashes.
    """
    chosen = kind_of(kind)
    values = names_of(chosen, name, chosen.family if family is None else family)
    folder = directory or Path(values["distribution"])
    write(folder, dict(render(chosen, values)))
    click.echo(_farewell(folder, chosen, values))
    for owner in _owners(chosen, name):
        click.echo(
            f"Note: {owner} offers {chosen.name} {name!r} on this node already. While both are "
            f"installed neither can be used, unless you disable one in plugins.toml.",
            err=True,
        )
    return 0


def names_of(kind: Kind, name: str, family: str) -> dict[str, str]:
    """What the templates say `$…` for; raises OpPrereqError for a name that cannot be used."""
    for what, word, limit in (("name", name, MAX_NAME), ("family", family, MAX_FAMILY)):
        if not WORDS.fullmatch(word):
            raise OpPrereqError(
                f"{word!r} cannot be a plugin's {what}: use small letters and digits, a letter "
                f"first, in words joined by single dashes (for example my-own)",
                ECODE_INVAL,
            )
        if len(word) > limit:
            raise OpPrereqError(
                f"the {what} {word!r} is too long: at most {limit} characters", ECODE_INVAL
            )
    distribution = f"ganeti-{family}-{kind.prefix}{name}"
    major, minor = SOFTWARE_VERSION.split(".")[:2]
    return {
        "api_version": str(API_VERSION),
        "cls": "".join(word.capitalize() for word in name.split("-")) + CLASS_ENDINGS[kind.name],
        "distribution": distribution,
        "group": kind.group,
        "kernel": f">={major}.{minor},<{major}.{int(minor) + 1}",
        "kind": kind.name,
        "module": name.replace("-", "_"),
        "name": name,
        "number": str(1000 + zlib.crc32(distribution.encode()) % 9000),
        "package": distribution.replace("-", "_"),
        "what": kind.what,
        "words": kind.name.replace("_", " "),
    }


def render(kind: Kind, values: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Path below the distribution's folder, and text, of every file."""
    templates = files("ganeti_cli") / "templates"
    own = sorted((templates / kind.name).iterdir(), key=lambda item: item.name)
    usage = next(item for item in own if item.name == f"usage.md{SUFFIX}")
    values = values | {"usage": _fill(usage, values)}
    for item in (*(templates / "common").iterdir(), *own):
        if item.name.endswith(SUFFIX) and item is not usage:
            yield _place(item.name.removesuffix(SUFFIX), values), _fill(item, values)
    yield f"src/{values['package']}/py.typed", ""


def _fill(template: Traversable, values: dict[str, str]) -> str:
    return Template(template.read_text("utf-8")).substitute(values)


def _place(name: str, values: dict[str, str]) -> str:
    if name.startswith("test_"):
        return f"tests/{name.replace('plugin', values['package'].removeprefix('ganeti_'))}"
    return f"src/{values['package']}/{name}" if name.endswith(".py") else name


def write(folder: Path, contents: dict[str, str]) -> None:
    """Make the folder with these files, whole or not at all; raises OpPrereqError."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise OpPrereqError(
            f"{folder} exists already: name another folder with --directory, or remove it",
            ECODE_EXISTS,
        ) from None
    except OSError as error:
        raise _cannot_write(folder, error) from error
    try:
        for name, text in contents.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise _cannot_write(folder, error) from error


def _cannot_write(folder: Path, error: OSError) -> OpPrereqError:
    return OpPrereqError(
        f"cannot write {folder}: {error.strerror or error}; name another folder with --directory",
        ECODE_ENVIRON,
    )


def _owners(kind: Kind, name: str) -> list[str]:
    """Installed distributions that offer this name, without importing anything."""
    registry = Registry(PluginContext(paths=Paths.from_environment(), node_name=host_name()))
    return [item.label for item in registry.found(kind.name) if item.name == name]


def _farewell(folder: Path, kind: Kind, values: dict[str, str]) -> str:
    return (
        f"Wrote {values['distribution']}, a distribution with {kind.name} {values['name']!r}.\n"
        f"It works as it is. Try it:\n\n"
        f"  cd {shlex.quote(str(folder))}\n"
        f"  python3 -m pip install -e '.[test]'\n"
        f"  python3 -m pytest\n"
        f"  gnt-plugins check {kind.name}\n\n"
        f"Then make src/{values['package']}/plugin.py your own; README.md says what it does now."
    )
