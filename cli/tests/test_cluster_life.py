"""What gnt-cluster init and destroy send."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from ganeti_cli import cluster_life, master

from ganeti_kernel.paths import Paths


def test_reason_and_debug_level_reach_the_opcode(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(master, "connect", lambda _paths: contextlib.nullcontext())
    monkeypatch.setattr(master, "run_job", lambda _client, opcodes: sent.extend(opcodes))
    given = {"reason": "it is old", "debug": 2}
    cluster_life._run(Paths(tmp_path), "destroy", "OP_CLUSTER_DESTROY", given)
    (opcode,) = sent
    assert (opcode["OP_ID"], opcode["debug_level"]) == ("OP_CLUSTER_DESTROY", 2)
    assert opcode["reason"][0][:2] == ["gnt:user", "it is old"]
