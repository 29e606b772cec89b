"""The master's address on a node: in a network namespace of its own, with hooks and script."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ganeti_kernel.errors import ParameterError
from ganeti_kernel.node.master_ip import MasterAddress, held, parse_addresses

SHOWN = """[{"ifname":"lo","addr_info":[{"local":"127.0.0.1","prefixlen":8}]},
 {"ifname":"br0","addr_info":[{"local":"10.0.0.1","prefixlen":24},
                              {"local":"10.0.0.9","prefixlen":32}]},{}]"""


def test_addresses_are_read() -> None:
    found = parse_addresses(SHOWN)
    assert found["br0"] == ["10.0.0.1/24", "10.0.0.9/32"]
    assert held("10.0.0.9", found) == [("br0", "10.0.0.9/32")]
    assert held("10.0.0.2", found) == []


@pytest.mark.parametrize(
    ("ip", "netdev", "netmask", "text"),
    [
        ("nowhere", "br0", 24, "is not an address"),
        ("10.0.0.9", "", 24, "not a network device"),
        ("10.0.0.9", "br0; reboot", 24, "not a network device"),
        ("10.0.0.9", "br0", 33, "does not fit"),
    ],
)
def test_nonsense_is_refused(ip: str, netdev: str, netmask: int, text: str) -> None:
    with pytest.raises(ParameterError, match=text):
        MasterAddress(ip, netdev, netmask)


WORK = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from conftest import NodeParts
from ganeti_kernel.errors import GenericError
from ganeti_kernel.node.master_ip import _addresses, held, master_ip_held, master_ip_start
from ganeti_kernel.node.master_ip import master_ip_stop

root = Path(sys.argv[1])
context = NodeParts(root).context
folder = root / "etc/ganeti/hooks/master-ip-turnup-pre.d"
folder.mkdir(parents=True)
hook = folder / "note"
hook.write_text(f"#!/bin/sh\\necho $GANETI_MASTER_IP $GANETI_OP_CODE >> {root}/hooks\\n")
hook.chmod(0o755)
where = lambda: held("10.9.9.9", _addresses())
assert not master_ip_held(context, "10.9.9.9")
for _ in range(2):
    master_ip_start(context, "10.9.9.9", "lo", 32)
    assert where() == [("lo", "10.9.9.9/32")], where()
assert master_ip_held(context, "10.9.9.9")
master_ip_start(context, "10.9.9.9", "lo", 24)
assert where() == [("lo", "10.9.9.9/24")], where()
for _ in range(2):
    master_ip_stop(context, "10.9.9.9", "lo", 24)
    assert where() == []
assert (root / "hooks").read_text() == "10.9.9.9 OP_CLUSTER_IP_TURNUP\\n" * 3
try:
    master_ip_start(context, "10.9.9.9", "nodev9", 24)
except GenericError as error:
    assert "nodev9" in str(error), error
else:
    raise AssertionError("a device that is not there")
script = root / "etc/ganeti/scripts/master-ip-setup"
script.parent.mkdir()
echo = 'echo "$1 $MASTER_IP/$MASTER_NETMASK $CLUSTER_IP_VERSION"'
script.write_text(f"#!/bin/sh\\n{echo} >> {root}/s\\n")
script.chmod(0o755)
master_ip_start(context, "10.9.9.9", "lo", 24, True)
master_ip_stop(context, "10.9.9.9", "lo", 24, True)
assert (root / "s").read_text() == "start 10.9.9.9/24 4\\nstop 10.9.9.9/24 4\\n"
assert where() == []
hook.write_text("#!/bin/sh\\necho not today\\nexit 1\\n")
try:
    master_ip_start(context, "10.9.9.9", "lo", 32)
except GenericError as error:
    assert "not today" in str(error), error
else:
    raise AssertionError("the hook refuses")
assert where() == []
"""


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="makes a network namespace")
def test_up_and_down(tmp_path: Path) -> None:
    here = str(Path(__file__).parent)
    setup = 'ip link set lo up && exec "$@"'
    argv = [sys.executable, "-c", WORK, str(tmp_path / "root"), here]
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", setup, "sh", *argv],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
