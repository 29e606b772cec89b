"""Running hook directories on this node (interface version 2, upstream 3.0)."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ganeti_kernel.errors import CommandError, HooksFailure, ParameterError
from ganeti_kernel.node.context import NodeContext
from ganeti_kernel.node.registry import node_call
from ganeti_kernel.paths import Paths
from ganeti_kernel.plugins import process
from ganeti_kernel.rpc.results import HOOK_FAILED, HOOK_SKIPPED, HOOK_SUCCESS, HookResult

HOOKS_VERSION: Final = 2
PHASES: Final = ("pre", "post")
PATH_MASK: Final = re.compile(r"[a-z0-9][a-z0-9-]*")
SCRIPT_MASK: Final = re.compile(r"[a-zA-Z0-9_-]+")
VARIABLE_MASK: Final = re.compile(r"GANETI_[\w.-]+")
SCRIPT_PATH: Final = "/sbin:/bin:/usr/sbin:/usr/bin"
SCRIPT_SECONDS: Final = 300.0
MAX_OUTPUT: Final = 64 << 10


@node_call("hooks_run")
def hooks_run(context: NodeContext, path: str, phase: str, env: dict[str, str]) -> list[HookResult]:
    """Run the scripts of `<hooks>/<path>-<phase>.d` in order; a failure does not stop the others.

    `env` has the operation's GANETI_* variables; nothing else gets in but PATH.
    """
    if phase not in PHASES or not PATH_MASK.fullmatch(path):
        raise ParameterError(f"there are no hooks for path {path[:64]!r} and phase {phase[:16]!r}")
    folder = f"{path}-{phase}.d"
    variables = environment(context.paths, path, phase, env)
    return [
        _run(context.paths.hooks_dir / folder / name, f"{folder}/{name}", variables)
        for name in _names(context.paths.hooks_dir / folder)
    ]


def environment(paths: Paths, path: str, phase: str, env: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a hook script; raises ParameterError for other variables."""
    strange = sorted(name for name in env if not VARIABLE_MASK.fullmatch(name) and name != "PATH")
    if strange:
        raise ParameterError(f"hooks take GANETI_* variables only, not {', '.join(strange)[:200]}")
    return {
        "PATH": SCRIPT_PATH,
        "GANETI_HOOKS_VERSION": str(HOOKS_VERSION),
        "GANETI_HOOKS_PATH": path,
        "GANETI_HOOKS_PHASE": phase,
        "GANETI_DATA_DIR": str(paths.data_dir),
        **env,
    }


def _names(folder: Path) -> list[str]:
    try:
        return sorted(item.name for item in folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise HooksFailure(f"cannot list {folder}: {error.strerror}") from None


def _run(script: Path, label: str, env: Mapping[str, str]) -> HookResult:
    if not SCRIPT_MASK.fullmatch(script.name) or not _runnable(script):
        return HookResult(label, HOOK_SKIPPED, "")
    try:
        finished = process.run(
            [str(script)],
            timeout=SCRIPT_SECONDS,
            env=env,
            cwd="/",
            merge=True,
            limit=MAX_OUTPUT,
        )
    except CommandError as error:
        return HookResult(label, HOOK_FAILED, str(error))
    output = finished.output.strip()
    if finished.code == 0:
        return HookResult(label, HOOK_SUCCESS, output)
    how = f"exit code {finished.code}" if finished.code > 0 else f"signal {-finished.code}"
    return HookResult(label, HOOK_FAILED, output or f"{script} ended with {how} and said nothing")


def _runnable(script: Path) -> bool:
    try:
        mode = script.stat().st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) and os.access(script, os.X_OK)
