"""Disk template diskless: the contract."""

from __future__ import annotations

import pytest
from ganeti_storage_diskless import DisklessTemplate

from ganeti_kernel.testing.disk_template import DisklessContract


class TestDiskless(DisklessContract):
    @pytest.fixture
    def plugin_class(self) -> type[DisklessTemplate]:
        return DisklessTemplate
