"""Programs that know nothing of us read our reports: Debian's hbal, and a browser."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganeti_kernel.testing.confd_peer import free_port
from ganeti_kernel.testing.waiting import wait_until

HBAL = "/usr/bin/hbal"  # by its path: ours, of the same name, may come first in PATH
CLUSTER = """\
group-01|fake-uuid-01|preferred||

node1.example.com|1024|0|896|95367|78688|4|N|fake-uuid-01|1
node2.example.com|1024|0|896|95367|78688|4|N|fake-uuid-01|1

inst1|128|0|1|running|Y|node1.example.com|node2.example.com|drbd||1


|128,1,1024,1,1,1|128,1,1024,1,1,1;32768,8,1048576,16,8,12|drbd|4.0|32.0
"""
SCRIPT = """
set -e
ip link set lo up; hostname node1.example.com
mount --bind {place}/hosts /etc/hosts
{python} -m ganeti_kernel.daemons.mond -f --no-user-checks -b 127.0.0.1 -p 1815 2>{place}/log &
daemon=$!
for attempt in $(seq 100); do
  curl -s http://127.0.0.1:1815/1/report/default/cpu-avg-load | grep -q cpu_total && break
  sleep 0.2
done
{hbal} -t {place}/cluster --mond=yes --exit-on-missing-mond-data -v -v -p 2>&1
kill $daemon; wait $daemon
"""
hbal_can_run = os.geteuid() == 0 and all(map(shutil.which, (HBAL, "unshare", "curl")))
CHROMIUM = shutil.which("chromium")


@pytest.mark.peer
@pytest.mark.root
@pytest.mark.skipif(not hbal_can_run, reason="needs root and Debian's ganeti-htools")
def test_hbal_reads_our_cpu_load(ganeti_root: Path, tmp_path: Path) -> None:
    """It refuses to go on when a node's data are missing, and shows the load that it read."""
    (tmp_path / "cluster").write_text(CLUSTER)
    (tmp_path / "hosts").write_text("127.0.0.1 localhost node1.example.com node2.example.com\n")
    script = SCRIPT.format(place=tmp_path, python=sys.executable, hbal=HBAL)
    done = subprocess.run(
        ["unshare", "-n", "-u", "-m", "sh", "-c", script],
        env=os.environ | {"GANETI_ROOTDIR": str(ganeti_root)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # the column lCpu of each node; without data of mond it would be the count of its instances
    row = r"^\s+(node[12])\.example\.com .* (\d+\.\d+) (?:\S+ ){2}\S+$"
    loads = re.findall(row, done.stdout, re.MULTILINE)
    assert {node for node, _load in loads} == {"node1", "node2"}, done.stdout
    assert loads[0][1] == loads[1][1]


def serves(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except OSError:
        return False
    return True


@pytest.fixture
def address(ganeti_root: Path) -> Iterator[str]:
    port = free_port()
    words = ["-f", "--no-user-checks", "-b", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(
        [sys.executable, "-m", "ganeti_kernel.daemons.mond", *words],
        env=os.environ | {"GANETI_ROOTDIR": str(ganeti_root), "GANETI_HOSTNAME": "node1"},
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            url = f"http://127.0.0.1:{port}/"
            wait_until(lambda: serves(url), "mond serves its page")
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


@pytest.mark.skipif(CHROMIUM is None, reason="the package chromium is not installed")
@pytest.mark.timeout(120)
def test_a_browser_shows_the_page(address: str, tmp_path: Path) -> None:
    picture = tmp_path / "page.png"
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
    shown = subprocess.run(
        [str(CHROMIUM), *options, "--dump-dom", address],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    for wanted in ("<h1>node1</h1>", ">cpu-avg-load</a>", ">inactive</span>", "/metrics"):
        assert wanted in shown
    subprocess.run(
        [str(CHROMIUM), *options, f"--screenshot={picture}", "--window-size=1100,900", address],
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 20_000  # an empty page has less
