"""Disk template file: the contract, allowed paths, what is upstream's."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import msgspec
import pytest
from ganeti_storage_file import FileTemplate, allowed
from hypothesis import given
from hypothesis import strategies as st

from ganeti_kernel.errors import BlockDeviceError
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs import PluginContext
from ganeti_kernel.specs.disk_template import DiskRequest
from ganeti_kernel.testing.disk_template import DiskTemplateContract, make_disk, make_request

STORAGE = "/srv/ganeti/file-storage"


@pytest.fixture
def template(tmp_path: Path) -> FileTemplate:
    return FileTemplate(allow(PluginContext(paths=Paths(tmp_path))))


def allow(context: PluginContext) -> PluginContext:
    file = context.paths.file_storage_paths
    file.parent.mkdir(parents=True)
    file.write_text(f"# disks\n{STORAGE}\n")
    return context


class TestFile(DiskTemplateContract):
    @pytest.fixture
    def plugin_class(self, context: PluginContext) -> type[FileTemplate]:
        allow(context)
        return FileTemplate

    @pytest.fixture
    def wrong_requests(self, disk_request: DiskRequest) -> list[DiskRequest]:
        return [
            msgspec.structs.replace(disk_request, directory=directory)
            for directory in ("/srv/elsewhere", "/etc/ganeti", "relative", "", f"{STORAGE}/../x")
        ] + [msgspec.structs.replace(disk_request, file_driver="floppy")]


def test_path_is_upstreams(template: FileTemplate) -> None:
    request = msgspec.structs.replace(make_request(2), uuid="9dbf7b0d-c2a6-46cb-a58f-c8b1da681986")
    assert template.plan(request).logical_id == [
        "loop",
        f"{STORAGE}/inst1.example.com/9dbf7b0d-c2a6-46cb-a58f-c8b1da681986.file.disk2",
    ]


def test_disk_lies_under_the_nodes_root(template: FileTemplate, tmp_path: Path) -> None:
    disk = make_disk(template, make_request())
    template.create(disk)
    assert template.attach(disk).path == f"{tmp_path}{disk.logical_id[1]}"


def test_last_disk_takes_the_directory_along(template: FileTemplate, tmp_path: Path) -> None:
    disks = [make_disk(template, make_request(index)) for index in range(2)]
    directory = tmp_path / STORAGE[1:] / "inst1.example.com"
    for disk in disks:
        template.create(disk)
    template.remove(disks[0])
    assert directory.is_dir()
    template.remove(disks[1])
    assert not directory.exists()
    assert directory.parent.is_dir()


def test_symlink_is_not_followed(template: FileTemplate, tmp_path: Path) -> None:
    disk = make_disk(template, make_request())
    path = Path(f"{tmp_path}{disk.logical_id[1]}")
    path.parent.mkdir(parents=True)
    (tmp_path / "secret").write_bytes(bytes(disk.size << 20))
    path.symlink_to(tmp_path / "secret")
    with pytest.raises(BlockDeviceError, match="not a regular file"):
        template.attach(disk)


def test_nothing_is_allowed_without_a_list(tmp_path: Path) -> None:
    template = FileTemplate(PluginContext(paths=Paths(tmp_path)))
    (problem,) = template.check_request(make_request())
    assert "file-storage-paths" in problem


@pytest.mark.parametrize(
    ("path", "fine"),
    [
        (f"{STORAGE}/inst1/disk", True),
        (STORAGE, True),
        ("/srv/ganeti/file-storage2/disk", False),
        ("/usr/local/lib64/x", False),
        ("/dev/shm/x", False),
        ("/srv/ganeti", False),
        (f"{STORAGE}/../../../etc/x", False),
        (f"{STORAGE}//x", False),
    ],
)
def test_which_paths_are_allowed(path: str, fine: bool) -> None:
    listed = [PurePosixPath(STORAGE), PurePosixPath("/usr"), PurePosixPath("/dev/shm")]
    assert (allowed.refusal(path, listed, Path("/list")) is None) == fine


@given(st.text(max_size=200))
def test_any_list_is_read_or_refused(text: str) -> None:
    try:
        entries = allowed.parse(text)
    except ValueError:
        return
    assert all(entry.is_absolute() and ".." not in entry.parts for entry in entries)
