"""Network namespaces of a development cluster: one a node, joined by a bridge in one of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from ganeti_cli.devcluster.layout import BRIDGE, Layout
from ganeti_kernel.errors import CommandError
from ganeti_kernel.plugins import process

TIMEOUT: Final = 20.0


def commands(layout: Layout) -> Iterator[list[str]]:
    """Everything that makes the network, in order. Pure."""
    switch = layout.switch
    yield ["ip", "netns", "add", switch]
    yield ["ip", "-n", switch, "link", "add", "sw0", "type", "bridge"]
    yield ["ip", "-n", switch, "link", "set", "sw0", "up"]
    for number, name in enumerate(layout.names, 1):
        space = layout.namespace(name)
        yield ["ip", "netns", "add", space]
        yield ["ip", "-n", space, "link", "set", "lo", "up"]
        yield ["ip", "-n", space, "link", "add", BRIDGE, "type", "bridge"]
        # A bridge that waits before it forwards would hold back a guest's first packets.
        yield ["ip", "-n", space, "link", "set", BRIDGE, "type", "bridge", "forward_delay", "0"]
        yield [
            "ip", "-n", space, "link", "add", "eth0", "type", "veth",
            "peer", "name", f"p{number}", "netns", switch,
        ]  # fmt: skip
        yield ["ip", "-n", space, "link", "set", "eth0", "master", BRIDGE, "up"]
        yield ["ip", "-n", switch, "link", "set", f"p{number}", "master", "sw0", "up"]
        yield ["ip", "-n", space, "address", "add", f"{layout.address(name)}/24", "dev", BRIDGE]
        yield ["ip", "-n", space, "link", "set", BRIDGE, "up"]


def create(layout: Layout) -> None:
    """Make the namespaces; raises CommandError and leaves none behind."""
    try:
        for argv in commands(layout):
            process.check(argv, timeout=TIMEOUT)
    except CommandError:
        remove(layout)
        raise


def remove(layout: Layout) -> None:
    """Remove the namespaces with all that is in them; those that are gone are no error."""
    for space in (layout.switch, *(layout.namespace(name) for name in layout.names)):
        with contextlib.suppress(CommandError):
            process.run(["ip", "netns", "delete", space], timeout=TIMEOUT)
