"""Field tables and values against recordings of upstream 3.0."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from ganeti_kernel.query import engine
from ganeti_kernel.query.resources import RESOURCES
from ganeti_kernel.query.source import QuerySource

FROM_TABLES = {"cluster", "os", "extstorage"}

ADDED = {"job": ["waiting_for"], "lock": ["waits"]}
"""Fields that upstream does not have: for what a job waits, and since when."""


@pytest.mark.parametrize("resource", sorted(RESOURCES))
def test_fields_are_upstreams(recorded: Path, resource: str) -> None:
    theirs = json.loads((recorded / "query/fields.json").read_text())[resource]
    ours = [
        [field["name"], field["title"], field["kind"]]
        for field in engine.query_fields(resource)["fields"]
        if field["name"] not in ADDED.get(resource, ())
    ]
    assert ours == (sorted(theirs) if resource in FROM_TABLES else theirs)


@pytest.mark.parametrize("resource", sorted(RESOURCES))
def test_fields_are_described_in_words(resource: str) -> None:
    for field in engine.query_fields(resource)["fields"]:
        assert len(field["doc"]) > 5, field


@pytest.mark.parametrize("resource", ["instance", "node", "group", "network"])
def test_values_are_upstreams(recorded: Path, rich1: QuerySource, resource: str) -> None:
    theirs = json.loads((recorded / "query/rows.json").read_text())[resource]
    fields = list(theirs[0])
    rows = engine.plain_rows(resource, [], fields, rich1)
    ours = [dict(zip(fields, row, strict=True)) for row in rows]
    assert ours == theirs
    assert as_text(ours) == as_text(theirs), "4 and 4.0 are not the same to who reads the text"


def as_text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def message(recorded: Path, name: str) -> Any:
    return json.loads((recorded / "luxi" / name).read_bytes().rstrip(b"\x03"))


def undocumented(reply: Any) -> Any:
    """The words that explain a field are each project's own."""
    if isinstance(reply, dict):
        return {key: undocumented(item) for key, item in reply.items() if key != "doc"}
    return [undocumented(item) for item in reply] if isinstance(reply, list | tuple) else reply


@pytest.mark.parametrize("name", ["query_instances", "query_nodes", "query_filter"])
def test_query_replies(recorded: Path, rich2: QuerySource, name: str) -> None:
    resource, fields, qfilter = message(recorded, f"{name}.req.bin")["args"]
    ours = engine.query(resource, fields, qfilter, rich2)
    theirs = message(recorded, f"{name}.rep.bin")["result"]
    assert undocumented(ours) == undocumented(theirs)


def test_job_reply_has_a_row_for_a_job_that_is_not_there(
    recorded: Path, rich2: QuerySource
) -> None:
    jobs = {1: {"id": 1, "status": "success"}, 2: {"id": 2, "status": "error"}}
    source = dataclasses.replace(rich2, jobs=jobs)
    resource, fields, qfilter = message(recorded, "query_jobs.req.bin")["args"]
    ours = engine.query(resource, fields, qfilter, source)
    theirs = message(recorded, "query_jobs.rep.bin")["result"]
    assert undocumented(ours) == undocumented(theirs)


@pytest.mark.parametrize("name", ["queryfields_all", "queryfields_node"])
def test_field_replies(recorded: Path, name: str) -> None:
    ours = engine.query_fields(*message(recorded, f"{name}.req.bin")["args"])
    theirs = message(recorded, f"{name}.rep.bin")["result"]
    assert undocumented(ours) == undocumented(theirs)


@pytest.mark.parametrize(
    ("name", "resource"),
    [
        ("query_instances_old", "instance"),
        ("query_nodes_old", "node"),
        ("query_groups", "group"),
        ("query_networks", "network"),
    ],
)
def test_old_style_replies(recorded: Path, rich2: QuerySource, name: str, resource: str) -> None:
    names, fields, _locking = message(recorded, f"{name}.req.bin")["args"]
    ours = engine.plain_rows(resource, names, fields, rich2)
    assert ours == message(recorded, f"{name}.rep.bin")["result"]


def test_old_style_exports(recorded: Path, rich2: QuerySource) -> None:
    """Upstream's reply was recorded with two exports of one name on the node."""
    exports: list[dict[str, Any]] = [
        {"node": "node1.example.com", "export": "inst3.example.com"},
        {"node": "node1.example.com", "export": "inst3.example.com"},
        {"node": "node2.example.com", "export": None},
    ]
    source = dataclasses.replace(rich2, rows={"export": exports})
    nodes, _locking = message(recorded, "query_exports.req.bin")["args"]
    ours = engine.plain_rows("export", nodes, ["node", "export"], source)
    assert ours == message(recorded, "query_exports.rep.bin")["result"]
    whole = engine.query("export", ["node", "export"], None, source)["data"]
    assert whole[2] == [(0, "node2.example.com"), (2, None)]
