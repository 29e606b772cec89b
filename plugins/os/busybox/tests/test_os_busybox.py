"""The OS definition: its scripts on real file systems, the kernel's RAM disk, the packages."""

from __future__ import annotations

import gzip
import os
import re
import stat
import struct
import subprocess
from pathlib import Path

import pytest
from ganeti_os_busybox import BusyboxError, cpio, debian, install, kernel, modules, programs

MIB = 1 << 20
ENV = {
    "PATH": "/sbin:/bin:/usr/sbin:/usr/bin",
    "OS_API_VERSION": "20",
    "OS_VARIANT": "default",
    "INSTANCE_NAME": "inst1.example.com",
    "DISK_COUNT": "1",
    "DISK_0_ACCESS": "rw",
    "NIC_COUNT": "2",
    "NIC_0_MAC": "aa:00:00:00:00:01",
    "NIC_0_IP": "192.0.2.10",
    "NIC_0_NETWORK_SUBNET": "192.0.2.0/28",
    "NIC_0_NETWORK_GATEWAY": "192.0.2.1",
    "NIC_1_MAC": "aa:00:00:00:00:02",
}


@pytest.fixture(scope="module")
def definition(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install.install(tmp_path_factory.mktemp("os"))


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    return blank(tmp_path / "disk")


def blank(path: Path, size: int = 24) -> Path:
    with path.open("wb") as stream:
        stream.truncate(size * MIB)
    return path


def run(
    definition: Path, script: str, *arguments: str, data: bytes = b"", **env: str
) -> subprocess.CompletedProcess[bytes]:
    """Run a script as the node daemon does: in its directory, with nothing but its environment."""
    return subprocess.run(
        [f"./{script}", *arguments],
        cwd=definition,
        env={**ENV, **env},
        input=data,
        capture_output=True,
        timeout=60,
    )


def good(definition: Path, script: str, *arguments: str, data: bytes = b"", **env: str) -> bytes:
    finished = run(definition, script, *arguments, data=data, **env)
    assert finished.returncode == 0, finished.stderr + finished.stdout
    return finished.stdout


def inside(disk: Path, command: str) -> str:
    return subprocess.run(
        ["/sbin/debugfs", "-R", command, str(disk)], capture_output=True, text=True, timeout=30
    ).stdout


def left_over() -> set[str]:
    return {path.name for path in Path("/tmp").glob("ganeti-os-busybox*")}


# -- the scripts -----------------------------------------------------------------------------------


def test_create_makes_a_system(definition: Path, disk: Path) -> None:
    before = left_over()
    good(definition, "create", DISK_0_PATH=str(disk), OSP_MOTD="hello; $(reboot)")
    assert inside(disk, "cat /etc/hostname") == "inst1.example.com\n"
    assert inside(disk, "cat /etc/motd") == "hello; $(reboot)\n"
    assert inside(disk, "cat /etc/nics").splitlines() == [
        "aa:00:00:00:00:01 192.0.2.10/28 192.0.2.1",
        "aa:00:00:00:00:02 dhcp",
    ]
    assert "Mode:  0755" in inside(disk, "stat /bin/console")
    assert "Type: symlink" in inside(disk, "stat /bin/sh")
    check = subprocess.run(["/sbin/e2fsck", "-fn", str(disk)], capture_output=True, timeout=60)
    assert check.returncode == 0, check.stdout
    assert left_over() == before


def test_create_again_leaves_nothing_of_before(definition: Path, disk: Path) -> None:
    good(definition, "create", DISK_0_PATH=str(disk), OSP_MOTD="before")
    good(
        definition,
        "create",
        DISK_0_PATH=str(disk),
        INSTANCE_REINSTALL="1",
        OS_VARIANT="dhcp",
        INSTANCE_NAME="other.example.com",
    )
    assert inside(disk, "cat /etc/hostname") == "other.example.com\n"
    assert inside(disk, "cat /etc/nics").splitlines()[0] == "aa:00:00:00:00:01 dhcp"
    assert disk.stat().st_size == 24 * MIB


def test_create_without_disks_is_success(definition: Path) -> None:
    assert b"no disk" in good(definition, "create", DISK_COUNT="0")


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({}, b"no path on this node"),
        ({"DISK_0_PATH": "/x", "DISK_0_ACCESS": "ro"}, b"read-only"),
        ({"DISK_0_PATH": "/x", "OSP_MOTD": "a\nb"}, b"motd must be one line"),
        ({"DISK_0_PATH": "/x", "OSP_MOTD": "a" * 201}, b"motd is longer than 200"),
        ({"DISK_0_PATH": "/no/such/disk"}, b"/no/such/disk"),
    ],
)
def test_create_says_what_is_wrong(definition: Path, env: dict[str, str], words: bytes) -> None:
    before = left_over()
    finished = run(definition, "create", data=b"", **env)
    assert finished.returncode != 0
    assert words in finished.stderr + finished.stdout
    assert left_over() == before


def test_disk_that_is_too_small_fails(definition: Path, tmp_path: Path) -> None:
    small = blank(tmp_path / "small", 1)
    assert run(definition, "create", DISK_0_PATH=str(small)).returncode != 0


def test_rename_changes_the_name(definition: Path, disk: Path) -> None:
    good(definition, "create", DISK_0_PATH=str(disk))
    for _ in range(2):
        good(
            definition,
            "rename",
            DISK_0_PATH=str(disk),
            INSTANCE_NAME="new.example.com",
            OLD_INSTANCE_NAME="inst1.example.com",
        )
        assert inside(disk, "cat /etc/hostname") == "new.example.com\n"


def test_rename_of_another_system_fails(definition: Path, disk: Path) -> None:
    finished = run(definition, "rename", DISK_0_PATH=str(disk))
    assert finished.returncode != 0
    assert b"could not be written" in finished.stderr


def test_export_and_import_carry_the_disk(definition: Path, disk: Path, tmp_path: Path) -> None:
    good(definition, "create", DISK_0_PATH=str(disk))
    data = good(definition, "export", EXPORT_DEVICE=str(disk), EXPORT_INDEX="0")
    assert data == disk.read_bytes()
    larger = blank(tmp_path / "larger", 48)
    good(definition, "import", data=data, IMPORT_DEVICE=str(larger), IMPORT_INDEX="0")
    assert larger.stat().st_size == 48 * MIB
    assert inside(larger, "cat /etc/hostname") == "inst1.example.com\n"
    # 48 MiB in blocks of 1 or of 4 KiB, as mke2fs chooses
    assert re.search(r"Block count:\s+(49152|12288)\b", inside(larger, "stats"))


def test_export_tells_its_size(definition: Path, disk: Path) -> None:
    reader, writer = os.pipe()
    try:
        subprocess.run(
            ["./export"],
            cwd=definition,
            env={**ENV, "EXPORT_DEVICE": str(disk), "EXP_SIZE_FD": str(writer)},
            pass_fds=[writer],
            stdout=subprocess.DEVNULL,
            check=True,
            timeout=60,
        )
        assert os.read(reader, 100) == f"{disk.stat().st_size}\n".encode()
    finally:
        os.close(reader)
        os.close(writer)


def test_verify_knows_parameters(definition: Path) -> None:
    good(definition, "verify", "parameters", OSP_MOTD="fine")
    assert run(definition, "verify", "parameters", OSP_MOTD="a\nb").returncode != 0
    assert b"unknown check" in run(definition, "verify", "disks").stderr


def test_definition_is_complete(definition: Path) -> None:
    assert (definition / "ganeti_api_version").read_text().split() == ["20", "15"]
    assert (definition / "variants.list").read_text().split() == ["default", "dhcp"]
    names = [line.split()[0] for line in (definition / "parameters.list").read_text().splitlines()]
    assert names == ["motd"]
    for script in install.SCRIPTS:
        assert (definition / script).stat().st_mode & stat.S_IXUSR


def test_installing_again_replaces(tmp_path: Path) -> None:
    install.install(tmp_path)
    (tmp_path / "busybox/stale").write_text("")
    install.install(tmp_path)
    assert not (tmp_path / "busybox/stale").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["busybox"]


def test_installing_where_it_cannot_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert install.main([str(tmp_path / "file")]) == 1
    assert capsys.readouterr().err.startswith("error: cannot write")


# -- the RAM disk ----------------------------------------------------------------------------------


def test_archive_is_read_by_busybox(tmp_path: Path) -> None:
    entries = [
        cpio.directory("bin"),
        cpio.file("bin/hello", b"#!/bin/sh\n", executable=True),
        cpio.file("empty", b""),
        cpio.link("bin/link", "hello"),
    ]
    data = cpio.archive(entries)
    assert data == cpio.archive(entries)
    program = tmp_path / "busybox"
    program.write_bytes(programs.busybox())
    program.chmod(0o755)
    subprocess.run(
        [program, "cpio", "-idm"],
        cwd=tmp_path,
        input=gzip.decompress(data),
        check=True,
        capture_output=True,
        timeout=30,
    )
    assert (tmp_path / "bin/link").readlink() == Path("hello")
    assert (tmp_path / "bin/hello").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "empty").read_bytes() == b""


def test_modules_load_after_what_they_need() -> None:
    depends = {"blk": ["virtio"], "net": ["failover", "virtio"], "virtio": ["ring"]}
    order = modules.load_order(["blk", "net"], depends)
    assert order == ["ring", "virtio", "blk", "failover", "net"]
    with pytest.raises(BusyboxError, match="need each other: a b a"):
        modules.load_order(["a"], {"a": ["b"], "b": ["a"]})


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b"x\0depends=\0y", []),
        (b"x\0depends=virtio-ring,virtio\0", ["virtio_ring", "virtio"]),
        (b"nothing", []),
    ],
)
def test_module_tells_what_it_needs(data: bytes, names: list[str]) -> None:
    assert modules.parse_depends(data) == names


def test_modules_of_a_kernel(tmp_path: Path) -> None:
    def put(name: str, depends: str) -> None:
        (tmp_path / f"kernel/{name}.ko").write_bytes(f"\0depends={depends}\0".encode())

    (tmp_path / "kernel").mkdir()
    (tmp_path / "modules.builtin").write_text("kernel/fs/ext4/ext4.ko\n")
    put("virtio_pci", "virtio")
    put("virtio", "")
    put("virtio_blk", "virtio")
    with pytest.raises(BusyboxError, match="has no virtio_net"):
        modules.collect(tmp_path)
    put("virtio-net", "failover,virtio")
    put("failover", "")
    assert [name for name, _ in modules.collect(tmp_path)] == [
        "virtio",
        "virtio_pci",
        "virtio_blk",
        "failover",
        "virtio_net",
    ]


def test_kernel_is_made_once(tmp_path: Path) -> None:
    (tmp_path / "vmlinuz").write_bytes(b"kernel")
    (tmp_path / "initrd.gz").write_bytes(b"disk")
    assert kernel.prepare(tmp_path) == (tmp_path / "vmlinuz", tmp_path / "initrd.gz")


def test_broken_package_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    package = tmp_path / "broken.deb"
    package.write_bytes(b"no package")
    assert kernel.main([str(tmp_path / "out"), "--package", str(package)]) == 1
    assert capsys.readouterr().err.startswith("error: dpkg-deb --extract")
    assert list((tmp_path / "out").iterdir()) == []


# -- packages and programs -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (
            "linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2)\n",
            "linux-image-6.1.0-56-cloud-amd64",
        ),
        ("kmod, linux-image-9 | linux-image-8", "linux-image-9"),
        ("linux-image-7:amd64", "linux-image-7"),
        ("kmod, initramfs-tools", None),
        ("", None),
    ],
)
def test_dependency_is_found(text: str, name: str | None) -> None:
    assert debian.parse_dependency(text, "linux-image-") == name


def test_static_programs_are_told(tmp_path: Path) -> None:
    assert programs.is_static(programs.busybox())
    assert not programs.is_static(Path("/bin/ls").read_bytes())
    for data in (b"", b"\x7fELF", b"#!/bin/sh\n" * 20, b"\x7fELF\x02" + bytes(59)):
        assert not programs.is_static(data)
    header = bytearray(programs.busybox()[:64])
    struct.pack_into("<H", header, 56, 60000)
    assert not programs.is_static(bytes(header))
