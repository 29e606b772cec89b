"""hail keeps the Allocator contract."""

from __future__ import annotations

import pytest
from ganeti_allocators_htools.plugin import Hail

from ganeti_kernel.testing.allocator import AllocatorContract


class TestHail(AllocatorContract):
    @pytest.fixture
    def plugin_class(self) -> type[Hail]:
        return Hail
