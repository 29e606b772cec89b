"""Network script for NICs of mode `routed`."""

__version__ = "0.1.0"

from ganeti_networks_routed.script import RoutedScript

__all__ = ["RoutedScript"]
