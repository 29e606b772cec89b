"""Reports out of programs: each prints one in JSON (see `ganeti_kernel.specs.dropped`)."""

from __future__ import annotations

__version__ = "0.1.0"

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ganeti_kernel.errors import CommandError, PluginError
from ganeti_kernel.paths import Paths
from ganeti_kernel.plugins import process
from ganeti_kernel.specs import Description, PluginContext, PluginSource, hookimpl
from ganeti_kernel.specs.collector import Collector
from ganeti_kernel.specs.dropped import parse, usable_files

DEADLINE = 8.0
MAX_OUTPUT = 1 << 20


def directory(paths: Paths) -> Path:
    """Where the programs lie."""
    return paths.conf_dir / "collectors"


class CommandSource(PluginSource):
    API_VERSION = 1

    def names(self) -> Sequence[str]:
        return [name for name, path in self._files() if os.access(path, os.X_OK)]

    def location(self, name: str) -> str:
        return str(directory(self.context.paths) / name)

    def load(self, name: str) -> Collector:
        path = dict(self._files()).get(name)
        if path is None:
            raise PluginError(f"there is no program {name} in {directory(self.context.paths)}")
        problem = unsafe(path)
        if problem is not None:
            raise PluginError(problem)
        return Command(self.context, path)

    def _files(self) -> list[tuple[str, Path]]:
        return list(usable_files(directory(self.context.paths), ()))


class Command(Collector):
    """One program. It gets GANETI_ROOTDIR, GANETI_NODE and PATH, nothing else of the daemon's."""

    def __init__(self, context: PluginContext, path: Path) -> None:
        super().__init__(context)
        self._path = path

    @hookimpl
    def describe(self) -> Description:
        return Description(
            name=self._path.name, version=__version__, summary=f"what {self._path} prints"
        )

    @hookimpl
    def collect(self) -> Any:
        problem = unsafe(self._path)
        if problem is not None:
            raise CommandError(problem)
        environment = {
            "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            "LC_ALL": "C",
            "GANETI_ROOTDIR": str(self.context.paths.root),
            "GANETI_NODE": self.context.node_name,
        }
        finished = process.check(
            (str(self._path),), timeout=DEADLINE, limit=MAX_OUTPUT, env=environment
        )
        dropped = parse(finished.output, str(self._path))
        dropped.adorn(self)
        return dropped.data


def unsafe(path: Path) -> str | None:
    """Why a program must not be run: the daemon is root, so others must not write what it runs."""
    for place in (path, path.parent):
        try:
            info = place.stat()
        except OSError as error:
            return f"cannot look at {place}: {error.strerror}"
        if info.st_uid not in (0, os.geteuid()):
            return f"{place} belongs to user {info.st_uid}; make it root's (chown root)"
        if info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return f"{place} may be written by others; run chmod go-w {place}"
    return None
