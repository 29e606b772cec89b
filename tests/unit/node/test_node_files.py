from __future__ import annotations

import json
import stat
from typing import Any

import pytest

from ganeti_kernel.errors import ConfigurationError, GenericError, ParameterError
from ganeti_kernel.node import exports, files, master
from ganeti_kernel.rpc.trust import bootstrap_file

HMAC = "/var/lib/ganeti/hmac.key"


def snapshot(node: Any) -> dict[str, bytes]:
    return {str(item): item.read_bytes() for item in node.paths.root.rglob("*") if item.is_file()}


def test_a_file_of_the_list_is_replaced(node: Any) -> None:
    files.upload_file(node.context, HMAC, "old")
    files.upload_file(node.context, HMAC, "new", 0o400)
    assert node.paths.hmac_key.read_text() == "new"
    assert stat.S_IMODE(node.paths.hmac_key.stat().st_mode) == 0o400
    assert [item.name for item in node.paths.data_dir.iterdir()] == ["hmac.key"]


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "/etc/ganeti/hooks/instance-add-pre.d/evil",
        "/var/lib/ganeti/../../../etc/shadow",
        "/var/lib/ganeti/server.pem",
        "/var/lib/ganeti/ssconf_master_candidates_certs",
        "var/lib/ganeti/hmac.key",
        "/var/lib/ganeti/hmac.key\0",
        "",
    ],
)
def test_any_other_file_is_refused(node: Any, name: str) -> None:
    before = snapshot(node)
    with pytest.raises(ParameterError, match=r"the master may not write .* allowed are /etc/"):
        files.upload_file(node.context, name, "x")
    assert snapshot(node) == before


def test_a_secret_stays_secret(node: Any) -> None:
    for mode in (0o644, 0o640, 0o4600):
        with pytest.raises(ParameterError, match=r"hmac.key must not have mode .*, at most 0600"):
            files.upload_file(node.context, HMAC, "x", mode)
    assert snapshot(node) == {}


def test_the_configuration(node: Any) -> None:
    files.config_write(node.context, '{"cluster": {}}')
    assert json.loads(node.paths.config_file.read_text()) == {"cluster": {}}
    files.config_write(node.context, {"cluster": {"x": 1}})
    assert json.loads(node.paths.config_file.read_text()) == {"cluster": {"x": 1}}
    assert stat.S_IMODE(node.paths.config_file.stat().st_mode) == 0o640
    before = snapshot(node)
    for bad in ("", "[]", '{"cluster": ', '"x"'):
        with pytest.raises(ParameterError, match="the configuration is not a JSON object"):
            files.config_write(node.context, bad)
    assert snapshot(node) == before


def test_ssconf(node: Any) -> None:
    files.ssconf_write(node.context, {"master_node": "node1.example.com", "cluster_name": "c"})
    assert master.master_node(node.context) == "node1.example.com"
    with pytest.raises(ConfigurationError, match=r"'\.\./evil' is not a name"):
        files.ssconf_write(node.context, {"../evil": "x"})
    with pytest.raises(ConfigurationError, match="larger than 131072 bytes"):
        files.ssconf_write(node.context, {"node_list": "x" * (200 << 10)})


def test_leaving_takes_everything_of_the_cluster_away(node: Any) -> None:
    paths = node.paths
    files.ssconf_write(node.context, {"cluster_name": "c"})
    for path in (paths.hmac_key, paths.ca_file, paths.ca_key, paths.node_certificate):
        path.write_text("x")
    for path in (paths.config_file, paths.data_dir / "epoch", bootstrap_file(paths)):
        path.write_text("x")
    own = paths.conf_dir / "plugins.toml"
    own.parent.mkdir(parents=True)
    own.write_text("")
    files.node_leave(node.context)
    files.node_leave(node.context)
    left = {str(item.relative_to(paths.root)) for item in paths.root.rglob("*") if item.is_file()}
    assert left == {"etc/ganeti/plugins.toml", "var/lock/ganeti-ssconf.lock"}
    assert node.services.asked == ["left", "left"]


def test_finished_exports_are_listed(node: Any) -> None:
    with pytest.raises(GenericError, match=r"cannot list exports in .*/srv/ganeti/export"):
        exports.exports_list(node.context)
    for name in ("inst2.example.com", "inst1.example.com", "inst3.example.com.new"):
        (node.paths.export_dir / name).mkdir(parents=True)
    assert exports.exports_list(node.context) == ["inst1.example.com", "inst2.example.com"]
