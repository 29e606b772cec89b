"""hail answers recorded IAllocator requests as upstream did on a live cluster."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ganeti_allocators_htools.plugin import Hail

from ganeti_kernel.paths import Paths
from ganeti_kernel.specs import PluginContext
from ganeti_kernel.testing.fakes import FixedLookup, RecordingNics
from tests.interop.htools.peer import run_ours

RECORDINGS = Path(__file__).parents[2] / "data" / "ialloc"
#: Recorded while the cluster's iallocator parameters said ``--no-capacity-checks``.
UNCHECKED = {"1795517929.148575183", "1795517934.567329524", "1795518026.151269732"}
INPUTS = sorted(RECORDINGS.glob("*.input.json"))


def test_there_are_recordings() -> None:
    assert INPUTS


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.name.removesuffix(".input.json"))
def test_same_response_as_recorded(path: Path) -> None:
    recorded = path.with_name(path.name.replace(".input.", ".output."))
    unchecked = path.name.removesuffix(".input.json") in UNCHECKED
    options = ["--no-capacity-checks"] if unchecked else []
    ours = run_ours("hail", [*options, path.name], RECORDINGS)
    assert ours.code == 0
    assert json.loads(ours.stdout) == json.loads(recorded.read_text())


@pytest.mark.parametrize("name", sorted(UNCHECKED))
def test_plugin_takes_the_cluster_parameters(name: str, tmp_path: Path) -> None:
    """As the kernel asks it, with `--default-iallocator-params no-capacity-checks`."""
    context = PluginContext(
        paths=Paths(tmp_path), node_name="", nics=RecordingNics(), plugins=FixedLookup()
    )
    request, recorded = (
        json.loads((RECORDINGS / f"{name}.{kind}.json").read_text()) for kind in ("input", "output")
    )
    assert Hail(context).allocate(request, {"no-capacity-checks": "True"}) == recorded
    assert Hail(context).allocate(request, {}) != recorded
