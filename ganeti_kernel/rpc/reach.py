"""Whether a machine answers under an address."""

from __future__ import annotations

import socket

from ganeti_kernel.constants import NODED_PORT


def answers(address: str, seconds: float, port: int = NODED_PORT, *, serving: bool = False) -> bool:
    """Try to connect; a machine that refuses the connection is there, too, unless `serving`."""
    try:
        with socket.create_connection((address, port), timeout=seconds):
            return True
    except ConnectionRefusedError:
        return not serving
    except OSError:
        return False
