from __future__ import annotations

from typing import Any

import pytest

from ganeti_kernel.node.context import NodeContext
from ganeti_kernel.node.extstorage import extstorage_diagnose
from ganeti_kernel.paths import Paths
from ganeti_kernel.plugins.discovery import NOTHING_DISABLED
from ganeti_kernel.plugins.registry import Broken, Registry
from ganeti_kernel.specs import Description, Parameter, PluginContext
from ganeti_kernel.specs.extstorage import ExtStorageProvider

SCRIPTS = ("create", "remove", "grow", "attach", "detach", "setinfo", "verify")


def test_good_and_broken_ones_by_name(node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Provider:
        def describe(self) -> Description:
            parameters = (Parameter(name="pool", help="which pool"),)
            return Description(name="mine", version="1", summary="", parameters=parameters)

    node.add("extstorage", "mine", Provider())
    node.registry.broken = [Broken("extstorage", "lost", "lost 2.0", "ImportError: no api")]
    lost, mine = extstorage_diagnose(node.context)
    assert (mine.name, mine.valid, mine.path) == ("mine", True, "extstorage-mine 1.0")
    assert mine.parameters == [("pool", "which pool")]
    assert (lost.valid, lost.message, lost.path) == (False, "ImportError: no api", "lost 2.0")


def test_directories_of_scripts_and_distributions_alike(tmp_path: Any) -> None:
    pytest.importorskip("ganeti_storage_ext_scripts", reason="the adapter is not installed")
    paths = Paths(tmp_path)
    base = paths.extstorage_search_path[0]
    for name in ("filepool", "brokenext"):
        (base / name).mkdir(parents=True)
        (base / name / "parameters.list").write_text("param1 first test parameter\n")
        for script in SCRIPTS:
            (base / name / script).write_text("#!/bin/sh\n")
            (base / name / script).chmod(0o755)
    (base / "brokenext" / "setinfo").unlink()
    registry = Registry(PluginContext(paths=paths), NOTHING_DISABLED)
    context = NodeContext(paths, "n", registry)
    rows = {row.name: row for row in extstorage_diagnose(context)}
    good, bad = rows["filepool"], rows["brokenext"]
    assert (good.valid, good.path, good.message) == (True, str(base / "filepool"), "")
    assert good.parameters == [("param1", "first test parameter")]
    assert (bad.valid, bad.path) == (False, str(base / "brokenext"))
    assert bad.message == (f"File 'setinfo' under path '{base}/brokenext' is missing (ENOENT)")
    for name, row in rows.items():
        if name not in {"filepool", "brokenext"}:
            assert isinstance(registry.get("extstorage", name), ExtStorageProvider)
            assert row.valid
    # scripts change without an installation: the next diagnosis sees it
    (base / "brokenext" / "setinfo").write_text("#!/bin/sh\n")
    (base / "brokenext" / "setinfo").chmod(0o755)
    (base / "filepool" / "attach").unlink()
    rows = {row.name: row for row in extstorage_diagnose(context)}
    assert (rows["filepool"].valid, rows["brokenext"].valid) == (False, True)
    (base / "filepool").rename(tmp_path / "away")
    assert "filepool" not in {row.name for row in extstorage_diagnose(context)}
