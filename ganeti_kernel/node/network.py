"""Calls about this node's network."""

from __future__ import annotations

import array
import fcntl
import socket
import struct
from typing import Final

from ganeti_kernel.node.context import NodeContext
from ganeti_kernel.node.nics import KIND
from ganeti_kernel.node.registry import node_call

SIOCETHTOOL: Final = 0x8946
ETHTOOL_GDRVINFO: Final = 3
DRVINFO_BYTES: Final = 196
IFNAMSIZ: Final = 16


@node_call("bridges_exist")
def bridges_exist(_context: NodeContext, bridges: list[str]) -> list[str]:
    """Which of these are no bridges on this node."""
    return sorted({name for name in bridges if not is_bridge(name)})


@node_call("nic_modes")
def nic_modes(context: NodeContext) -> list[str]:
    """The NIC modes that this node can serve."""
    good, _broken = context.plugins.load_all(KIND)
    return sorted(name for name, script in good.items() if not script.IS_SERVICE)


def is_bridge(name: str) -> bool:
    """Say whether an interface of this network namespace is a bridge.

    Asks the driver, not /sys: that shows the namespace in which it was mounted, not ours.
    """
    return driver(name) == "bridge"


def driver(name: str) -> str | None:
    """Name of an interface's driver, None when there is no such interface or it does not say."""
    raw = name.encode()
    if not raw or len(raw) >= IFNAMSIZ or b"/" in raw or b"\0" in raw:
        return None
    info = array.array("B", struct.pack("I", ETHTOOL_GDRVINFO).ljust(DRVINFO_BYTES, b"\0"))
    request = struct.pack(f"{IFNAMSIZ}sP16x", raw, info.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            fcntl.ioctl(sock.fileno(), SIOCETHTOOL, request)
        except OSError:
            return None
    return info.tobytes()[4:36].split(b"\0", 1)[0].decode("ascii", "replace")
