"""Faults put into a recorded cluster: each is named with its code and object, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ganeti_kernel.constants import VERIFY_CODES
from ganeti_kernel.operations.verify.steps import CONFIG_CODES, GROUP_CODES
from ganeti_kernel.rpc.certificates import create_authority
from tests.unit.operations.verify_cluster import Recorded, Told, parse, verify_config, verify_group

NODE1, NODE2, NODE3 = (f"node{number}.example.com" for number in (1, 2, 3))
A, B, C = (f"{letter}.example.com" for letter in "abc")
DAY = 86400.0
UPSTREAM = Path(__file__).parents[2] / "data" / "verify" / "upstream.txt"
OTHER = "11111111-2222-4333-8444-555555555555"


class Fault(NamedTuple):
    """`put` changes the recording; `expected`: codes, and what each finding must name."""

    name: str
    put: Callable[[Recorded], Any]
    expected: tuple[tuple[str, str], ...]
    warning: bool = False


def fault(name: str, put: Callable[[Recorded], Any], *expected: str, warning: bool = False) -> Any:
    """`expected` are pairs "CODE object"."""
    pairs = tuple((text.split(" ", 1)[0], text.split(" ", 1)[1]) for text in expected)
    return pytest.param(Fault(name, put, pairs, warning), id=name.replace(" ", "-"))


def cluster(**fields: Any) -> Callable[[Recorded], Any]:
    return lambda it: it.config["cluster"].update(fields)


def network(**fields: Any) -> Callable[[Recorded], Any]:
    return lambda it: it.by_name("networks", "net1").update(fields)


def nic(letter: str, **fields: Any) -> Callable[[Recorded], Any]:
    return lambda it: it.instance(letter)["nics"][0].update(fields)


def add_disk(it: Recorded) -> None:
    it.config["disks"][OTHER] = it.disk("a") | {"uuid": OTHER, "name": "stray"}


def add_group(it: Recorded) -> None:
    """A second group with node3, which loses its network with it."""
    (own,) = it.config["nodegroups"].values()
    other = own | {"uuid": OTHER, "name": "rack2", "networks": {}}
    it.config["nodegroups"][OTHER] = other
    it.node(3)["group"] = OTHER


def narrow(it: Recorded) -> None:
    limits = it.config["cluster"]["ipolicy"]["minmax"][0]
    limits["min"]["memory-size"] = limits["max"]["memory-size"] + 1


CONFIG_FAULTS = [
    fault(
        "primary node dangles",
        lambda it: it.instance("b").update(primary_node=OTHER),
        f"ECLUSTERCFG {B}",
        f"ECLUSTERDANGLINGINST {B}",
    ),
    fault(
        "node group dangles",
        lambda it: it.node(3).update(group=OTHER),
        f"ECLUSTERCFG {NODE3}",
        f"ECLUSTERDANGLINGNODES {NODE3}",
    ),
    fault(
        "disk is gone", lambda it: it.config["disks"].pop(it.disk("b")["uuid"]), f"ECLUSTERCFG {B}"
    ),
    fault("disk without an instance", add_disk, "ECLUSTERCFG stray"),
    fault(
        "one disk of two instances",
        lambda it: it.instance("b").update(disks=it.instance("a")["disks"]),
        f"ECLUSTERCFG {'{disk}'}",
        "ECLUSTERCFG belongs to no instance",
    ),
    fault(
        "object under another uuid",
        lambda it: it.instance("b").update(uuid=OTHER),
        f"ECLUSTERCFG {OTHER}",
    ),
    fault(
        "two nodes of one name",
        lambda it: it.node(3).update(name=NODE2),
        f"ECLUSTERCFG 2 nodes are called {NODE2}",
    ),
    fault(
        "two nodes of one address",
        lambda it: it.node(3).update(secondary_ip=it.node(2)["primary_ip"]),
        f"ECLUSTERCFG {NODE2}, {NODE3}",
    ),
    fault(
        "node has the master address",
        lambda it: it.node(3).update(secondary_ip=it.config["cluster"]["master_ip"]),
        f"ECLUSTERCFG {NODE3}",
    ),
    fault(
        "too few master candidates",
        lambda it: (
            it.node(3).update(master_candidate=False),
            it.config["cluster"]["candidate_certs"].pop(it.node(3)["uuid"]),
        ),
        "ECLUSTERCFG there should be 3",
    ),
    fault(
        "candidate that may be none",
        lambda it: it.node(3).update(master_capable=False),
        f"ECLUSTERCFG {NODE3}",
    ),
    fault(
        "drained candidate",
        lambda it: it.node(3).update(drained=True),
        f"ECLUSTERCFG {NODE3} is master candidate and drained",
    ),
    fault(
        "offline master",
        lambda it: it.node(1).update(offline=True, master_candidate=False),
        f"ECLUSTERCFG {NODE1} is not a master candidate",
        f"ECLUSTERCFG {NODE1} is offline",
        f"ECLUSTERCLIENTCERT {NODE1}",
    ),
    fault(
        "candidate without a fingerprint",
        lambda it: it.config["cluster"]["candidate_certs"].pop(it.node(2)["uuid"]),
        f"ECLUSTERCLIENTCERT {NODE2}",
    ),
    fault(
        "fingerprint of an unknown node",
        lambda it: it.config["cluster"]["candidate_certs"].update({OTHER: "AA:" * 19 + "AA"}),
        f"ECLUSTERCLIENTCERT {OTHER}",
    ),
    fault(
        "one MAC twice", nic("c", mac="AA:00:00:00:00:02"), f"ECLUSTERCFG {A} (NIC 0), instance {C}"
    ),
    fault(
        "one address twice",
        lambda it: (nic("c", ip="192.0.2.2")(it), network(reservations="00100000")(it)),
        f"ECLUSTERCFG {A} (NIC 0), instance {C}",
    ),
    fault(
        "address outside its network",
        lambda it: (nic("c", ip="198.51.100.1")(it), network(reservations="00100000")(it)),
        f"ECLUSTERCFG {C}",
    ),
    fault("address not reserved", network(reservations="00100000"), f"ECLUSTERCFG {C}"),
    fault("address reserved for nobody", network(reservations="00111000"), "ECLUSTERCFG 192.0.2.4"),
    fault("damaged pool", network(reservations="0011"), "ECLUSTERCFG net1"),
    fault("gateway outside", network(gateway="198.51.100.1"), "ECLUSTERCFG 198.51.100.1"),
    fault("gateway not reserved", network(ext_reservations="10000001"), "ECLUSTERCFG 192.0.2.1"),
    fault(
        "NIC in an unknown network",
        lambda it: (nic("c", network=OTHER)(it), network(reservations="00100000")(it)),
        f"ECLUSTERCFG {C}",
    ),
    fault(
        "network not connected to the group",
        add_group,
        f"ECLUSTERCFG {C} (NIC 0) is in network net1",
    ),
    fault(
        "one port twice",
        lambda it: (
            [it.instance(x).update(network_port=11000) for x in "ac"]
            and it.config["cluster"].update(highest_used_port=11000)
        ),
        f"ECLUSTERCFG instance {A}, instance {C}",
    ),
    fault(
        "port both free and used",
        lambda it: (
            it.instance("a").update(network_port=11000)
            or it.config["cluster"].update(highest_used_port=11000, tcpudp_port_pool=[11000])
        ),
        f"ECLUSTERCFG instance {A}, the pool of free ports",
    ),
    fault(
        "port above the highest on record",
        lambda it: it.instance("a").update(network_port=11000),
        "ECLUSTERCFG port 11000",
    ),
    fault(
        "no hypervisor",
        cluster(enabled_hypervisors=[]),
        *("ECLUSTERCFG no hypervisor is enabled",),
        *(f"ECLUSTERCFG instance {x} needs hypervisor fake" for x in (A, B, C)),
    ),
    fault(
        "enabled hypervisor is not installed",
        cluster(enabled_hypervisors=["fake", "nosuch"]),
        "ECLUSTERCFG nosuch",
    ),
    fault(
        "enabled template is not installed",
        cluster(enabled_disk_templates=["ext", "file", "diskless", "nosuch"]),
        "ECLUSTERCFG nosuch",
    ),
    fault(
        "template of an instance is not enabled",
        cluster(enabled_disk_templates=["file", "diskless"]),
        f"ECLUSTERCFG {B}",
    ),
    fault("no directory for files", cluster(file_storage_dir=""), "ECLUSTERCFG template file"),
    fault("allocator is not installed", cluster(default_iallocator="nosuch"), "ECLUSTERCFG nosuch"),
    fault(
        "unknown hypervisor parameter of the cluster",
        lambda it: it.config["cluster"]["hvparams"]["fake"].update(nosuch=1),
        "ECLUSTERCFG source cluster): unknown parameter 'nosuch'",
    ),
    fault(
        "unknown hypervisor parameter of an OS",
        cluster(os_hvp={"noop": {"fake": {"nosuch": 1}}}),
        "ECLUSTERCFG os noop",
    ),
    fault(
        "unknown hypervisor parameter of an instance",
        lambda it: it.instance("a").update(hvparams={"nosuch": 1}),
        f"ECLUSTERCFG {A}",
    ),
    fault(
        "hypervisor parameter of a wrong value",
        lambda it: it.config["cluster"]["hvparams"]["fake"].update(migration_mode="sideways"),
        "ECLUSTERCFG 'migration_mode' must be one of",
    ),
    fault(
        "hypervisor parameter without a value",
        lambda it: it.instance("a").update(hvparams={"migration_mode": ""}),
        f"ECLUSTERCFG {A}",
        f"EINSTANCEMISSINGCFGPARAMETER {A}",
    ),
    fault(
        "unknown backend parameter",
        lambda it: it.instance("a")["beparams"].update(nosuch=1),
        f"ECLUSTERCFG {A}",
    ),
    fault(
        "more memory at least than at most",
        lambda it: it.instance("a").update(beparams={"minmem": 64, "maxmem": 16}),
        f"ECLUSTERCFG {A}",
    ),
    fault(
        "unknown node parameter",
        lambda it: it.node(3).update(ndparams={"nosuch": 1}),
        f"ECLUSTERCFG {NODE3}",
    ),
    fault("policy that nothing can meet", narrow, "ECLUSTERCFG memory-size"),
    fault(
        "group policy with a template that is not enabled",
        lambda it: next(iter(it.config["nodegroups"].values())).update(
            ipolicy={"disk-templates": ["nosuch", "file", "ext", "diskless"]}
        ),
        "ECLUSTERCFG node group default",
    ),
    fault("bad tag", lambda it: it.instance("a").update(tags=["a b"]), f"ECLUSTERCFG {A}"),
    fault(
        "instances that must be apart",
        lambda it: (
            [it.instance(x).update(tags=["role:db"]) for x in "ab"]
            and it.config["cluster"].update(tags=["htools:iextags:role"])
        ),
        f"EEXTAGS {NODE2}",
    ),
    fault(
        "instance with the name of a node",
        lambda it: it.instance("b").update(name=NODE3),
        f"ECLUSTERCFG {NODE3} has the name of a node",
    ),
]


def files(number: int, **sums: Any) -> Callable[[Recorded], Any]:
    """Change checksums: keyword `ca_pem` is ca.pem."""
    named = {f"/var/lib/ganeti/{key.replace('_', '.')}": value for key, value in sums.items()}
    return lambda it: it.report(number)["files"].update(named)


def report(number: int, **fields: Any) -> Callable[[Recorded], Any]:
    return lambda it: it.report(number).update(fields)


def certificate(number: int, **fields: Any) -> Callable[[Recorded], Any]:
    return lambda it: it.report(number)["certificates"][0].update(fields)


def system(number: int, **fields: Any) -> Callable[[Recorded], Any]:
    return lambda it: it.report(number)["os"][0].update(fields)


def volume(name: str) -> Callable[[Recorded], Any]:
    """A file beside those of the instances on node2, which are listed too."""

    def change(it: Recorded) -> None:
        folder, driver = "/srv/ganeti/file-storage", "loop"
        own = str(it.disk("a")["logical_id"][1])
        it.volumes[NODE2] = [
            {
                "name": path.removeprefix(f"{folder}/"),
                "pool": folder,
                "size": 8,
                "logical_ids": [[driver, path]],
            }
            for path in (own, f"{folder}/{name}")
        ]

    return change


def reserved(it: Recorded) -> None:
    volume("keep-me")(it)
    it.config["cluster"]["reserved_lvs"] = [r".*/keep-.*"]


def demote(it: Recorded) -> None:
    it.node(3).update(master_candidate=False)
    it.config["cluster"]["candidate_certs"].pop(it.node(3)["uuid"])


def stale(put: Callable[[Recorded], Any], *, candidate: bool = True) -> Callable[[Recorded], Any]:
    """A fault of a node's copies, which the master does not send again; node3 may be demoted."""

    def change(it: Recorded) -> None:
        if not candidate:
            demote(it)
        it.distribute()
        it.sealed = True
        put(it)

    return change


def go_offline(it: Recorded) -> None:
    demote(it)
    it.node(3)["offline"] = True


def twins(it: Recorded) -> None:
    """A running stranger on two nodes."""
    for number in (1, 3):
        it.running[f"node{number}.example.com"].append("ghost.example.com")


NODE_FAULTS = [
    fault("node does not answer", lambda it: it.silent.add(NODE2), f"ENODERPC {NODE2}"),
    fault("another protocol", report(2, protocol=1), f"ENODEVERSION {NODE2}"),
    fault("another release", report(2, software="9.9"), f"ENODEVERSION {NODE2}", warning=True),
    fault("clock ahead", lambda it: report(2, time=it.asked[1] + 200)(it), f"ENODETIME {NODE2}"),
    fault("clock behind", lambda it: report(2, time=it.asked[0] - 200)(it), f"ENODETIME {NODE2}"),
    fault("node of another cluster", report(2, cluster_name="other"), f"ENODESETUP {NODE2}"),
    fault("setup problem", report(2, setup=["/var is full"]), f"ENODESETUP {NODE2}"),
    fault(
        "peer out of reach", report(2, unreachable={NODE3: "No route to host"}), f"ENODENET {NODE2}"
    ),
    fault(
        "name does not resolve",
        report(2, names={NODE3: "does not resolve: x"}),
        f"ENODENET {NODE2}",
    ),
    fault("master address is away", report(1, master_address="is not here"), f"ENODENET {NODE1}"),
    fault("bridge is missing", report(2, bridges=["br7"]), f"ENODENET {NODE2}"),
    fault("hypervisor is broken", report(2, hypervisors={"fake": ["no fake"]}), f"ENODEHV {NODE2}"),
    fault(
        "broken plugin",
        report(2, plugins=[{"kind": "x", "name": "y", "distribution": "z 1", "problem": "sick"}]),
        f"ENODESETUP {NODE2}",
        warning=True,
    ),
    fault(
        "storage directory is missing",
        report(2, storage={"file": "gone"}),
        f"ENODEFILESTORAGEPATHUNUSABLE {NODE2}",
    ),
    fault("template cannot be used", report(2, storage={"ext": "gone"}), f"ENODESETUP {NODE2}"),
    fault(
        "forbidden storage path",
        report(2, storage_paths=["/bin"]),
        f"ENODEFILESTORAGEPATHS {NODE2}",
    ),
    fault(
        "out-of-band program is missing",
        report(2, executables={"/oob": "gone"}),
        f"ENODEOOBPATH {NODE2}",
    ),
    fault(
        "user script is missing",
        lambda it: (
            it.config["cluster"].update(use_external_mip_script=True)
            or report(2, executables={"/etc/ganeti/scripts/master-ip-setup": "gone"})(it)
        ),
        f"ENODEUSERSCRIPTS {NODE2}",
    ),
    fault("file is missing", files(2, hmac_key=None), f"ECLUSTERFILECHECK {NODE2}"),
    fault("file differs", files(2, ca_pem="0" * 64), f"ECLUSTERFILECHECK {NODE2}"),
    fault(
        "authority's key on a regular node",
        stale(files(3, ca_key="0" * 64), candidate=False),
        f"ECLUSTERFILECHECK {NODE3}",
    ),
    fault(
        "no key of the authority on a candidate",
        stale(files(3, ca_key=None)),
        f"ECLUSTERFILECHECK {NODE3}",
    ),
    fault(
        "another key of the authority on a candidate",
        stale(files(3, ca_key="0" * 64)),
        f"ECLUSTERFILECHECK {NODE3}",
    ),
    fault(
        "ssconf file differs",
        stale(lambda it: it.report(2)["ssconf"].update(node_list="0")),
        f"ECLUSTERFILECHECK {NODE2}",
    ),
    fault(
        "ssconf file is missing",
        stale(lambda it: it.report(2)["ssconf"].pop("node_list")),
        "ECLUSTERFILECHECK ssconf_node_list",
    ),
    fault("old config.data", stale(report(2, config_serial=1)), f"ECLUSTERFILECHECK {NODE2}"),
    fault(
        "no config.data on a candidate",
        stale(report(2, config_serial=None)),
        f"ECLUSTERFILECHECK {NODE2}",
    ),
    fault(
        "config.data on a regular node",
        stale(report(3, config_serial=8), candidate=False),
        f"ECLUSTERFILECHECK {NODE3}",
    ),
    fault(
        "certificate of a stranger",
        certificate(2, problem="not ours"),
        f"ECLUSTERCLIENTCERT {NODE2}",
    ),
    fault(
        "certificate has another fingerprint",
        certificate(2, fingerprint="00"),
        f"ECLUSTERCLIENTCERT {NODE2}",
    ),
    fault(
        "certificate has expired",
        lambda it: certificate(2, expires=it.asked[0] - 1)(it),
        f"ECLUSTERCLIENTCERT {NODE2}",
    ),
    fault(
        "certificate ends in a week",
        lambda it: certificate(2, expires=it.asked[0] + 6 * DAY)(it),
        f"ECLUSTERCLIENTCERT {NODE2}",
    ),
    fault(
        "certificate ends in a month",
        lambda it: certificate(2, expires=it.asked[0] + 20 * DAY)(it),
        f"ECLUSTERCLIENTCERT {NODE2}",
        warning=True,
    ),
    fault("OS is invalid", system(2, valid=False, diagnose="no create"), f"ENODEOS {NODE2}"),
    fault("OS is missing", report(2, os=[]), f"ENODEOS {NODE2}"),
    fault(
        "OS is missing on the reference node",
        report(1, os=[]),
        f"ENODEOS {NODE2}",
        f"ENODEOS {NODE3}",
    ),
    fault("OS has other variants", system(2, variants=["other"]), f"ENODEOS {NODE2}"),
    fault("OS speaks another version", system(2, api_versions=[15]), f"ENODEOS {NODE2}"),
    fault("instance is down", lambda it: it.running[NODE2].remove(A), f"EINSTANCEDOWN {A}"),
    fault(
        "instance runs on another node too",
        lambda it: it.running[NODE3].append(A),
        f"EINSTANCEWRONGNODE {A}",
    ),
    fault(
        "stopped instance runs",
        lambda it: it.running[NODE2].append(B),
        f"EINSTANCEWRONGNODE {B}",
        warning=True,
    ),
    fault(
        "unknown instance runs",
        twins,
        f"ENODEORPHANINSTANCE {NODE1}",
        f"ENODEORPHANINSTANCE {NODE3}",
    ),
    fault("volume of nobody", volume("stray"), f"ENODEORPHANLV {NODE2}"),
    fault(
        "disk is missing",
        lambda it: it.disks[it.disk("a")["uuid"]].update(exists=False),
        f"EINSTANCEMISSINGDISK {A}",
    ),
    fault(
        "disk cannot be looked at",
        lambda it: it.disks[it.disk("a")["uuid"]].update(problem="I/O error"),
        f"EINSTANCEFAULTYDISK {A}",
    ),
    fault(
        "disk is degraded",
        lambda it: it.disks[it.disk("a")["uuid"]].update(degraded=True),
        f"EINSTANCEFAULTYDISK {A}",
    ),
    fault(
        "disk has another size", lambda it: it.disk("a").update(size=9), f"EINSTANCEFAULTYDISK {A}"
    ),
    fault(
        "primary node is offline",
        go_offline,
        f"EINSTANCEBADNODE {C}",
    ),
    fault(
        "primary node is not vm_capable",
        lambda it: it.node(3).update(vm_capable=False),
        f"EINSTANCEBADNODE {C}",
    ),
    fault(
        "instance breaks the policy",
        lambda it: it.instance("c")["beparams"].update(vcpus=9),
        f"EINSTANCEPOLICY {C}",
        warning=True,
    ),
    fault(
        "exclusive storage",
        lambda it: it.node(2).update(ndparams={"exclusive_storage": True}),
        f"EINSTANCEUNSUITABLENODE {A}",
        f"EINSTANCEUNSUITABLENODE {B}",
    ),
]


def assert_found(found: list[Told], wanted: Fault, told: str) -> None:
    """Each expected finding is there by code and object, and no other."""
    left = list(found)
    for code, thing in wanted.expected:
        match = next((item for item in left if item.code == code and item.names(thing)), None)
        assert match is not None, f"{code} of {thing} was not found:\n{told}"
        assert match.severity == ("WARNING" if wanted.warning else "ERROR"), told
        left.remove(match)
    assert left == [], f"found more than was put in:\n{told}"


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A master's data directory with an authority; the directory is returned."""
    monkeypatch.setenv("GANETI_ROOTDIR", str(tmp_path))
    data = tmp_path / "var" / "lib" / "ganeti"
    data.mkdir(parents=True)
    identity = create_authority("cluster.example.com")
    (data / "ca.key").write_bytes(identity.key)
    (data / "ca.pem").write_bytes(identity.certificate)
    return data


@pytest.mark.parametrize("wanted", CONFIG_FAULTS)
def test_a_fault_of_the_configuration(wanted: Fault, authority: Path) -> None:
    it = Recorded()
    disk = it.disk("a")["uuid"]
    wanted.put(it)
    lines = verify_config(it)
    expected = tuple((code, thing.replace("{disk}", disk)) for code, thing in wanted.expected)
    assert_found(parse(lines), wanted._replace(expected=expected), "\n".join(lines))


@pytest.mark.parametrize("wanted", NODE_FAULTS)
def test_a_fault_of_a_node(wanted: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    it = Recorded()
    it.distribute()
    wanted.put(it)
    it.distribute()
    lines = verify_group(it, monkeypatch)
    assert_found(parse(lines), wanted, "\n".join(lines))


def test_nothing_is_found_where_nothing_is_wrong(
    authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = Recorded()
    assert parse(verify_config(it)) == []
    it.distribute()
    lines = verify_group(it, monkeypatch)
    assert parse(lines) == []
    assert "  - NOTICE: 1 non-redundant instance(s) found." in lines


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda data: (data / "ca.key").unlink(), "ca.key"),
        (lambda data: (data / "ca.pem").write_text("garbage"), "ca.pem"),
        (lambda data: (data / "ca.key").write_bytes(create_authority("other").key), "belong"),
    ],
)
def test_a_fault_of_the_authority(authority: Path, spoil: Callable[[Path], Any], text: str) -> None:
    spoil(authority)
    found = parse(verify_config(Recorded()))
    assert {item.code for item in found} == {"ECLUSTERCERT"}
    assert any(text in item.text for item in found)


def test_a_reserved_volume_is_nobodys_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    it = Recorded()
    reserved(it)
    it.distribute()
    assert parse(verify_group(it, monkeypatch)) == []


def test_what_a_job_is_at_work_on_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    it = Recorded()
    it.distribute()
    it.running[NODE2].remove(A)
    it.running[NODE3].append("new.example.com")
    it.disks[it.disk("a")["uuid"]]["exists"] = False
    volume("new")(it)
    lines = verify_group(it, monkeypatch, busy_instances=[A], busy_nodes=[NODE2, NODE3])
    assert parse(lines) == []
    assert f"  - NOTICE: instance {A} was left out: a job is at work on it." in lines
    codes = sorted(item.code for item in parse(verify_group(it, monkeypatch)))
    assert codes == [
        "EINSTANCEDOWN",
        "EINSTANCEMISSINGDISK",
        "ENODEORPHANINSTANCE",
        "ENODEORPHANLV",
    ]


def test_there_are_more_than_forty_kinds() -> None:
    assert len(CONFIG_FAULTS) + len(NODE_FAULTS) > 90
    assert {*CONFIG_CODES, *GROUP_CODES} <= set(VERIFY_CODES)


def test_ignored_codes_are_warnings_and_the_form_for_people(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    it = Recorded()
    it.distribute()
    it.silent.add(NODE2)
    lines = verify_group(it, monkeypatch, error_codes=False, ignore_errors=["ENODERPC"])
    assert f"  - WARNING: node {NODE2}: while contacting node: cannot connect" in lines
    lines = verify_group(it, monkeypatch, error_codes=False)
    assert f"  - ERROR: node {NODE2}: while contacting node: cannot connect" in lines


def test_simulated_errors_show_every_code(authority: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    it = Recorded()
    it.distribute()
    config = verify_config(it, debug_simulate_errors=True)
    group = verify_group(it, monkeypatch, debug_simulate_errors=True)
    assert {item.code for item in parse(config)} == set(CONFIG_CODES)
    assert {item.code for item in parse(group)} == set(GROUP_CODES)


def test_verbose_names_nodes_and_instances(monkeypatch: pytest.MonkeyPatch) -> None:
    it = Recorded()
    it.distribute()
    lines = verify_group(it, monkeypatch, verbose=True)
    assert f"* Verifying node {NODE1} (master)" in lines
    assert f"* Verifying node {NODE2} (master candidate)" in lines
    assert f"* Verifying instance {B}" in lines


def test_the_sections_are_upstreams(authority: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the recording of a real cluster; the hooks' section comes after the step."""
    recorded = UPSTREAM.read_text()
    sections = re.findall(r"^.{24} (\* .+)$", recorded, re.MULTILINE)
    it = Recorded()
    it.distribute()
    ours = [*verify_config(it), *verify_group(it, monkeypatch), "* Hooks Results"]
    own = [line for line in ours if line.startswith("* ")]

    def plain(lines: list[str]) -> list[str]:
        return [re.sub(r"'.*'|\d+", "N", line) for line in lines]

    first_group = sections[: sections.index("* Hooks Results") + 1]
    assert plain(own) == plain(first_group)
