"""ExtStorage provider `loopfile`: volumes in files, on loop devices where that is possible."""

__version__ = "0.1.0"

from ganeti_storage_ext_loopfile.provider import LoopfileProvider

__all__ = ["LoopfileProvider"]
