from __future__ import annotations

import io
import json
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from ganeti_kernel.config.ssconf import read_ssconf
from ganeti_kernel.node import setup
from ganeti_kernel.paths import ROOT_VARIABLE, Paths
from ganeti_kernel.rpc import certificates, trust

NODE = "node2.example.com"


def message(cluster: str = "c.example.com", **fields: Any) -> dict[str, Any]:
    authority = certificates.create_authority(cluster)
    own = certificates.issue_certificate(authority, NODE, "127.0.0.1")
    master = certificates.issue_certificate(authority, "node1.example.com")
    return {
        "cluster_name": cluster,
        "node_name": NODE,
        "ca": authority.certificate.decode(),
        "certificate": own.pem.decode(),
        "master_fingerprint": certificates.fingerprint(master.certificate),
        "hmac_key": "s3kr!t-hmac",
        "ssconf": {"master_node": "node1.example.com"},
        **fields,
    }


class Machine:
    def __init__(self, root: Path, patch: pytest.MonkeyPatch, capsys: Any) -> None:
        self.paths = Paths(root)
        self._patch = patch
        self._capsys = capsys
        patch.setenv(ROOT_VARIABLE, str(root))
        patch.setattr(sys, "argv", ["node-daemon-setup"])

    def run(self, data: Any) -> tuple[int, str, str]:
        text = data if isinstance(data, str) else json.dumps(data)
        stdin = io.TextIOWrapper(io.BytesIO(text.encode()))
        self._patch.setattr(sys, "stdin", stdin)
        code = setup.main()
        out, err = self._capsys.readouterr()
        return code, out, err

    def files(self) -> dict[str, bytes]:
        places = self.paths.root.rglob("*") if self.paths.root.exists() else ()
        return {str(item): item.read_bytes() for item in places if item.is_file()}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Machine:
    return Machine(tmp_path / "root", monkeypatch, capsys)


def test_a_fresh_machine_becomes_a_node(machine: Machine) -> None:
    wanted = message()
    code, out, err = machine.run(wanted)
    assert (code, err) == (0, "")
    assert json.loads(out) == {"cluster_name": "c.example.com", "node_name": NODE}
    paths = machine.paths
    assert read_ssconf(paths, "cluster_name") == "c.example.com"
    assert read_ssconf(paths, "master_node") == "node1.example.com"
    assert trust.Candidates(paths).allowed() == {wanted["master_fingerprint"]}
    assert trust.own_fingerprint(paths) == certificates.fingerprint(wanted["certificate"].encode())
    for secret in (paths.node_certificate, paths.hmac_key):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_set_up_again_for_the_same_cluster(machine: Machine) -> None:
    wanted = message()
    machine.run(wanted)
    paths = machine.paths
    paths.ssconf(trust.CANDIDATES_KEY).write_text("u=" + ":".join(["AB"] * 20) + "\n")
    (paths.data_dir / "epoch").write_text("7\n")
    assert machine.run(wanted)[0] == 0
    # the list from before is gone, the epoch is kept: a replaced master stays out
    assert trust.Candidates(paths).allowed() == {wanted["master_fingerprint"]}
    assert (paths.data_dir / "epoch").read_text() == "7\n"


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ("other.example.com", "is a node of cluster c.example.com, not of other.example.com"),
        ("c.example.com", "another cluster"),  # the same name with another authority
    ],
)
def test_a_node_of_another_cluster_is_left_alone(machine: Machine, other: str, words: str) -> None:
    machine.run(message())
    before = machine.files()
    code, _out, err = machine.run(message(other))
    assert code == 12
    assert words in err
    assert err.count("\n") == 1
    assert machine.files() == before


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"master_fingerprint": "AB:CD"}, "master_fingerprint is not a SHA-1 fingerprint"),
        ({"ca": "s3kr!t"}, "not usable PEM texts"),
        ({"certificate": "s3kr!t"}, "not usable PEM texts"),
        ({"cluster_name": 7}, "Expected `str`, got `int` - at `$.cluster_name`"),
        ({"unknown": 1}, "Object contains unknown field `unknown`"),
    ],
)
def test_input_that_is_not_usable(machine: Machine, fields: dict[str, Any], problem: str) -> None:
    code, _out, err = machine.run(message(**fields))
    assert code == 1
    assert problem in err
    assert "s3kr!t" not in err
    assert machine.files() == {}


def test_keys_and_certificates_that_do_not_fit(machine: Machine) -> None:
    wanted, other = message(), message()
    begin = "-----BEGIN CERTIFICATE-----"
    key, _, own = wanted["certificate"].partition(begin)
    foreign_key = other["certificate"].partition(begin)[0]
    for fields, problem in (
        ({"certificate": wanted["ca"]}, "not usable PEM texts"),
        ({"certificate": key}, "not usable PEM texts"),
        ({"certificate": foreign_key + begin + own}, "the key does not belong to the certificate"),
        ({"certificate": other["certificate"]}, "was not made by the cluster's authority"),
    ):
        code, _out, err = machine.run(wanted | fields)
        assert code == 1
        assert problem in err
        assert machine.files() == {}


@pytest.mark.parametrize("text", ["", "nonsense", "[]", '{"cluster_name": "c'])
def test_input_that_is_no_object(machine: Machine, text: str) -> None:
    code, _out, err = machine.run(text)
    assert (code, machine.files()) == (1, {})
    assert err.startswith("node-daemon-setup: the input is not usable: ")


def test_too_much_input(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "MAX_INPUT", 1000)
    code, _out, err = machine.run(" " * 2000)
    assert code == 1
    assert "more than" in err


def test_usage(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    for argument, code in (("--help", 0), ("surplus", 2), ("--leave", 2)):
        monkeypatch.setattr(sys, "argv", ["node-daemon-setup", argument])
        assert setup.main() == code
        assert "node-daemon-setup < FILE" in "".join(capsys.readouterr())


def test_leaving_takes_everything_away(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    data = message()
    assert machine.run(data)[0] == 0
    (machine.paths.data_dir / "epoch").write_text("3")
    machine.paths.replica_file.write_text("a copy of the master's state")
    files = machine.files()
    digest = certificates.fingerprint(data["ca"].encode())
    for name, named, code in (
        ("cluster.example.com", digest[:-1] + "?", 12),
        ("cluster.example.com", digest.lower(), 0),
        ("cluster.example.com", digest, 0),
    ):
        monkeypatch.setattr(sys, "argv", ["node-daemon-setup", "--leave", name, named])
        assert setup.main() == code
        left = {name for name in machine.files() if not name.endswith(".lock")}
        assert left == ({name for name in files if not name.endswith(".lock")} if code else set())


def test_a_master_does_not_leave(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    data = message()
    assert machine.run(data)[0] == 0
    machine.paths.store_file.write_text("the cluster")
    files = machine.files()
    digest = certificates.fingerprint(data["ca"].encode())
    monkeypatch.setattr(sys, "argv", ["node-daemon-setup", "--leave", "c", digest])
    assert setup.main() == 1
    assert machine.files() == files
