"""config.data: read as upstream wrote it, written as upstream reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ganeti_kernel.config import datafile
from ganeti_kernel.errors import ConfigurationError
from ganeti_kernel.objects.document import Document

DATA = Path(__file__).parents[2] / "data/config"
NAMES = ("after_init", "rich1", "rich2")


def content(name: str) -> bytes:
    return (DATA / f"config.data.{name}.json").read_bytes()


def changed(**more: Any) -> bytes:
    return json.dumps(json.loads(content("rich1")) | more).encode()


@pytest.mark.parametrize("name", ["rich1", "rich2"])
def test_written_again_nothing_is_lost(name: str) -> None:
    view = datafile.parse(content(name))
    assert json.loads(datafile.dump(view)) == json.loads(content(name))


def test_what_an_older_writer_left_out_is_written() -> None:
    before = json.loads(content("after_init"))
    after = json.loads(datafile.dump(datafile.parse(content("after_init"))))
    assert "tags" not in before["cluster"]
    assert after["cluster"] == before["cluster"] | {"tags": []}


@pytest.mark.parametrize("name", NAMES)
def test_writing_is_stable(name: str) -> None:
    once = datafile.dump(datafile.parse(content(name)))
    assert datafile.dump(datafile.parse(once)) == once


def test_the_view_knows_its_text() -> None:
    view = datafile.parse(content("rich1"))
    uuid = next(iter(view.instances))
    piece = json.loads(bytes(view.document.table("instances")[uuid]))
    assert piece == json.loads(content("rich1"))["instances"][uuid]
    assert view.document.table("nosuch") == {}
    assert Document.of(view).value("serial_no") == view.serial_no == 112


@pytest.mark.parametrize("version", [2160000, 3000000, 3010000, 3020000])
def test_releases_that_are_read(version: int) -> None:
    view = datafile.parse(changed(version=version))
    assert view.version == version
    assert json.loads(datafile.dump(view))["version"] == version


def test_tables_that_older_releases_do_not_have() -> None:
    tree = json.loads(content("rich1"))
    del tree["filters"]
    assert datafile.parse(json.dumps(tree).encode()).filters == {}


def test_nulls_where_others_leave_members_out() -> None:
    tree = json.loads(content("rich1"))
    for inst in tree["instances"].values():
        inst["tags"] = None
    view = datafile.parse(json.dumps(tree).encode())
    assert all(inst.tags == [] for inst in view.instances.values())


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "is empty; restore it"),
        (b"  \n", "is empty"),
        (b"hello", "does not begin with '{'"),
        (b"<html>", "does not begin with '{'"),
        (content("rich1")[:5000], "is cut off after 5000 bytes; restore it"),
        (content("rich1")[:-1], "is cut off"),
        (content("rich1") + b"x", "is damaged"),
        (content("rich1").replace(b":", b";", 1), "is damaged"),
        (content("rich1").replace(b"cluster.example", b"\xff\xfe"), "is damaged"),
        (b'{"a":' * 20_000, "nested too deep"),
        (b"{}", "is not a cluster configuration"),
        (b'{"name": "something", "version": "1.0"}', "is not a cluster configuration"),
        (changed(version=2040000), "release 2.4"),
        (changed(version=4000000), "releases 2.16, 3.0, 3.1, 3.2 are read"),
        (changed(nodes={}), "is not among its nodes"),
        (changed(instances={"x": {"uuid": 5}}), "`str`, got `int`"),
        (changed(instances={"x": {}}), "missing required field `uuid`"),
        (changed(serial_no="x"), "`int`, got `str`"),
    ],
)
def test_files_that_cannot_be_read(data: bytes, problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        datafile.parse(data, "/some/where/config.data")
    assert str(caught.value).startswith("/some/where/config.data")
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_way_to_cut_a_file_off_is_noticed() -> None:
    text = content("after_init")
    for length in range(0, len(text) - 1, 97):
        with pytest.raises(ConfigurationError):
            datafile.parse(text[:length])


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="only master candidates do"):
        datafile.load(tmp_path / "config.data")


def test_a_directory_instead_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot read .*directory"):
        datafile.load(tmp_path)


def test_a_file_of_unbelievable_size(tmp_path: Path) -> None:
    path = tmp_path / "config.data"
    with open(path, "wb") as stream:
        stream.truncate(300 << 20)
    with pytest.raises(ConfigurationError, match="more than the"):
        datafile.load(path)


def test_a_file_is_loaded_by_name(tmp_path: Path) -> None:
    path = tmp_path / "config.data"
    path.write_bytes(content("rich1"))
    assert datafile.load(path).cluster.cluster_name == "cluster.example.com"
