"""Opcodes: decoding with clear errors, summaries, and upstream's fields."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ganeti_kernel.errors import OpCodeUnknown, ParameterError
from ganeti_kernel.jobs.opcodes import OpTestDelay, decode_opcode, encode_opcode, opcode_summary
from ganeti_kernel.jobs.opcodes.base import opcode_classes

UPSTREAM = Path("/usr/share/ganeti/3.0")


def delay(**fields: Any) -> dict[str, Any]:
    return {"OP_ID": "OP_TEST_DELAY", "duration": 1} | fields


OWN = {"OP_CLUSTER_CONFIG_ROLLBACK"}
"""Opcodes that upstream has not."""


def test_there_are_upstreams_76_opcodes_each_decodable_from_what_it_encodes() -> None:
    assert len(opcode_classes().keys() - OWN) == 76
    op = decode_opcode(delay(priority=-10, depends=[[-1, ["success"]]]))
    assert isinstance(op, OpTestDelay)
    assert decode_opcode(encode_opcode(op)) == op


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (delay(duration="x"), "'duration': Expected `float`, got `str`"),
        (delay(foo=1), "Unknown parameter 'foo'"),
        ({"OP_ID": "OP_TEST_DELAY"}, "Missing parameter 'duration'"),
        (delay(priority=3), "'priority'"),
        (delay(depends=[[1, ["running"]]]), r"'depends\[0\]\[1\]\[0\]'"),
        ([], "must be an object"),
        ({"OP_ID": 7}, "must be an object"),
    ],
)
def test_bad_opcode_names_the_field(value: Any, text: str) -> None:
    with pytest.raises(ParameterError, match=text):
        decode_opcode(value)


def test_unknown_opcode_is_named() -> None:
    with pytest.raises(OpCodeUnknown, match="OP_NOSUCH"):
        decode_opcode({"OP_ID": "OP_NOSUCH"})


def test_summary() -> None:
    assert opcode_summary(delay(duration=0.5)) == "TEST_DELAY(0.5)"
    assert opcode_summary({"OP_ID": "OP_CLUSTER_VERIFY"}) == "CLUSTER_VERIFY"
    assert opcode_summary({"OP_ID": "OP_FROM_THE_FUTURE"}) == "FROM_THE_FUTURE"


@pytest.mark.peer
@pytest.mark.skipif(not UPSTREAM.is_dir(), reason="Debian's ganeti is not installed")
def test_every_field_of_upstream_is_known() -> None:
    """What upstream's own clients can send, by asking their library."""
    program = (
        "import json, ganeti.opcodes as o;"
        "print(json.dumps({k: [p[0] for p in c.GetAllParams()] for k, c in o.OP_MAPPING.items()}))"
    )
    out = subprocess.run(
        ["/usr/bin/python3", "-c", program],
        env={"PYTHONPATH": str(UPSTREAM), "PATH": "/usr/bin:/bin"},
        check=True,
        capture_output=True,
    ).stdout
    ours = {op_id: set(cls.__struct_fields__) for op_id, cls in opcode_classes().items()}
    for op_id, fields in json.loads(out).items():
        assert set(fields) <= ours[op_id], op_id
