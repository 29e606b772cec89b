"""One directory of scripts as a provider.

Upstream's scripts need not be idempotent except for attach and detach. What this project's
contract asks beyond that is found out afterwards: when `create`, `grow` or `remove` fails, the
volume is attached to see whether its state is what was wanted.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ganeti_kernel.errors import BlockDeviceError, CommandError
from ganeti_kernel.objects import BlockDevice
from ganeti_kernel.plugins import process
from ganeti_kernel.plugins.devices import measure
from ganeti_kernel.specs import Description, PluginContext, hookimpl
from ganeti_kernel.specs.extstorage import ExtStorageProvider, Volume
from ganeti_storage_ext_scripts import __version__, output
from ganeti_storage_ext_scripts.directory import ProviderDirectory

log = logging.getLogger(__name__)

MIB: Final = 1 << 20
TIMEOUT_VARIABLE: Final = "GANETI_EXTSTORAGE_TIMEOUT"
SLOW: Final = 600.0
QUICK: Final = 60.0
TIMEOUTS: Final = {
    "create": SLOW,
    "remove": SLOW,
    "grow": SLOW,
    "snapshot": SLOW,
    "attach": QUICK,
    "detach": QUICK,
    "setinfo": QUICK,
    "open": QUICK,
    "close": QUICK,
}
"""Seconds after which a script is stopped; the variable above replaces them all."""

MAX_ATTACH_BYTES: Final = 64 << 10
MAX_LOG_BYTES: Final = 8 << 20


class ScriptProvider(ExtStorageProvider):
    """Runs `<directory>/<action>` with the volume in the environment."""

    API_VERSION = 1

    def __init__(self, context: PluginContext, directory: ProviderDirectory) -> None:
        super().__init__(context)
        self.directory = directory

    @hookimpl
    def describe(self) -> Description:
        scripts = self.directory.scripts
        features = {"snapshot"} & scripts
        if scripts & {"open", "close"}:
            features.add("open")
        return Description(
            name=self.directory.name,
            version=__version__,
            summary=f"Scripts in {self.directory.path}",
            parameters=self.directory.parameters,
            features=frozenset(features),
        )

    @hookimpl
    def verify(self, params: dict[str, str]) -> Sequence[str]:
        """Nothing: upstream never calls the script `verify`, so existing ones may do anything."""
        return []

    @hookimpl
    def create(self, volume: Volume) -> None:
        try:
            self._logged("create", volume, VOL_SIZE=str(volume.size))
        except BlockDeviceError:
            if self._size(volume) != volume.size * MIB:
                raise

    @hookimpl
    def remove(self, volume: Volume) -> None:
        try:
            self._logged("remove", volume)
        except BlockDeviceError as error:
            try:
                self.attach(volume)
            except BlockDeviceError:
                # As upstream: a volume that cannot be attached counts as gone.
                log.warning("volume %s counts as removed: %s", volume.name, error)
            else:
                raise

    @hookimpl
    def attach(self, volume: Volume) -> BlockDevice:
        finished = self._run("attach", volume, {}, limit=MAX_ATTACH_BYTES, merge=False)
        try:
            return output.parse_attach(finished.output)
        except ValueError as error:
            raise BlockDeviceError(
                f"{self._what('attach', volume)} printed no usable answer: {error}"
            ) from error

    @hookimpl
    def detach(self, volume: Volume) -> None:
        self._logged("detach", volume)

    @hookimpl
    def grow(self, volume: Volume, size: int) -> None:
        if size == volume.size and self._size(volume) == size * MIB:
            return
        try:
            self._logged("grow", volume, VOL_SIZE=str(volume.size), VOL_NEW_SIZE=str(size))
        except BlockDeviceError:
            if self._size(volume) != size * MIB:
                raise

    @hookimpl
    def set_info(self, volume: Volume, text: str) -> None:
        self._logged("setinfo", volume, VOL_METADATA=output.metadata(text))

    @hookimpl
    def open(self, volume: Volume, exclusive: bool) -> None:
        self._logged("open", volume, VOL_OPEN_EXCLUSIVE=str(exclusive))

    @hookimpl
    def close(self, volume: Volume) -> None:
        self._logged("close", volume)

    @hookimpl
    def snapshot(self, volume: Volume, name: str, size: int) -> None:
        self._logged("snapshot", volume, VOL_SNAPSHOT_NAME=name, VOL_SNAPSHOT_SIZE=str(size))

    # -- running ---------------------------------------------------------------------------------

    def _what(self, action: str, volume: Volume) -> str:
        return f"script {action} of provider {self.directory.name} for volume {volume.name}"

    def _logged(self, action: str, volume: Volume, **extra: str) -> None:
        """Run an action whose output goes to a log file; a missing optional one is skipped."""
        if action not in self.directory.scripts:
            log.info("provider %s has no script %s", self.directory.name, action)
            return
        logfile = self._logfile(action, volume)
        try:
            finished = self._run(action, volume, extra, limit=MAX_LOG_BYTES, merge=True)
        except BlockDeviceError as error:
            _write(logfile, str(error))
            raise BlockDeviceError(f"{error} (log: {logfile})") from error
        _write(logfile, finished.output)

    def _run(
        self, action: str, volume: Volume, extra: dict[str, str], *, limit: int, merge: bool
    ) -> process.Finished:
        name = self.directory.name
        variables = output.environment(name, volume, snapshot=action == "snapshot", **extra)
        try:
            finished = process.run(
                [str(self.directory.path / action)],
                timeout=_timeout(action),
                env=dict(os.environ) | {"LC_ALL": "C"} | variables,
                cwd=self.directory.path,
                merge=merge,
                limit=limit,
            )
        except (CommandError, ValueError) as error:
            raise BlockDeviceError(f"{self._what(action, volume)}: {error}") from error
        if finished.code:
            how = (
                f"exit code {finished.code}"
                if finished.code > 0
                else f"killed by signal {-finished.code}"
            )
            raise BlockDeviceError(
                f"{self._what(action, volume)} failed ({how}): {finished.tail() or 'no output'}"
            )
        return finished

    def _logfile(self, action: str, volume: Volume) -> Path:
        stamp = time.strftime("%Y-%m-%d_%H_%M_%S")
        name = f"{action}-{self.directory.name}-{volume.name.replace('/', '_')}-{stamp}.log"
        return self.context.paths.log_dir / "extstorage" / name

    def _size(self, volume: Volume) -> int | None:
        """Bytes of the volume, None when they cannot be told."""
        try:
            return measure(self.attach(volume))
        except BlockDeviceError:
            return None


def _timeout(action: str) -> float:
    try:
        chosen = float(os.environ.get(TIMEOUT_VARIABLE, ""))
    except ValueError:
        chosen = 0.0
    return chosen if chosen > 0 else TIMEOUTS[action]


def _write(path: Path, text: str) -> None:
    """Keep a script's output; that it cannot be kept must not fail the action."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        path.write_text(text)
    except OSError as error:
        log.warning("cannot write %s: %s", path, error)
