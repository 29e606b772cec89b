"""OS definitions: what is valid, and upstream 3.0's words for what is not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ganeti_kernel.errors import OpExecError
from ganeti_kernel.node import os_definitions as osd

SCRIPTS = ("create", "import", "export", "rename", "verify")


def make(
    base: Path,
    name: str,
    *,
    api: str | None = "20\n",
    scripts: Sequence[str] = SCRIPTS,
    variants: str | None = None,
    parameters: str | None = "a first one\n",
    mode: int = 0o755,
) -> Path:
    path = base / name
    path.mkdir(parents=True)
    for script in scripts:
        (path / script).write_text("#!/bin/sh\n")
        (path / script).chmod(mode)
    for file, text in (
        ("ganeti_api_version", api),
        ("variants.list", variants),
        ("parameters.list", parameters),
    ):
        if text is not None:
            (path / file).write_text(text)
    return path


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "noapi": (
        lambda base: make(base, "noapi", api=None),
        "Required file 'ganeti_api_version' not found under path {path}: ENOENT",
    ),
    "apidir": (
        lambda base: (make(base, "apidir", api=None) / "ganeti_api_version").mkdir(),
        "File 'ganeti_api_version' in {path} is not a regular file",
    ),
    "garbage": (
        lambda base: make(base, "garbage", api="x\n"),
        "API version(s) can't be converted to integer: invalid literal for int() with base 10: 'x'",
    ),
    "binary": (
        lambda base: (make(base, "binary") / "ganeti_api_version").write_bytes(b"\xff\n"),
        "{path}/ganeti_api_version is not UTF-8 text",
    ),
    "huge": (
        lambda base: make(base, "huge", variants="x" * (300 << 10)),
        "{path}/variants.list has more than 262144 bytes",
    ),
    "nocreate": (
        lambda base: make(base, "nocreate", scripts=SCRIPTS[1:]),
        "A create script (trusted or untrusted) under path '{path}' must exist",
    ),
    "noexport": (
        lambda base: make(base, "noexport", scripts=("create", "import", "rename", "verify")),
        "File 'export' under path '{path}' is missing (ENOENT)",
    ),
    "noverify": (
        lambda base: make(base, "noverify", scripts=SCRIPTS[:-1]),
        "File 'verify' under path '{path}' is missing (ENOENT)",
    ),
    "noexec": (
        lambda base: make(base, "noexec", mode=0o644),
        "File 'create' under path '{path}' is not executable",
    ),
    "dirscript": (
        lambda base: (make(base, "dirscript", scripts=("create", "rename")) / "export").mkdir(),
        "File 'export' under path '{path}' is not a regular file",
    ),
    "noparams": (
        lambda base: make(base, "noparams", parameters=None),
        "File 'parameters.list' under path '{path}' is missing (ENOENT)",
    ),
    "variantsdir": (
        lambda base: (make(base, "variantsdir") / "variants.list").mkdir(),
        "File 'variants.list' under path '{path}' is not a regular file",
    ),
    "dot.name": (
        lambda base: make(base, "dot.name"),
        "Directory for OS dot.name not found in search path",
    ),
    "afile": (
        lambda base: (base / "afile").write_text(""),
        "Directory for OS afile not found in search path",
    ),
}


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_broken_definition_says_why(tmp_path: Path, name: str) -> None:
    build, text = BROKEN[name]
    build(tmp_path)
    [status] = osd.diagnose([tmp_path])
    assert (status.name, status.valid) == (name, False)
    assert status.diagnose == text.format(path=tmp_path / name)
    assert (status.variants, status.parameters, status.api_versions) == ([], [], [])
    with pytest.raises(OpExecError):
        osd.find([tmp_path], name)


@pytest.mark.parametrize(("api", "found"), [("5\n", "[5]"), ("", "[]"), ("99\n5\n", "[99, 5]")])
def test_versions_that_nobody_speaks(tmp_path: Path, api: str, found: str) -> None:
    make(tmp_path, "old", api=api)
    [status] = osd.diagnose([tmp_path])
    assert status.diagnose == (
        f"API version mismatch for path '{tmp_path}/old': found {found}, want one of 10, 15, 20."
    )


def test_valid_definitions(tmp_path: Path) -> None:
    make(tmp_path, "mixed", api="20\n10\n5\n", variants="\n# c\nv2\nv1\n")
    make(tmp_path, "old", api="10\n", scripts=SCRIPTS[:-1], parameters=None, variants="v1\n")
    make(tmp_path, "fifteen", api="15\n", scripts=SCRIPTS[:-1], parameters=None, variants="v1\n")
    make(tmp_path, "sealed", scripts=(*SCRIPTS[1:], "create_untrusted"))
    make(tmp_path, "plain", parameters="foo\n\nbar \t spaced text  \n# no name\n")
    make(tmp_path, ".hidden")
    rows = {row.name: row for row in osd.diagnose([tmp_path, tmp_path / "missing"])}
    assert set(rows) == {"mixed", "old", "fifteen", "sealed", "plain"}
    assert all(row.valid and not row.diagnose for row in rows.values())
    assert (rows["mixed"].variants, rows["mixed"].api_versions) == (["v2", "v1"], [20, 10, 5])
    assert rows["mixed"].parameters == [("a", "first one")]
    assert rows["old"].variants == []  # only from API version 15 on
    assert rows["fifteen"].variants == ["v1"]
    assert not rows["sealed"].trusted
    assert rows["plain"].parameters == [("foo", ""), ("bar", "spaced text")]
    assert osd.find([tmp_path], "mixed").api == 20
    assert osd.find([tmp_path], "old").api == 10


def test_the_first_on_the_search_path_is_used_and_all_are_listed(tmp_path: Path) -> None:
    for side in ("a", "b"):
        make(tmp_path / side, "same")
    path = [tmp_path / "a", tmp_path / "b"]
    assert [row.path for row in osd.diagnose(path)] == [str(side / "same") for side in path]
    assert osd.find(path, "same").path == tmp_path / "a" / "same"
    assert osd.find(path[1:], "same").path == tmp_path / "b" / "same"


@pytest.mark.parametrize("name", ["nosuch", "", "..", "a/b", "a+b"])
def test_names_that_are_none(tmp_path: Path, name: str) -> None:
    make(tmp_path / "a", "b")
    with pytest.raises(OpExecError, match="not found in search path"):
        osd.find([tmp_path], name)


@pytest.mark.parametrize(
    ("variants", "variant", "problem"),
    [
        ("", "", None),
        ("", "v", "OS 'x' does not support variants ('v' passed)"),
        ("v1\n", "", "OS name 'x' must include a variant"),
        ("v1\n", "zz", "OS 'x' does not support variant 'zz'"),
        ("v1\n", "v1", None),
    ],
)
def test_variants(tmp_path: Path, variants: str, variant: str, problem: str | None) -> None:
    definition = osd.load(make(tmp_path, "x", variants=variants))
    assert osd.variant_problem(definition, variant) == problem


def test_parameters_that_the_definition_does_not_know(tmp_path: Path) -> None:
    definition = osd.load(make(tmp_path, "x"))
    assert osd.parameter_problem(definition, ["a"]) is None
    assert osd.parameter_problem(definition, ["zzz", "a", "yyy"]) == (
        "The following parameters are not supported by the OS x: zzz, yyy"
    )
