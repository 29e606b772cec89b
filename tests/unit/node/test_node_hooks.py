from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ganeti_kernel.errors import ParameterError
from ganeti_kernel.node import hooks
from ganeti_kernel.rpc.results import HOOK_FAILED, HOOK_SKIPPED, HOOK_SUCCESS, HookResult


@pytest.fixture
def folder(node: Any) -> Path:
    path: Path = node.paths.hooks_dir / "instance-add-pre.d"
    path.mkdir(parents=True)
    return path


def put(folder: Path, name: str, body: str, mode: int = 0o755) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{body}\n")
    (folder / name).chmod(mode)


def test_scripts_run_in_order_and_each_has_its_result(node: Any, folder: Path) -> None:
    put(folder, "30-last", "echo done")
    put(folder, "10-bad", "echo no room; exit 2")
    put(folder, "20-silent", "exit 7")
    put(folder, "00-plain", "exit 1", mode=0o644)
    put(folder, "wrong.name", "exit 1")
    (folder / "40-dir").mkdir()
    got = hooks.hooks_run(node.context, "instance-add", "pre", {})
    assert got == [
        HookResult("instance-add-pre.d/00-plain", HOOK_SKIPPED, ""),
        HookResult("instance-add-pre.d/10-bad", HOOK_FAILED, "no room"),
        HookResult(
            "instance-add-pre.d/20-silent",
            HOOK_FAILED,
            f"{folder}/20-silent ended with exit code 7 and said nothing",
        ),
        HookResult("instance-add-pre.d/30-last", HOOK_SUCCESS, "done"),
        HookResult("instance-add-pre.d/40-dir", HOOK_SKIPPED, ""),
        HookResult("instance-add-pre.d/wrong.name", HOOK_SKIPPED, ""),
    ]


def test_a_script_gets_the_operations_variables_and_nothing_else(
    node: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAEMON_SECRET", "x")
    put(folder, "show", "env; pwd")
    env = {"GANETI_OP_CODE": "OP_INSTANCE_CREATE", "GANETI_INSTANCE_BE_maxmem": "128"}
    [result] = hooks.hooks_run(node.context, "instance-add", "pre", env)
    *variables, place = result.output.splitlines()
    got = dict(line.split("=", 1) for line in variables)
    assert place == "/"
    assert {name: got[name] for name in got if name not in {"PWD", "SHLVL", "_", "OLDPWD"}} == {
        "PATH": "/sbin:/bin:/usr/sbin:/usr/bin",
        "GANETI_HOOKS_VERSION": "2",
        "GANETI_HOOKS_PATH": "instance-add",
        "GANETI_HOOKS_PHASE": "pre",
        "GANETI_DATA_DIR": str(node.paths.data_dir),
        **env,
    }


def test_no_directory_is_no_hooks(node: Any) -> None:
    assert hooks.hooks_run(node.context, "cluster-modify", "post", {}) == []


def test_scripts_that_hang_or_never_stop_printing(
    node: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "SCRIPT_SECONDS", 0.3)
    put(folder, "hang", "sleep 600")
    put(folder, "print", "yes")
    put(folder, "zero", "echo fine")
    got = hooks.hooks_run(node.context, "instance-add", "pre", {})
    assert [result.code for result in got] == [HOOK_FAILED, HOOK_FAILED, HOOK_SUCCESS]
    assert "did not end within 0.3 seconds" in got[0].output
    assert "printed more than 65536 bytes" in got[1].output


@pytest.mark.parametrize(
    ("path", "phase"), [("../x", "pre"), ("", "pre"), ("a/b", "post"), ("instance-add", "during")]
)
def test_other_directories_are_out_of_reach(node: Any, path: str, phase: str) -> None:
    with pytest.raises(ParameterError, match="there are no hooks for path"):
        hooks.hooks_run(node.context, path, phase, {})


def test_variables_that_could_change_how_scripts_run_are_refused(node: Any) -> None:
    with pytest.raises(ParameterError, match="not LD_PRELOAD"):
        hooks.hooks_run(node.context, "instance-add", "pre", {"LD_PRELOAD": "/evil.so"})
