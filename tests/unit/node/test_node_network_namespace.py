"""Bridges are those of the daemon's own network namespace."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

LOOK = """
from ganeti_kernel.node.network import driver, is_bridge
print(is_bridge("br77"), is_bridge("veth77"), driver("veth77"))
"""


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a network namespace")
@pytest.mark.skipif(shutil.which("ip") is None, reason="needs iproute2")
def test_a_bridge_of_another_namespace_than_the_one_of_sysfs() -> None:
    script = (
        "ip link add br77 type bridge && ip link add veth77 type veth peer name veth78 && "
        f"{sys.executable} -c '{LOOK}'"
    )
    # no mount namespace: /sys goes on showing the namespace outside
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", script], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["True", "False", "veth"], done.stderr
