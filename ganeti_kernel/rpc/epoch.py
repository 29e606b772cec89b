"""Only the current master changes a node.

Every term of a master has a number, its epoch, that grows with each change of master. A node
remembers the highest one it has obeyed, on disk, and refuses a call of a lower one: a master that
was replaced while it could not be reached cannot do harm when it comes back. The number is 0 until
the first fail-over; a mere restart does not raise it, since job processes outlive the master daemon
with the epoch they began with.
"""

from __future__ import annotations

import logging
from pathlib import Path

from ganeti_kernel.config.ssconf import read_ssconf
from ganeti_kernel.errors import ConfigurationError, MasterReplaced
from ganeti_kernel.files import write_durably
from ganeti_kernel.paths import Paths

log = logging.getLogger(__name__)


class EpochGuard:
    """The highest epoch this node has obeyed; used from one thread only."""

    def __init__(self, paths: Paths) -> None:
        """Raises ConfigurationError when the file holds something else than a number."""
        self._paths = paths
        self._highest = read_epoch(paths)

    @property
    def highest(self) -> int:
        return self._highest

    def admit(self, epoch: int, call: str) -> None:
        """Take or refuse a changing call; a new epoch is on disk before this returns.

        Raises MasterReplaced for a lower epoch, ConfigurationError when the disk refuses.
        """
        if epoch < self._highest:
            raise MasterReplaced(
                f"{call} was sent by a master of epoch {epoch}, but this node already obeys "
                f"epoch {self._highest}; that master was replaced{self._successor()} and must be "
                "stopped"
            )
        if epoch > self._highest:
            try:
                write_durably(epoch_file(self._paths), f"{epoch}\n".encode(), 0o600)
            except OSError as error:
                raise ConfigurationError(
                    f"cannot note the new master's epoch: {error.strerror} ({error.filename})"
                ) from None
            log.info("this node obeys the master of epoch %d now", epoch)
            self._highest = epoch

    def _successor(self) -> str:
        try:
            return f" (the master is {read_ssconf(self._paths, 'master_node').strip()})"
        except ConfigurationError:
            return ""


def epoch_file(paths: Paths) -> Path:
    return paths.data_dir / "epoch"


def read_epoch(paths: Paths) -> int:
    """The highest epoch this node has obeyed. Raises ConfigurationError."""
    file = epoch_file(paths)
    try:
        text = file.read_text("ascii")
    except FileNotFoundError:
        return 0
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read {file}: {error}") from None
    if not text.strip().isdigit():
        raise ConfigurationError(
            f"{file} does not hold a number; remove it only if no old master can return"
        )
    return int(text)
