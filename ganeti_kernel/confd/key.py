"""The key that the cluster's confd daemons and their clients share."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ganeti_kernel.errors import ConfigurationError

MAX_KEY_BYTES: Final = 4096


def read_key(path: Path) -> bytes:
    """Return the key, which is the whole file; raises ConfigurationError that says what to do."""
    try:
        with open(path, "rb") as stream:
            key = stream.read(MAX_KEY_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(
            f"cannot read the cluster's key {path}: {error.strerror}; run this on a node "
            f"of the cluster, as a user who may read it"
        ) from None
    if not key.strip() or len(key) > MAX_KEY_BYTES:
        raise ConfigurationError(
            f"{path} has no usable key ({len(key)} bytes); copy it from another node of the cluster"
        )
    return key
