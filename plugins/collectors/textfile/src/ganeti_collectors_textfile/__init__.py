"""Reports out of files: `NAME.json` (see `ganeti_kernel.specs.dropped`) or `NAME.prom`."""

from __future__ import annotations

__version__ = "0.1.0"

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ganeti_kernel.errors import CommandError, PluginError
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs import Description, PluginContext, PluginSource, hookimpl
from ganeti_kernel.specs.collector import Collector
from ganeti_kernel.specs.dropped import parse, usable_files
from ganeti_kernel.specs.reading import read_text

SUFFIXES = (".json", ".prom")
MAX_BYTES = 1 << 20


def directory(paths: Paths) -> Path:
    """Where the files are dropped."""
    return paths.data_dir / "collectors"


class TextfileSource(PluginSource):
    API_VERSION = 1

    def names(self) -> Sequence[str]:
        return sorted({name for name, _path in self._files()})

    def location(self, name: str) -> str:
        return str(self._find(name))

    def load(self, name: str) -> Collector:
        return Textfile(self.context, self._find(name))

    def _files(self) -> list[tuple[str, Path]]:
        return list(usable_files(directory(self.context.paths), SUFFIXES))

    def _find(self, name: str) -> Path:
        found = [path for other, path in self._files() if other == name]
        if len(found) == 1:
            return found[0]
        if found:
            raise PluginError(f"{found[0]} and {found[1].name} are both report {name}; remove one")
        raise PluginError(
            f"there is no {name}.json or {name}.prom in {directory(self.context.paths)}"
        )


class Textfile(Collector):
    """One file. It is read anew each time; it may be replaced at any moment (rename it in)."""

    def __init__(self, context: PluginContext, path: Path) -> None:
        super().__init__(context)
        self._path = path
        self._text = ""

    @hookimpl
    def describe(self) -> Description:
        return Description(
            name=self._path.stem, version=__version__, summary=f"what is in {self._path}"
        )

    @hookimpl
    def collect(self) -> Any:
        text = read_text(self._path, MAX_BYTES)
        changed = self._path.stat().st_mtime
        if self._path.suffix == ".prom":
            self._text = text
            return {"mtime": changed, "metrics": _samples(text, str(self._path))}
        dropped = parse(text, str(self._path))
        age = time.time() - changed
        if dropped.valid_for is not None and age > dropped.valid_for:
            raise CommandError(
                f"{self._path} is {age:.0f} seconds old and says it is valid for "
                f"{dropped.valid_for:g}; what writes it may have stopped"
            )
        dropped.adorn(self)
        return dropped.data

    @hookimpl
    def metrics(self, data: Any) -> str | None:
        return self._text if self._path.suffix == ".prom" else None


def _samples(text: str, where: str) -> list[dict[str, Any]]:
    # every collector's process asks this source for its names: 5 MiB that only this one needs
    from prometheus_client.parser import text_string_to_metric_families

    try:
        return [
            {"name": sample.name, "labels": dict(sample.labels), "value": sample.value}
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        ]
    except (ValueError, KeyError, IndexError) as error:
        raise CommandError(f"{where} is not Prometheus text: {error}") from None
