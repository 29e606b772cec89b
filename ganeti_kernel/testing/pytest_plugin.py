"""The pytest plugin: loaded wherever the kernel is installed, so it must stay light."""

from __future__ import annotations

import ctypes
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ganeti_kernel.testing.devcluster import DevCluster

SUITES = (
    "allocator",
    "collector",
    "confd_query",
    "disk_template",
    "extstorage",
    "hypervisor",
    "network_script",
    "plugin",
    "storage",
    "store",
)

# Before anybody imports a suite, so that its assertions explain themselves.
pytest.register_assert_rewrite(*(f"ganeti_kernel.testing.{name}" for name in SUITES))


@pytest.fixture
def ganeti_root() -> Iterator[Path]:
    """An empty directory for one node, removed afterwards.

    Its path is short, as paths of Unix sockets must be (107 bytes).
    """
    root = Path(tempfile.mkdtemp(prefix="gnt-"))
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


CLONE_NEWNET = 0x40000000


@pytest.fixture
def ganeti_netns() -> Iterator[None]:
    """A network namespace of the test's own, with nothing but a loopback interface.

    Only the test's thread and the programs it starts are in it. Skips without root.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net") as home:
        if libc.unshare(CLONE_NEWNET):
            pytest.skip(f"no network namespace: {os.strerror(ctypes.get_errno())}")
        try:
            yield
        finally:
            if libc.setns(home.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "cannot go back to the network namespace")


@pytest.fixture(scope="module")
def ganeti_devcluster() -> Iterator[DevCluster]:
    """A running development cluster of two nodes, shared by a test module."""
    from ganeti_kernel.testing.devcluster import DevCluster

    with DevCluster() as cluster:
        yield cluster
