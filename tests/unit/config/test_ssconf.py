"""ssconf files: the recorded ones, and how they are written."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from ganeti_kernel.config import ssconf
from ganeti_kernel.config.changes import Draft
from ganeti_kernel.errors import ConfigurationError
from ganeti_kernel.objects import ConfigView
from ganeti_kernel.paths import Paths
from ganeti_kernel.version import SOFTWARE_VERSION


def certs(folder: Path) -> dict[str, str]:
    """The certificates were renewed between the two recordings."""
    lines = (folder / "ssconf/ssconf_master_candidates_certs").read_text().split()
    return dict(line.split("=", 1) for line in lines)


def test_files_are_upstreams_byte_for_byte(
    recorded: Path, rich2: ConfigView, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssconf, "SOFTWARE_VERSION", "3.0.2")
    draft = Draft(rich2)
    draft.replace_cluster(candidate_certs=certs(recorded))
    paths = Paths(tmp_path)
    written = ssconf.write_ssconf(paths, ssconf.ssconf_values(draft.view))
    ours = {path.name: path.read_bytes() for path in paths.data_dir.iterdir()}
    theirs = {path.name: path.read_bytes() for path in (recorded / "ssconf").iterdir()}
    assert ours == theirs
    assert len(written) == len(theirs)


def test_only_what_differs_is_written(rich2: ConfigView, tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    values = ssconf.ssconf_values(rich2)
    ssconf.write_ssconf(paths, values)
    assert ssconf.write_ssconf(paths, values) == []
    before = paths.ssconf("cluster_name").stat().st_ino
    assert ssconf.write_ssconf(paths, values | {"cluster_tags": "x"}) == ["cluster_tags"]
    assert paths.ssconf("cluster_name").stat().st_ino == before
    assert paths.ssconf("cluster_tags").stat().st_mode & 0o777 == 0o444


def test_values_are_read_back(rich2: ConfigView, tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    values = ssconf.ssconf_values(rich2)
    ssconf.write_ssconf(paths, values)
    assert {key: ssconf.read_ssconf(paths, key) for key in values} == values
    assert ssconf.read_ssconf(paths, "release_version") == SOFTWARE_VERSION


def test_node_without_cluster_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not part of a cluster"):
        ssconf.read_ssconf(Paths(tmp_path), "cluster_name")


@pytest.mark.parametrize("key", ["../../etc/passwd", "", "A", "a/b", "a" * 100])
def test_bad_keys_are_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigurationError, match="not a name"):
        ssconf.write_ssconf(Paths(tmp_path), {key: "x"})
    with pytest.raises(ConfigurationError, match="not a name"):
        ssconf.read_ssconf(Paths(tmp_path), key)
    assert list(tmp_path.iterdir()) == []


def test_large_values_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cluster_tags was refused"):
        ssconf.write_ssconf(Paths(tmp_path), {"cluster_tags": "x" * (128 * 1024 + 1)})
    paths = Paths(tmp_path)
    paths.data_dir.mkdir(parents=True)
    paths.ssconf("cluster_tags").write_bytes(b"x" * (200 << 10))
    with pytest.raises(ConfigurationError, match="larger than"):
        ssconf.read_ssconf(paths, "cluster_tags")


def test_unwritable_place_is_named(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.lock_dir.mkdir(parents=True)
    paths.data_dir.parent.mkdir(parents=True)
    paths.data_dir.write_text("a file where a directory should be")
    with pytest.raises(ConfigurationError, match="cannot write ssconf files"):
        ssconf.write_ssconf(paths, {"cluster_tags": "x"})


def test_failed_write_leaves_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = Paths(tmp_path)

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigurationError, match="No space left"):
        ssconf.write_ssconf(paths, {"cluster_tags": "x"})
    assert list(paths.data_dir.iterdir()) == []


def test_offline_nodes_and_uid_pools(rich2: ConfigView) -> None:
    draft = Draft(rich2)
    node = rich2.find_node("node2")
    assert node is not None
    draft.replace(node, offline=True, master_candidate=False, ndparams={"ssh_port": 2222})
    draft.put(msgspec.structs.replace(draft.view.cluster, uid_pool=[[1000, 1010], [7, 7]]))
    values = ssconf.ssconf_values(draft.view)
    assert values["offline_nodes"] == "node2.example.com"
    assert values["online_nodes"] == "node1.example.com\nnode3.example.com"
    assert values["master_candidates"] == "node3.example.com\nnode1.example.com"
    assert values["ssh_ports"].splitlines()[1] == "node2.example.com=2222"
    assert values["uid_pool"] == "1000-1010\n7"
