"""ExtStorage providers that are directories of scripts (upstream's ExtStorage Interface)."""

__version__ = "0.1.0"

from ganeti_storage_ext_scripts.provider import ScriptProvider
from ganeti_storage_ext_scripts.source import ScriptSource

__all__ = ["ScriptProvider", "ScriptSource"]
