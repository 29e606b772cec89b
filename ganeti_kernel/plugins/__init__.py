"""Finding, loading and checking plugins; what a plugin does is the contracts' business (specs)."""

from ganeti_kernel.plugins.kinds import KINDS, Kind
from ganeti_kernel.plugins.registry import Broken, Registry

__all__ = ["KINDS", "Broken", "Kind", "Registry"]
