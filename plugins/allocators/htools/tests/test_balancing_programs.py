"""hbal and its kin as programs: output, exit codes, files, jobs."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from balancing_clusters import random_text
from ganeti_allocators_htools import command_line, main
from ganeti_allocators_htools.commands import job_sets
from ganeti_allocators_htools.loaders import text
from ganeti_allocators_htools.model import IPolicy, ISpec
from ganeti_allocators_htools.search import Move
from ganeti_allocators_htools.words import STATUSES, TEMPLATES


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "cluster.data"
    path.write_text(random_text(7, alike=True))
    return path


def _spec(spec: ISpec) -> dict[str, int]:
    names = ("memory-size", "cpu-count", "disk-size", "disk-count", "nic-count", "spindle-use")
    values = (
        spec.mem, spec.cpu, spec.disk, spec.disk_count, spec.nic_count, spec.spindle_use,
    )  # fmt: skip
    return dict(zip(names, values, strict=True))


def _policy(policy: IPolicy) -> dict[str, Any]:
    return {
        "minmax": [{"min": _spec(one.min), "max": _spec(one.max)} for one in policy.minmax],
        "std": _spec(policy.std),
        "disk-templates": list(policy.templates),
        "vcpu-ratio": policy.vcpu_ratio,
        "spindle-ratio": policy.spindle_ratio,
    }


def rapi_parts(content: str) -> dict[str, Any]:
    """The cluster of a data file as RAPI would give it."""
    cluster = text.parse(content)
    nodes, insts = cluster.nodes, cluster.instances
    node_records = [
        {
            "name": name,
            "mtotal": int(nodes.tmem[n]),
            "mnode": int(nodes.nmem[n]),
            "mfree": int(nodes.fmem[n]),
            "dtotal": int(nodes.tdsk[n]),
            "dfree": int(nodes.fdsk[n]),
            "ctotal": int(nodes.tcpu[n]),
            "cnos": int(nodes.ncpu[n]),
            "offline": False,
            "drained": bool(nodes.offline[n]),
            "group.uuid": "uuid-1",
            "tags": list(nodes.tags[n]),
            "ndparams": {"spindle_count": 1, "exclusive_storage": False, "cpu_speed": 1},
        }
        for n, name in enumerate(nodes.name)
    ]
    inst_records = [
        {
            "name": name,
            "disk_usage": int(insts.dsk[n]),
            "status": STATUSES[insts.status[n]],
            "pnode": nodes.name[insts.pnode[n]],
            "snodes": [nodes.name[insts.snode[n]]] if insts.snode[n] >= 0 else [],
            "tags": list(insts.tags[n]),
            "disk_template": TEMPLATES[insts.template[n]],
            "disk.sizes": [int(insts.dsk[n])],
            "disk.spindles": [None],
            "beparams": {
                "memory": int(insts.mem[n]),
                "vcpus": int(insts.vcpus[n]),
                "auto_balance": bool(insts.auto_balance[n]),
                "spindle_use": 1,
            },
        }
        for n, name in enumerate(insts.name)
    ]
    group = cluster.groups[0]
    groups = [
        {"name": group.name, "uuid": group.uuid, "alloc_policy": group.alloc_policy, "tags": [],
         "ipolicy": _policy(group.policy)}
    ]  # fmt: skip
    info = {"tags": list(cluster.tags), "ipolicy": _policy(cluster.policy), "master": "node0"}
    return {"nodes": node_records, "instances": inst_records, "groups": groups, "info": info}


@contextmanager
def fake_master(path: Path, parts: dict[str, Any], final: str = "success") -> Iterator[list[Any]]:
    """A LUXI server for one cluster; yields the jobs submitted to it."""
    submitted: list[Any] = []
    names = {"node": "nodes", "instance": "instances", "group": "groups"}
    nested = {"ndp": "ndparams", "be": "beparams"}

    def value(record: dict[str, Any], field: str) -> list[Any]:
        prefix, _, rest = field.partition("/")
        found = record.get(nested[prefix], {}).get(rest) if rest else record.get(field)
        return [0 if found is not None else 2, found]

    def answer(method: str, args: list[Any]) -> Any:
        if method == "Query":
            rows = [[value(one, field) for field in args[1]] for one in parts[names[args[0]]]]
            return {"fields": [], "data": rows}
        if method == "SubmitManyJobs":
            submitted.extend(args[0])
            return [[True, 100 + number] for number in range(len(args[0]))]
        return parts["info"] if method == "QueryClusterInfo" else [[final] for _ in args[0]]

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                rest = b""
                while chunk := connection.recv(65536):
                    *messages, rest = (rest + chunk).split(b"\x03")
                    for message in messages:
                        request = json.loads(message)
                        result = answer(request["method"], request["args"])
                        reply = {"success": True, "result": result}
                        connection.sendall(json.dumps(reply).encode() + b"\x03")

    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield submitted
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(5)


def test_plan_is_printed_and_saved(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = data.with_name("state")
    assert main.run("hbal", ["-t", str(data), "-S", str(saved), "-C"]) == 0
    out = capsys.readouterr().out
    assert "Cluster score improved from" in out
    assert "Commands to run to reach the above solution:" in out
    assert main.run("hbal", ["-t", f"{saved}.balanced"]) == 0
    assert "No solution found" in capsys.readouterr().out


def test_executed_plan_reaches_the_saved_state(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = data.with_name("state")
    parts = rapi_parts(data.read_text())
    with fake_master(data.with_name("luxi"), parts) as submitted:
        arguments = [f"-L{data.with_name('luxi')}", "-X", "-S", str(saved), "--priority=low"]
        assert main.run("hbal", arguments) == 0
    places = {one["name"]: [one["pnode"], *one["snodes"]] for one in parts["instances"]}
    for job in submitted:
        for opcode in job:
            place = places[opcode["instance_name"]]
            assert opcode["priority"] == 10
            if opcode["OP_ID"] == "OP_INSTANCE_REPLACE_DISKS":
                place[1] = opcode["remote_node"]
            else:
                place.reverse()
    cluster = text.read(f"{saved}.balanced")
    for number, name in enumerate(cluster.instances.name):
        nodes = [cluster.instances.pnode[number], cluster.instances.snode[number]]
        assert places[name] == [cluster.nodes.name[node] for node in nodes if node >= 0]
    assert submitted
    assert "Got job IDs" in capsys.readouterr().out


def test_failed_job_ends_with_status_one(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with fake_master(data.with_name("luxi"), rapi_parts(data.read_text()), "error") as submitted:
        assert main.run("hbal", [f"-L{data.with_name('luxi')}", "-X"]) == 1
    assert len(submitted) >= 1
    assert "Not all jobs completed successfully" in capsys.readouterr().err


def test_rapi_dump_and_text_agree(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, part in rapi_parts(data.read_text()).items():
        (tmp_path / f"{name}.json").write_text(json.dumps(part))
    assert main.run("hbal", ["-t", str(data)]) == 0
    from_text = capsys.readouterr().out
    assert main.run("hbal", ["-m", f"file://{tmp_path}"]) == 0
    assert capsys.readouterr().out == from_text


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--nonsense"], 2, "Command line error: unrecognized option `--nonsense'"),
        (["-t"], 2, "Command line error: option `-t' requires an argument FILE"),
        (["-l", "x"], 1, "max solution length: cannot parse string 'x'"),
        (["-t", "/nonexistent"], 1, "Error: failed to load data, aborting: /nonexistent: openFile"),
        ([], 1, "Error: failed to load data, aborting: No backend selected! Exiting."),
        (["-t", "x", "-L"], 1, "Error: Only one of the rapi, luxi, and data files options"),
        (["-m", "file:///nonexistent"], 1, "openFile: does not exist"),
        (["-L/nonexistent"], 1, "Error: failed to load data, aborting: cannot connect"),
    ],
)
def test_mistakes_are_told(
    arguments: list[str], status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run("hbal", arguments) == status
    assert message in capsys.readouterr().err


def test_options_are_read_as_getopt_does() -> None:
    chosen = command_line.read("hbal", ["-pname,fmem", "-vv", "--max-l", "3", "--mond=no", "-C"])
    assert chosen.print_nodes == ["name", "fmem"]
    assert (chosen.verbose, chosen.max_length, chosen.mond) == (3, 3, False)
    assert chosen.print_commands == ""


def test_beyond_upstream(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = data.with_name("plan.json")
    arguments = ["-t", str(data), "--explain", "--bound", f"--json={plan}", "--progress=yes"]
    assert main.run("hbal", arguments) == 0
    captured = capsys.readouterr()
    assert "The plan ended because" in captured.out
    assert "Lower bound of the score" in captured.out
    assert "] step 1, score" in captured.err
    content = json.loads(plan.read_text())
    gain = sum(metric["gain"] for metric in content["metrics"])
    score = content["score"]
    assert gain == pytest.approx(score["before"] - score["after"])
    assert score["bound"] <= score["after"]


def test_pictures(data: Path) -> None:
    for name, start in (("p.svg", b"<svg"), ("p.png", b"\x89PNG")):
        path = data.with_name(name)
        assert main.run("hplot", [str(data), "-o", str(path)]) == 0
        assert path.read_bytes().startswith(start)


def test_measured_load_moves_instances(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = text.read(str(data)).nodes.name
    reports = [
        {"node": name, "reports": [{"name": "cpu-avg-load", "data": {"cpu_total": 8.0 * (n == 0)}}]}
        for n, name in enumerate(names)
    ]
    path = data.with_name("reports.json")
    path.write_text(json.dumps(reports))
    arguments = ["-t", str(data), "--mond", f"--mond-data={path}", "-l0", "-pname,cload"]
    assert main.run("hbal", arguments) == 0
    assert "node0 8.000" in capsys.readouterr().err
    path.write_text(json.dumps(reports[:1]))
    assert main.run("hbal", [*arguments, "--exit-on-missing-mond-data"]) == 1
    assert "Not all required data available" in capsys.readouterr().err


def test_consecutive_moves_of_different_nodes_share_a_job_set() -> None:
    def move(inst: int, old: tuple[int, int], new: tuple[int, int]) -> Move:
        return Move(inst, "r", new[1], old, new, 0.0)

    moves = [move(0, (0, 1), (0, 2)), move(1, (3, 4), (3, 5)), move(2, (5, 1), (5, 6))]
    assert [len(jobs) for jobs in job_sets(moves)] == [2, 1]
