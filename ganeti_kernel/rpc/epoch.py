"""Only the current master changes a node.

Every term of a master has a number, its epoch, that is to grow with each change of master. A node
remembers the highest one it has obeyed, on disk, and refuses a call of a lower one: a master that
was replaced while it could not be reached cannot do harm when it comes back. Nothing changes the
master yet, so the number is 0 until what does writes `meta/epoch`; a mere restart must not raise
it, since job processes outlive the master daemon with the epoch they began with.
"""

from __future__ import annotations

import logging

from ganeti_kernel.errors import ConfigurationError, RemoteError
from ganeti_kernel.files import write_durably
from ganeti_kernel.paths import Paths

log = logging.getLogger(__name__)


class EpochGuard:
    """The highest epoch this node has obeyed; used from one thread only."""

    def __init__(self, paths: Paths) -> None:
        """Raises ConfigurationError when the file holds something else than a number."""
        self._file = paths.data_dir / "epoch"
        self._highest = self._read()

    @property
    def highest(self) -> int:
        return self._highest

    def admit(self, epoch: int, call: str) -> None:
        """Take or refuse a changing call; a new epoch is on disk before this returns.

        Raises RemoteError for a lower epoch.
        """
        if epoch < self._highest:
            raise RemoteError(
                f"{call} was sent by a master of epoch {epoch}, but this node already obeys "
                f"epoch {self._highest}; that master was replaced and must be stopped"
            )
        if epoch > self._highest:
            write_durably(self._file, f"{epoch}\n".encode(), 0o600)
            log.info("this node obeys the master of epoch %d now", epoch)
            self._highest = epoch

    def _read(self) -> int:
        try:
            text = self._file.read_text("ascii")
        except FileNotFoundError:
            return 0
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"cannot read {self._file}: {error}") from None
        if not text.strip().isdigit():
            raise ConfigurationError(
                f"{self._file} does not hold a number; remove it only if no old master can return"
            )
        return int(text)
