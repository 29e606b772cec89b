"""Unix sockets at paths of any length.

The kernel takes 107 bytes; a root directory deep in somebody's home has sockets beyond that. They
are then named through an open descriptor of their directory.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

MAX_ADDRESS: Final = 107


@contextlib.contextmanager
def short_address(path: Path) -> Iterator[str]:
    """Give a name of the socket that can be bound or connected to inside the `with` block."""
    if len(os.fsencode(path)) <= MAX_ADDRESS:
        yield str(path)
        return
    descriptor = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{path.name}"
    finally:
        os.close(descriptor)
