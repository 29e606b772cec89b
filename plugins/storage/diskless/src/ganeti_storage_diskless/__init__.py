"""Disk template `diskless`: instances without any disk."""

__version__ = "0.1.0"

from ganeti_storage_diskless.template import DisklessTemplate

__all__ = ["DisklessTemplate"]
