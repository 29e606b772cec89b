"""An upgrade's parts: versions, the note of what is pending, conversion, archive."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from ganeti_kernel.config import conversion, history
from ganeti_kernel.config.bootstrap import initial_view, store_view
from ganeti_kernel.config.writer import load_view
from ganeti_kernel.errors import ConfigurationError, GenericError, OpPrereqError
from ganeti_kernel.objects import ConfigView
from ganeti_kernel.objects.params import BE_DEFAULTS
from ganeti_kernel.operations import upgrade
from ganeti_kernel.paths import Paths
from ganeti_kernel.store.opening import open_store
from ganeti_kernel.version import CONFIG_VERSION

INTENT = upgrade.Intent("0.1", "0.2", 7, "backup")


def of_version(version: int) -> ConfigView:
    view = initial_view(
        cluster_name="cluster.example.com",
        node_name="node1.example.com",
        primary_ip="192.0.2.1",
        master_ip="192.0.2.9",
        hvparams={"fake": {}},
        enabled_hypervisors=["fake"],
        enabled_disk_templates=["diskless"],
        now=7.0,
    )
    beparams = {"default": {"maxmem": 512, "minmem": 512, "vcpus": 1}}
    cluster = msgspec.structs.replace(view.cluster, beparams=beparams)
    return ConfigView(
        cluster=cluster, nodes=view.nodes, nodegroups=view.nodegroups, version=version, serial_no=5
    )


def test_conversion() -> None:
    view, notes = conversion.convert(of_version(2_160_000))
    assert (view.version, view.serial_no) == (CONFIG_VERSION, 6)
    assert notes[0] == f"configuration version 2160000 (2.16) -> {CONFIG_VERSION} (3.0)"
    assert view.cluster.beparams["default"] == BE_DEFAULTS | {"maxmem": 512, "minmem": 512}
    again, nothing = conversion.convert(view)
    assert (again, nothing) == (view, [])
    with pytest.raises(ConfigurationError, match="cannot go back"):
        conversion.convert(of_version(3_010_000))
    with pytest.raises(ConfigurationError, match=r"release 2\.10 cannot be converted"):
        conversion.convert(of_version(2_100_000))


def test_versions() -> None:
    assert upgrade.matches("3.1", "3.1.2")
    assert not upgrade.matches("3.1", "3.10")
    upgrade.check_target("0.2", "0.2.1")
    for wanted, text in (("0.3", "not installed on this node but 0.2.1"), ("new", "not a version")):
        with pytest.raises(OpPrereqError, match=text):
            upgrade.check_target(wanted, "0.2.1")
    assert upgrade.installed_version("gnt-cluster (ganeti-kernel 0.2.1) 0.2.1\n") == "0.2.1"
    assert upgrade.installed_version("sh: gnt-cluster: not found\n") is None
    assert upgrade.wrong_versions("0.2", {"a": "0.2.1", "c": None, "b": "0.1"}) == [
        "node b has 0.1",
        "node c has no ganeti-kernel",
    ]


def test_what_is_pending(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.data_dir.mkdir(parents=True)
    assert upgrade.read_intent(paths) is None
    upgrade.note(paths, INTENT)
    assert upgrade.read_intent(paths) == INTENT
    assert INTENT.left == ("backup", "convert", "restart", "verify")
    upgrade.intent_file(paths).write_text("2.16 3.0 99")  # upstream's form
    assert upgrade.read_intent(paths) == upgrade.Intent("2.16", "3.0", 99, "drain")
    for text in ("", "a b c d", "2.16 3.0 7 dance"):
        upgrade.intent_file(paths).write_text(text)
        with pytest.raises(GenericError, match="remove it if no upgrade is under way"):
            upgrade.read_intent(paths)
    upgrade.forget(paths)
    assert upgrade.read_intent(paths) is None


def test_archive_and_way_back(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.data_dir.mkdir(parents=True)
    store = open_store(paths, create=True)
    store_view(store, of_version(2_160_000))
    store.close()
    (paths.data_dir / "hmac.key").write_text("old")
    with pytest.raises(GenericError, match="could not be brought back"):
        upgrade.restore(paths, INTENT)
    upgrade.backup_file(paths, INTENT).write_text("of an earlier attempt")
    archive = upgrade.back_up(paths, INTENT)
    assert archive.stat().st_mode & 0o777 == 0o600
    assert upgrade.convert_store(paths)
    assert upgrade.convert_store(paths) == []
    (paths.data_dir / "hmac.key").write_text("new")
    assert version(paths) == CONFIG_VERSION
    upgrade.restore(paths, INTENT)
    assert version(paths) == 2_160_000
    assert (paths.data_dir / "hmac.key").read_text() == "old"
    upgrade.open_queue(paths)


def version(paths: Paths) -> int:
    store = open_store(paths)
    try:
        assert not list(store.list(history.HISTORY_PREFIX))
        return load_view(store)[0].version
    finally:
        store.close()
