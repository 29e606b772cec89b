"""Disk template `file`: each disk is a file on the instance's primary node."""

__version__ = "0.1.0"

from ganeti_storage_file.template import FileTemplate

__all__ = ["FileTemplate"]
