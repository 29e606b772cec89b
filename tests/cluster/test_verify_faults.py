"""Faults put into a real cluster of three nodes: `gnt-cluster verify` names each, and no other.

Each fault is mended before the next one comes, so that one that is not mended, or a finding that
stays, fails the next. `tests/unit/operations` has those that cannot be put into a real cluster.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from ganeti_kernel.config.keys import CONFIG_CLUSTER, CONFIG_META
from ganeti_kernel.paths import Paths
from ganeti_kernel.rpc.certificates import Identity, create_authority, issue_certificate
from ganeti_kernel.specs.base import PluginContext
from ganeti_kernel.specs.store import Put
from ganeti_kernel.store.sqlite import SqliteBackend
from ganeti_kernel.testing.devcluster import DevCluster
from ganeti_kernel.testing.waiting import wait_until
from tests.cluster.damage import edit, kept, remove, write

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

NODE1, NODE2, NODE3 = (f"node{number}.example.com" for number in (1, 2, 3))
UP, DOWN = "up.example.com", "down.example.com"
FINDING = re.compile(r"^.{24}   - (ERROR|WARNING):(E\w+):\w+:([^:]*):(.*)$", re.MULTILINE)
OS_SCRIPTS = ("create", "import", "export", "rename", "verify")


class Told(NamedTuple):
    severity: str
    code: str
    item: str
    text: str


@pytest.fixture(scope="module")
def cluster() -> Iterator[DevCluster]:
    with DevCluster(3) as cluster:
        for paths in cluster.nodes:
            operating_system(paths, "good")
        add = ("gnt-instance", "add", "-o", "good", "--no-install", "-n", "node2", "--no-nics")
        disk = ("-t", "file", "--disk", "0:size=8M", "-B", "memory=16M")
        cluster.must(*add, *disk, UP)
        cluster.must(*add, *disk, "--no-start", DOWN)
        # two candidates of three nodes: the third one can have what candidates alone may have
        change_cluster(cluster, candidate_pool_size=2)
        cluster.must("gnt-node", "modify", "-C", "no", "node3")
        yield cluster


def operating_system(paths: Paths, name: str) -> Path:
    """Install an OS definition without variants."""
    folder = paths.os_search_path[0] / name
    folder.mkdir(parents=True)
    (folder / "ganeti_api_version").write_text("20\n15\n")
    (folder / "parameters.list").write_text("")
    for script in OS_SCRIPTS:
        (folder / script).write_text("#!/bin/sh\n")
        (folder / script).chmod(0o755)
    return folder


def verify(cluster: DevCluster, *options: str) -> tuple[int, list[Told], str]:
    ran = cluster.on(1, "gnt-cluster", "verify", "--error-codes", *options)
    return ran.code, [Told(*found) for found in FINDING.findall(ran.out)], ran.out + ran.err


# -- faults: each is put in on entry and mended on exit ------------------------------------------

Fault = Callable[[DevCluster], contextlib.AbstractContextManager[Any]]


def on_file(node: int, name: str, change: Callable[[Path], Any]) -> Fault:
    """Do something to a file or directory of a node; the name is that without a root directory."""

    @contextlib.contextmanager
    def put(cluster: DevCluster) -> Iterator[None]:
        with kept(cluster, cluster.nodes[node - 1].under(name)) as path:
            change(path)
            yield

    return put


def move_node3(hosts: Path) -> None:
    """Give node3 another address in a node's list of hosts."""
    write(
        re.sub(
            rf"^\S+ {NODE3} ", f"127.254.254.254 {NODE3} ", hosts.read_text(), flags=re.MULTILINE
        )
    )(hosts)


def extra_system(node: int, name: str, *lacking: str) -> Fault:
    """An OS definition on one node alone, or on all when one of its scripts is lacking there."""

    @contextlib.contextmanager
    def put(cluster: DevCluster) -> Iterator[None]:
        made = [
            operating_system(paths, name)
            for number, paths in enumerate(cluster.nodes, 1)
            if lacking or number == node
        ]
        for script in lacking:
            (cluster.nodes[node - 1].os_search_path[0] / name / script).unlink()
        try:
            yield
        finally:
            for folder in made:
                shutil.rmtree(folder)

    return put


@contextlib.contextmanager
def stopped_noded(cluster: DevCluster) -> Iterator[None]:
    cluster.must("daemon-util", "stop", "ganeti-noded", node=3)
    try:
        yield
    finally:
        cluster.must("daemon-util", "start", "ganeti-noded", node=3)


def reissued(days: int | None = None, *, stranger: bool = False) -> Fault:
    """Another certificate for node3, which is no candidate; `days` until it ends."""

    @contextlib.contextmanager
    def put(cluster: DevCluster) -> Iterator[None]:
        master, third = cluster.nodes[0], cluster.nodes[2]
        authority = Identity(master.ca_key.read_bytes(), master.ca_file.read_bytes())
        if stranger:
            authority = create_authority("another")
        with kept(cluster, third.node_certificate) as path:
            identity = issue_certificate(authority, NODE3, validity_days=days or 100)
            path.write_bytes(identity.pem)
            yield

    return put


def change_cluster(cluster: DevCluster, **fields: Any) -> dict[str, Any]:
    """Change the configuration behind the master daemon's back; returns the old values."""
    cluster.must("daemon-util", "stop", "ganeti-masterd")
    backend = SqliteBackend(PluginContext(paths=cluster.nodes[0]))
    store = backend.open(f"sqlite://{cluster.nodes[0].store_file}", create=False)
    try:
        changed = {}
        for key in (CONFIG_CLUSTER, CONFIG_META):
            entry = store.get(key)
            assert entry is not None
            changed[key] = msgspec.json.decode(entry.value)
            changed[key]["serial_no"] += 1
        before = {key: changed[CONFIG_CLUSTER][key] for key in fields}
        changed[CONFIG_CLUSTER] |= fields
        store.txn([], [Put(key, msgspec.json.encode(value)) for key, value in changed.items()])
    finally:
        store.close()
    cluster.must("daemon-util", "start", "ganeti-masterd")
    return before


def hook(node: int, text: str) -> Fault:
    folder = "/etc/ganeti/hooks/cluster-verify-post.d"

    @contextlib.contextmanager
    def put(cluster: DevCluster) -> Iterator[None]:
        script = cluster.nodes[node - 1].under(f"{folder}/10-look")
        script.parent.mkdir(parents=True)
        script.write_text(f"#!/bin/sh\n{text}\n")
        script.chmod(0o755)
        try:
            yield
        finally:
            shutil.rmtree(script.parent.parent)

    return put


DATA = "/var/lib/ganeti"
GUESTS = "/var/run/ganeti/fake-hypervisor"
RUNNING = "0\n16\n1\n"
DISKS = "/srv/ganeti/file-storage"


def make_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def disk_of(name: str, change: Callable[[Path], Any]) -> Callable[[Path], Any]:
    def apply(folder: Path) -> None:
        (path,) = (folder / name).iterdir()
        change(path)

    return apply


FAULTS: dict[str, tuple[Fault, tuple[str, ...]]] = {
    "a common file is missing": (
        on_file(2, f"{DATA}/hmac.key", remove),
        (f"ECLUSTERFILECHECK {NODE2}",),
    ),
    "a common file differs": (
        on_file(2, f"{DATA}/hmac.key", write("x")),
        (f"ECLUSTERFILECHECK {NODE2}",),
    ),
    "an optional file differs": (
        on_file(2, f"{DATA}/cluster-domain-secret", write("x")),
        (f"ECLUSTERFILECHECK {NODE2}",),
    ),
    "no key of the authority on a candidate": (
        on_file(2, f"{DATA}/ca.key", remove),
        (f"ECLUSTERFILECHECK {NODE2}",),
    ),
    "the key of the authority on a regular node": (
        on_file(3, f"{DATA}/ca.key", write("x")),
        (f"ECLUSTERFILECHECK {NODE3}",),
    ),
    "an ssconf file differs": (
        on_file(2, f"{DATA}/ssconf_node_list", write("x")),
        (f"ECLUSTERFILECHECK {NODE2}",),
    ),
    "an ssconf file is missing": (
        on_file(2, f"{DATA}/ssconf_node_list", remove),
        (f"ECLUSTERFILECHECK {NODE2}",),
    ),
    "an old configuration": (
        on_file(2, f"{DATA}/config.data", edit('"serial_no":', '"serial_no":1, "was":')),
        (f"ECLUSTERFILECHECK {NODE2}",),
    ),
    "no configuration on a candidate": (
        on_file(2, f"{DATA}/config.data", remove),
        (f"ECLUSTERFILECHECK {NODE2}",),
    ),
    "a damaged configuration": (
        on_file(2, f"{DATA}/config.data", write("{")),
        (f"ECLUSTERFILECHECK {NODE2}", f"ENODESETUP {NODE2}"),
    ),
    "the configuration on a regular node": (
        on_file(3, f"{DATA}/config.data", write('{"serial_no": 1}')),
        (f"ECLUSTERFILECHECK {NODE3}",),
    ),
    "a node of another cluster": (
        on_file(2, f"{DATA}/ssconf_cluster_name", write("other")),
        (f"ENODESETUP {NODE2}", f"ECLUSTERFILECHECK {NODE2}"),
    ),
    "a key that others can read": (
        on_file(2, f"{DATA}/server.pem", lambda path: path.chmod(0o644)),
        (f"ENODESETUP {NODE2}",),
    ),
    "a directory is missing": (on_file(2, "/var/log/ganeti", remove), (f"ENODESETUP {NODE2}",)),
    "a node daemon is down": (
        stopped_noded,
        (f"ENODERPC {NODE3}", f"ENODENET {NODE3}", f"ENODENET {NODE3}", f"ENODEHOOKS {NODE3}"),
    ),
    "a name does not resolve": (
        on_file(2, "/etc/ganeti/hosts", edit(NODE3, "nosuch.invalid")),
        (f"ENODENET {NODE3}",),
    ),
    "a name resolves to another node": (
        on_file(2, "/etc/ganeti/hosts", move_node3),
        (f"ENODENET {NODE3}",),
    ),
    "a certificate has expired": (reissued(-1), (f"ENODERPC {NODE3}", f"ENODEHOOKS {NODE3}")),
    "a certificate soon ends": (reissued(3), (f"ECLUSTERCLIENTCERT {NODE3}",)),
    "a certificate of another authority": (
        reissued(stranger=True),
        (f"ENODERPC {NODE3}", f"ENODEHOOKS {NODE3}"),
    ),
    "an unknown instance": (
        on_file(3, f"{GUESTS}/ghost.example.com", write(RUNNING)),
        (f"ENODEORPHANINSTANCE {NODE3}",),
    ),
    "an instance is down": (on_file(2, f"{GUESTS}/{UP}", remove), (f"EINSTANCEDOWN {UP}",)),
    "an instance runs twice": (
        on_file(3, f"{GUESTS}/{UP}", write(RUNNING)),
        (f"EINSTANCEWRONGNODE {UP}",),
    ),
    "a stopped instance runs elsewhere": (
        on_file(3, f"{GUESTS}/{DOWN}", write(RUNNING)),
        (f"EINSTANCEWRONGNODE {DOWN}",),
    ),
    "a damaged hypervisor": (on_file(2, f"{GUESTS}/{UP}", write("garbage")), (f"ENODEHV {NODE2}",)),
    "a hypervisor is switched off": (
        on_file(3, "/etc/ganeti/plugins.toml", write('[disabled]\nhypervisor = ["fake"]\n')),
        (f"ENODEHV {NODE3}",),
    ),
    "a disk template is switched off": (
        on_file(3, "/etc/ganeti/plugins.toml", write('[disabled]\ndisk_template = ["ext"]\n')),
        (f"ENODESETUP {NODE3}",),
    ),
    "a disk is missing": (on_file(2, DISKS, disk_of(UP, remove)), (f"EINSTANCEMISSINGDISK {UP}",)),
    "a stopped instance's disk is missing": (
        on_file(2, DISKS, disk_of(DOWN, remove)),
        (f"EINSTANCEMISSINGDISK {DOWN}",),
    ),
    "a disk has another size": (
        on_file(2, DISKS, disk_of(UP, lambda path: path.write_bytes(b"\0" * (4 << 20)))),
        (f"EINSTANCEFAULTYDISK {UP}",),
    ),
    "a disk is no file": (
        on_file(2, DISKS, disk_of(UP, make_directory)),
        (f"EINSTANCEFAULTYDISK {UP}",),
    ),
    "a volume of nobody": (
        on_file(3, f"{DISKS}/stray.example.com/x.file.disk0", write("x")),
        (f"ENODEORPHANLV {NODE3}",),
    ),
    "the storage directory is missing": (
        on_file(3, DISKS, remove),
        (f"ENODEFILESTORAGEPATHUNUSABLE {NODE3}",),
    ),
    "a forbidden storage path": (
        on_file(
            3,
            "/etc/ganeti/file-storage-paths",
            lambda path: path.write_text(path.read_text() + "/usr/bin\n"),
        ),
        (f"ENODEFILESTORAGEPATHS {NODE3}",),
    ),
    "an OS on one node alone": (extra_system(3, "odd"), (f"ENODEOS {NODE3}",)),
    "an OS is missing on one node": (
        on_file(3, "/srv/ganeti/os/good", remove),
        (f"ENODEOS {NODE3}",),
    ),
    "an OS is not valid": (extra_system(3, "broken", "create"), (f"ENODEOS {NODE3}",)),
    "an OS speaks another version": (
        on_file(
            3, "/srv/ganeti/os/good", lambda path: (path / "ganeti_api_version").write_text("20\n")
        ),
        (f"ENODEOS {NODE3}",),
    ),
    "a hook that fails": (hook(2, "echo no good; exit 1"), (f"ENODEHOOKS {NODE2}",)),
}


def test_a_sound_cluster_has_no_findings(cluster: DevCluster) -> None:
    code, found, told = verify(cluster)
    assert (code, found) == (0, []), told
    assert "* Hooks Results" in told


def assert_only(found: list[Told], expected: tuple[str, ...], told: str) -> None:
    """Each of `expected` ("CODE what it names") was found, and nothing else."""
    for text in expected:
        code, thing = text.split(" ", 1)
        match = next(
            (
                item
                for item in found
                if item.code == code and (thing == item.item or thing in item.text)
            ),
            None,
        )
        assert match is not None, f"no {code} of {thing}:\n{told}"
        found.remove(match)
    assert found == [], told


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_named_and_nothing_else(cluster: DevCluster, name: str) -> None:
    put, expected = FAULTS[name]
    with put(cluster):
        code, found, told = verify(cluster)
    assert code == 1, told
    assert_only(found, expected, told)


def test_faults_of_the_configuration(cluster: DevCluster) -> None:
    """All at once: each of them costs the master daemon a restart."""
    config = msgspec.json.decode(cluster.nodes[0].config_file.read_bytes())
    certs = config["cluster"]["candidate_certs"]
    second = next(uuid for uuid, node in config["nodes"].items() if node["name"] == NODE2)
    before = change_cluster(
        cluster,
        candidate_certs={uuid: value for uuid, value in certs.items() if uuid != second},
        candidate_pool_size=3,
        default_iallocator="nosuch",
        hvparams={"fake": {"migration_mode": "live", "odd": 1}},
        ndparams=config["cluster"]["ndparams"] | {"oob_program": "/usr/lib/oob"},
        tags=["a b"],
        use_external_mip_script=True,
    )
    try:
        _code, found, told = verify(cluster)
    finally:
        change_cluster(cluster, **before)
    expected = (
        f"ECLUSTERCLIENTCERT {NODE2}",
        "ECLUSTERCFG there should be 3",
        "ECLUSTERCFG allocator nosuch",
        "ECLUSTERCFG parameter 'odd'",
        "ECLUSTERCFG 'a b'",
        *(f"ENODEOOBPATH {name}" for name in (NODE1, NODE2)),
        *(f"ENODEUSERSCRIPTS {name}" for name in (NODE1, NODE2, NODE3)),
    )
    assert_only(found, expected, told)


def test_an_error_that_is_ignored_is_a_warning(cluster: DevCluster) -> None:
    put, _expected = FAULTS["an OS is missing on one node"]
    with put(cluster):
        code, found, told = verify(cluster, "--ignore-errors", "ENODEOS")
    assert (code, [(item.severity, item.code) for item in found]) == (
        0,
        [("WARNING", "ENODEOS")],
    ), told


def test_the_hooks_environment_and_output(cluster: DevCluster) -> None:
    # a shell does not know variables with dots in their names: they are read where they stand
    script = (
        'echo "tags: $GANETI_CLUSTER_TAGS"\n'
        'tr "\\0" "\\n" </proc/$$/environ | grep NODE_TAGS_node3\n'
        "exit 3"
    )
    with hook(3, script)(cluster):
        cluster.must("gnt-node", "add-tags", "node3", "rack:b")
        try:
            code, found, told = verify(cluster)
        finally:
            cluster.must("gnt-node", "remove-tags", "node3", "rack:b")
    assert code == 1
    assert found == [
        Told("ERROR", "ENODEHOOKS", NODE3, "Script cluster-verify-post.d/10-look failed, output:")
    ]
    assert re.search(r"^.{24}       tags: $", told, re.MULTILINE), told
    assert re.search(r"^.{24}       GANETI_NODE_TAGS_node3.example.com=rack:b$", told, re.MULTILINE)


def test_it_does_not_wait_for_jobs_and_leaves_out_what_they_change(cluster: DevCluster) -> None:
    """An instance is down because a job that holds its lock is about to start it."""
    gate = cluster.root / "gate"
    folder = cluster.nodes[0].hooks_dir / "instance-start-pre.d"
    folder.mkdir(parents=True)
    script = folder / "10-wait"
    script.write_text(f"#!/bin/sh\ntouch {gate}.at\nwhile [ ! -e {gate} ]; do sleep 0.1; done\n")
    script.chmod(0o755)
    guest = cluster.nodes[1].under(f"{GUESTS}/{UP}")
    guest.unlink()
    job = cluster.must("gnt-instance", "startup", "--submit", "--print-jobid", UP).strip()
    try:
        wait_until(Path(f"{gate}.at").exists, "the job to be at its hook")
        code, found, told = verify(cluster)
    finally:
        gate.touch()
        cluster.must("gnt-job", "wait", job)
        shutil.rmtree(folder)
    assert (code, found) == (0, []), told
    assert f"NOTICE: instance {UP} was left out: a job is at work on it." in told
    assert guest.exists()


def test_options_and_misuse(cluster: DevCluster) -> None:
    code, found, told = verify(cluster, "--node-group", "default", "--debug-simulate-errors", "-v")
    assert code == 1
    assert "ENODEN1" in {item.code for item in found}
    assert "ECLUSTERCFG" not in {item.code for item in found}, "the configuration is not verified"
    assert f"* Verifying node {NODE1} (master)" in told
    refused = cluster.on(1, "gnt-cluster", "verify", "--ignore-errors", "ENOSUCH")
    assert (refused.code, "'ENOSUCH' is not one of 'ECLUSTERCERT'" in refused.err) == (2, True)
    refused = cluster.on(1, "gnt-cluster", "verify", "--node-group", "nosuch")
    assert (refused.code, "Group 'nosuch' not known" in refused.err) == (1, True)


def test_at_the_end_nothing_is_left(cluster: DevCluster) -> None:
    code, found, told = verify(cluster)
    assert (code, found) == (0, []), told
