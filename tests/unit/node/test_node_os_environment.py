"""The scripts' environment, compared with what upstream's scripts were recorded to get."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from ganeti_kernel.node.os_definitions import OsDefinition
from ganeti_kernel.node.os_environment import (
    core_environment,
    guest_environment,
    transfer_environment,
)
from ganeti_kernel.objects.guest import BlockDevice, Guest, GuestDisk, GuestNic, NicNetwork

RECORDED = Path(__file__).parents[2] / "data" / "env" / "os-scripts.md"
SHELL = {"PWD", "OLDPWD", "SHLVL", "_"}
"""What the recording script's own shell adds."""
INHERITED = {"HOME", "LC_ALL", "LOGNAME", "MAIL", "SHELL", "TERM", "USER"} | {
    "SSH_CLIENT",
    "SSH_CONNECTION",
}
"""What upstream's import and export scripts got from the daemon's environment; ours get nothing."""

PROBE = OsDefinition(
    name="probeos",
    path=Path("/srv/ganeti/os/probeos"),
    api_versions=(20,),
    scripts={},
    variants=("default", "variant2"),
    parameters=(("rootpw", ""), ("release", "")),
)
BE = {
    "always_failover": False,
    "auto_balance": True,
    "maxmem": 128,
    "minmem": 128,
    "spindle_use": 1,
    "vcpus": 1,
}


def recorded(script: str) -> dict[str, str]:
    text = RECORDED.read_text()
    match = re.search(rf"^### {script} .*?```\n(.*?)```", text, re.DOTALL | re.MULTILINE)
    assert match is not None
    env = dict(line.split("=", 1) for line in match[1].splitlines())
    return {name: value for name, value in env.items() if name not in SHELL | INHERITED}


def block(_disk: GuestDisk) -> str:
    return "block"


def disk(index: int, uuid: str, size: int, path: str, name: str | None = None) -> GuestDisk:
    return GuestDisk(
        uuid=uuid,
        index=index,
        dev_type="ext",
        logical_id=["p", "v"],
        size=size,
        name=name,
        device=BlockDevice(path=path),
    )


def test_create() -> None:
    guest = Guest(
        name="inst9.example.com",
        uuid="d667b831-69cd-4aae-9846-504617131363",
        hypervisor="fake",
        os="probeos+variant2",
        hvparams={"migration_mode": "live"},
        beparams=BE,
        primary_node="2590e94a-4396-4324-bc22-4dd9824d0d11",
        ctime=1795517930.306012,
        mtime=1795518044.245854,
        disks=[
            disk(0, "e5499b24-3667-4e55-a891-0c7f4642d41d", 32, "/dev/loop3"),
            disk(1, "94f682f0-2adc-449d-b9c8-2d2a67b83ee4", 16, "/dev/loop4"),
        ],
        nics=[
            GuestNic(
                index=0,
                uuid="ad6c87fc-fb9a-4a90-aa5d-6493f85f33d1",
                mac="aa:00:55:fb:cf:5f",
                mode="bridged",
                link="br0",
                ip="192.0.2.10",
                network=NicNetwork(
                    name="net1",
                    uuid="bbaac96c-33d9-45f5-9918-1e12d219f639",
                    subnet="192.0.2.0/28",
                    gateway="192.0.2.1",
                    mac_prefix="aa:00:55",
                ),
            ),
            GuestNic(
                index=1,
                uuid="581fc7b1-81c8-41d5-ba1a-cdd85ca8007a",
                mac="aa:00:00:93:3d:9c",
                mode="routed",
                link="100",
                ip="203.0.113.6",
            ),
        ],
    )
    env = guest_environment(PROBE, guest, {"release": "r2"}, block)
    assert env | {"INSTANCE_REINSTALL": "1"} == recorded("create")


def export_guest() -> Guest:
    return Guest(
        name="inst3.example.com",
        uuid="7e884505-1cea-4416-a227-70ba917dda1f",
        hypervisor="fake",
        os="probeos+variant2",
        hvparams={"migration_mode": "live"},
        beparams=BE | {"maxmem": 192, "minmem": 192},
        primary_node="ae5754ee-d69c-426c-91b8-fd3bc5164907",
        ctime=1795517891.516149,
        mtime=1795517973.520633,
        disks=[disk(0, "ef69418d-3290-4e2b-be51-632312a66f91", 48, "/dev/loop0", "sysdisk")],
        nics=[
            GuestNic(
                index=0,
                uuid="55271239-0f9e-425c-a026-607d13cee211",
                mac="aa:00:00:c8:57:c7",
                mode="bridged",
                link="br0",
                ip="198.51.100.20",
                name="nic-a",
                network=NicNetwork(
                    name="net2",
                    uuid="a11afe4a-5beb-443d-b25b-7e33855e3a46",
                    subnet="198.51.100.0/24",
                    gateway="198.51.100.1",
                    subnet6="2001:db8:2::/64",
                    gateway6="2001:db8:2::1",
                    tags=["dmz", "vlan:200"],
                ),
            ),
            GuestNic(
                index=1,
                uuid="cb6d3a8f-f8ae-493c-92a9-8c961bb64543",
                mac="aa:00:55:f4:6c:da",
                mode="bridged",
                link="br0",
                ip="192.0.2.5",
                network=NicNetwork(
                    name="net1",
                    uuid="bbaac96c-33d9-45f5-9918-1e12d219f639",
                    subnet="192.0.2.0/28",
                    gateway="192.0.2.1",
                    mac_prefix="aa:00:55",
                ),
            ),
        ],
    )


def test_export() -> None:
    guest = export_guest()
    snapshot = disk(0, "s", 48, "/dev/loop6")
    env = guest_environment(PROBE, guest, {}, block) | transfer_environment(
        "export", guest, snapshot
    )
    assert env | {"EXP_SIZE_FD": "11"} == recorded("export")
    device = BlockDevice(path=None, uris={"fake": "rbd:x"})
    userspace = msgspec.structs.replace(snapshot, device=device)
    assert transfer_environment("export", guest, userspace) == {
        "EXPORT_INDEX": "0",
        "EXPORT_DISK_URI": "rbd:x",
    }


@pytest.mark.parametrize("script", ["rename", "import"])
def test_rename_and_import(script: str) -> None:
    guest = Guest(
        name="inst10.example.com",
        uuid="fac47d9c-e010-449a-9350-4eb26d10a672",
        hypervisor="fake",
        os="probeos+variant2",
        hvparams={"migration_mode": "live"},
        beparams=BE | {"maxmem": 192, "minmem": 192},
        primary_node="bc5487c6-71f1-421e-98a8-65c016de3195",
        ctime=1795517990.194859,
        mtime=1795517990.287154,
        disks=[disk(0, "1123c6ba-a4ce-4cf0-9417-d4e2775788a0", 48, "/dev/loop6")],
        nics=[
            GuestNic(
                index=0,
                uuid="a6633dfd-3c7e-4340-9dfc-34bbd6d195f1",
                mac="aa:00:00:40:b6:c1",
                mode="bridged",
                link="br0",
            )
        ],
    )
    extra = {"OLD_INSTANCE_NAME": "inst3.example.com"}
    if script == "import":
        extra = transfer_environment("import", guest, guest.disks[0]) | {"EXP_SIZE_FD": "11"}
    assert guest_environment(PROBE, guest, {}, block) | extra == recorded(script)


def test_verify() -> None:
    env = core_environment(PROBE, "probeos+variant2", {"release": "r2"})
    assert env == recorded("verify")


def test_what_the_recordings_do_not_show() -> None:
    guest = export_guest()
    device = BlockDevice(path=None, uris={"fake": "rbd:pool/vol", "kvm": "no"})
    first = GuestDisk(
        uuid="u", index=0, dev_type="file", logical_id=["loop", "/x"], size=1, device=device
    )
    guest = msgspec.structs.replace(
        guest,
        os="probeos",
        disks=[first],
        secondary_nodes=["n2", "n3"],
        hvparams={"disk_type": "paravirtual", "nic_type": "e1000", "acpi": None},
    )
    env = guest_environment(
        PROBE, guest, {"root-pw": 7}, lambda item: f"file:{item.logical_id[0]}", debug=1
    )
    assert env["OS_VARIANT"] == "default"
    assert env["OSP_ROOT_PW"] == "7"
    assert env["DEBUG_LEVEL"] == "1"
    assert env["INSTANCE_SECONDARY_NODES"] == "n2 n3"
    assert env["DISK_0_URI"] == "rbd:pool/vol"
    assert "DISK_0_PATH" not in env
    assert env["DISK_0_BACKEND_TYPE"] == "file:loop"
    assert env["DISK_0_FRONTEND_TYPE"] == "paravirtual"
    assert env["NIC_0_FRONTEND_TYPE"] == "e1000"
    assert env["INSTANCE_HV_acpi"] == "None"
