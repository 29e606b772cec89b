"""The file of one instance: id, memory in MiB and virtual CPUs, a line each (upstream's format)."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ganeti_kernel.errors import HypervisorError
from ganeti_kernel.specs.host import safe_name
from ganeti_kernel.specs.hypervisor import InstanceState

MAX_BYTES = 4096


def render(state: InstanceState) -> str:
    return f"{state.id}\n{state.memory}\n{state.vcpus}\n"


def parse(name: str, text: str) -> InstanceState:
    """Raises ValueError when the text is not three whole numbers."""
    ident, memory, vcpus = (int(line) for line in text.split())
    return InstanceState(name=name, id=ident, memory=memory, vcpus=vcpus)


class StateDir:
    """All such files of a node."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        try:
            return sorted(item.name for item in self.path.iterdir() if item.name[0] != ".")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise HypervisorError(f"cannot list {self.path}: {error.strerror}") from error

    def read(self, name: str) -> InstanceState | None:
        path = self.path / safe_name(name)
        try:
            with path.open("rb") as stream:
                text = stream.read(MAX_BYTES).decode("utf-8", "replace")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise HypervisorError(f"cannot read {path}: {error.strerror}") from error
        try:
            return parse(name, text)
        except ValueError:
            raise HypervisorError(
                f"{path} is not an instance's state (id, memory, CPUs); remove it"
            ) from None

    def write(self, state: InstanceState) -> None:
        """Put the file in place whole or not at all."""
        target = self.path / safe_name(state.name)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            fd, name = tempfile.mkstemp(prefix=".", dir=self.path)
            try:
                with os.fdopen(fd, "w") as stream:
                    stream.write(render(state))
                Path(name).replace(target)
            except OSError:
                Path(name).unlink()
                raise
        except OSError as error:
            raise HypervisorError(f"cannot write {target}: {error.strerror}") from error

    def remove(self, name: str) -> None:
        _unlink(self.path / safe_name(name))

    def note_powercycle(self, delay: float) -> None:
        """Leave a note that the node should have been reset; nothing is."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / ".powercycle").write_text(f"{delay:g}\n")
        except OSError as error:
            raise HypervisorError(f"cannot write to {self.path}: {error.strerror}") from error

    # -- migration: a mark says that the guest was sent to another node ------------------------

    def mark_sent(self, name: str) -> None:
        path = self._mark(name)
        try:
            path.touch()
        except OSError as error:
            raise HypervisorError(f"cannot write {path}: {error.strerror}") from error

    def is_sent(self, name: str) -> bool:
        return self._mark(name).exists()

    def unmark_sent(self, name: str) -> None:
        _unlink(self._mark(name))

    def _mark(self, name: str) -> Path:
        return self.path / f".{safe_name(name)}.sent"


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise HypervisorError(f"cannot remove {path}: {error.strerror}") from error
