"""Network script for NICs of mode `bridged`."""

__version__ = "0.1.0"

from ganeti_networks_bridged.script import BridgedScript

__all__ = ["BridgedScript"]
