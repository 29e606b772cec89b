"""gnt-cluster init and modify: what the options ask for."""

from __future__ import annotations

import time
from typing import Any

import click
import pytest
from click.testing import CliRunner
from ganeti_cli.app import Misuse
from ganeti_cli.cluster_life import SPECS, old_specs
from ganeti_cli.cluster_options import make_opcode, settings_options

from ganeti_kernel.config.bootstrap import initial_view
from ganeti_kernel.errors import OpPrereqError
from ganeti_kernel.objects import ConfigView
from ganeti_kernel.operations.bootstrap import with_settings


def asked(*argv: str, making: bool) -> dict[str, Any]:
    out: dict[str, Any] = {}

    @click.command()
    @settings_options(making=making)
    def command(**given: Any) -> None:
        out.update(make_opcode(given))

    ran = CliRunner().invoke(command, argv, standalone_mode=False)
    if ran.exception is not None:
        raise ran.exception
    return out


def test_same_options_of_both() -> None:
    words = ("-B", "vcpus=2", "--uid-pool", "5-9", "-H", "fake:a=b", "--ipolicy-vcpu-ratio", "2")
    assert asked(*words, making=True) == asked(*words, making=False)
    assert asked(making=True) == {}
    assert asked("--gluster-storage-dir", "/g", making=True) == {"gluster_storage_dir": "/g"}
    with pytest.raises(click.NoSuchOption):
        asked("--gluster-storage-dir", "/g", making=False)
    with pytest.raises(click.NoSuchOption):
        asked("--add-uids", "5", making=True)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--uid-pool", "a-b"), "neither a user id nor a range"),
        (("--data-collector-interval", "lv=soon"), "must be seconds"),
        (("--data-collector-interval", "lv=0"), "must be above 0"),
        (("--enabled-data-collectors", "lv=perhaps"), "neither yes nor no"),
        (("--master-netmask", "wide"), "expects an int"),
        (("-H", "no_fake"), "fake:KEY=VALUE"),
        (("--disk-state", "lvm:a=1"), "TYPE/UNIT"),
        (("--ipolicy-std-specs", "speed=1"), "unknown key 'speed'"),
    ],
)
def test_unreadable(words: tuple[str, ...], text: str) -> None:
    with pytest.raises(click.UsageError, match=text):
        asked(*words, making=False)


def test_older_form_of_limits() -> None:
    given: dict[str, Any] = {f"specs_{name}": None for name in SPECS}
    assert old_specs(given) == {}
    given |= {"specs_mem_size": {"min": "64", "max": "2G"}, "specs_cpu_count": {"std": "2"}}
    limits = old_specs(given)
    assert limits["minmax"][0]["min"]["memory-size"] == 64
    assert limits["minmax"][0]["max"]["memory-size"] == 2048
    assert limits["std"]["cpu-count"] == 2
    with pytest.raises(Misuse, match="there are min, max and std"):
        old_specs(given | {"specs_cpu_count": {"most": "2"}})


def view() -> ConfigView:
    return initial_view(
        cluster_name="clu",
        node_name="node",
        primary_ip="192.0.2.1",
        master_ip="192.0.2.2",
        hvparams={"fake": {}},
        enabled_hypervisors=["fake"],
        enabled_disk_templates=["file"],
        now=time.time(),
    )


def test_settings_of_a_new_cluster() -> None:
    settings = {"uid_pool": [[5, 9]], "beparams": {"memory": "1G"}, "file_storage_dir": "/srv/x"}
    cluster = with_settings(view(), settings, lambda _text: None).cluster
    assert (cluster.uid_pool, cluster.beparams["default"]["maxmem"]) == ([[5, 9]], 1024)
    for wrong, text in (
        ({"file_storage_dir": ""}, "needs a storage directory"),
        ({"file_storage_dir": "/srv/x", "mac_prefix": "x"}, "three octets"),
    ):
        with pytest.raises(OpPrereqError, match=text):
            with_settings(view(), wrong, lambda _text: None)
