"""Disk template `ext`: volumes of ExtStorage providers."""

__version__ = "0.1.0"

from ganeti_storage_ext.template import ExtTemplate

__all__ = ["ExtTemplate"]
