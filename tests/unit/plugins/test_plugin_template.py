"""What `gnt-plugins new` writes works as it is, for every kind; wrong names write nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ganeti_cli import plugin_template
from ganeti_cli.app import execute
from ganeti_cli.gnt_plugins import PROGRAM

from ganeti_kernel.plugins.kinds import KINDS

if TYPE_CHECKING:
    from tests.unit.plugins.conftest import Environment

ROOT = Path(__file__).parents[3]
SHORTEST, LONGEST = "x", "abcdefghijkl-mnopqrstuvw"
"""Names whose lengths are the limits: no template may depend on its name's length."""


def new(*argv: str | Path) -> int:
    return execute(PROGRAM, ["new", *map(str, argv)])


def write_all(folder: Path, name: str) -> dict[str, Path]:
    """A distribution of each kind; kinds get names of their own, for the tests' modules."""
    out = {}
    for kind in KINDS:
        out[kind] = folder / kind
        word = name or f"sample-{kind.replace('_', '-')}"
        assert new(kind, word, "--directory", out[kind]) == 0
    return out


def run(*argv: str | Path, cwd: Path, **env: str) -> str:
    done = subprocess.run(
        argv, cwd=cwd, env=os.environ | env, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_kind_has_a_template() -> None:
    folders = {path.name for path in (ROOT / "cli/ganeti_cli/templates").iterdir()}
    assert folders == {*KINDS, "common"}
    assert set(plugin_template.CLASS_ENDINGS) == set(KINDS)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_tests_pass_and_plugins_are_usable(environment: Environment, tmp_path: Path) -> None:
    projects = write_all(tmp_path, "")
    environment.install(*projects.values())
    try:
        _code, rows = environment.check()
        for kind, project in projects.items():
            name = f"sample-{kind.replace('_', '-')}"
            assert rows[name]["state"] == "usable", rows[name]
            assert rows[name]["kind"] == kind
            done = environment.pytest(project)
            assert done.returncode == 0, done.stdout + done.stderr
            counted = re.search(r"(\d+) passed", done.stdout)
            assert counted is not None
            assert os.geteuid() != 0 or int(counted[1]) > 20, done.stdout
    finally:
        names = [tomllib.loads((p / "pyproject.toml").read_text()) for p in projects.values()]
        environment.pip("uninstall", "--yes", *(item["project"]["name"] for item in names))


@pytest.mark.slow
def test_code_is_typed(tmp_path: Path) -> None:
    projects = write_all(tmp_path, "").values()
    files = [path for project in projects for path in project.rglob("*.py")]
    assert len(files) > 3 * len(KINDS)
    sources = [ROOT, *(project / "src" for project in projects)]
    run(sys.executable, "-m", "mypy", "--strict", "--explicit-package-bases", "--cache-dir",
        tmp_path / "cache", *files, cwd=tmp_path, MYPYPATH=":".join(map(str, sources)))  # fmt: skip


@pytest.mark.parametrize("name", [SHORTEST, LONGEST])
def test_code_is_clean_whatever_the_name(name: str, tmp_path: Path) -> None:
    """With the settings it comes with, and by the rules of this project."""
    write_all(tmp_path, name)
    ruff: Any = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    ignores = [f"--per-file-ignores=**/tests/**:{code}" for code in ("S", "ARG", "PT011")]
    rules = [f"--select={','.join(ruff['select'])}", f"--ignore={','.join(ruff['ignore'])}"]
    command = [sys.executable, "-m", "ruff"]
    run(*command, "format", "--no-cache", "--check", "--diff", ".", cwd=tmp_path)
    run(*command, "check", "--no-cache", ".", cwd=tmp_path)
    run(*command, "check", "--no-cache", *rules, *ignores, ".", cwd=tmp_path)


def test_shape_is_that_of_the_tree(tmp_path: Path) -> None:
    for kind, project in write_all(tmp_path, SHORTEST).items():
        content = tomllib.loads((project / "pyproject.toml").read_text())["project"]
        family, prefix = KINDS[kind].family, KINDS[kind].prefix
        package = f"ganeti_{family}_{prefix.replace('-', '_')}x"
        assert content["name"] == package.replace("_", "-")
        ((name, target),) = content["entry-points"][KINDS[kind].group].items()
        assert name == SHORTEST
        assert target.startswith(f"{package}:X")
        for path in ("README.md", f"src/{package}/__init__.py", f"src/{package}/py.typed"):
            assert (project / path).is_file()
        assert len(list((project / "tests").iterdir())) == 1


def test_family_and_default_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert new("disk-template", "shelf", "--family", "wood") == 0
    assert (tmp_path / "ganeti-wood-shelf/src/ganeti_wood_shelf/plugin.py").is_file()
    said = capsys.readouterr().out
    assert "cd ganeti-wood-shelf\n" in said
    assert "gnt-plugins check disk_template" in said


def test_numbers_of_request_types_are_their_own(tmp_path: Path) -> None:
    numbers = set()
    for name in ("one", "two", "three"):
        new("confd_query", name, "--directory", tmp_path / name)
        text = next((tmp_path / name).rglob("plugin.py")).read_text()
        match = re.search(r"^NUMBER = (\d{4})$", text, re.MULTILINE)
        assert match is not None
        numbers.add(int(match[1]))
    assert len(numbers) == 3
    assert min(numbers) >= 1000


@pytest.mark.parametrize(
    "name", ["", "Big", "with space", "under_score", "../up", "-x", "x-", "a--b", "1st", "é", "a/b"]
)
def test_wrong_names_are_explained(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (["--", "store", name], ["--family", name, "--", "store", "good"]):
        assert new("--directory", tmp_path / "new", *arguments) == 1
        assert f"{name!r} cannot be a plugin's" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_long_names_and_unknown_kinds_are_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "new"
    assert new("store", LONGEST + "x", "--directory", target) == 1
    assert "at most 24 characters" in capsys.readouterr().err
    assert new("stone", "x", "--directory", target) == 1
    assert "there is no plugin kind 'stone'" in capsys.readouterr().err
    assert not target.exists()


def test_existing_folder_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").mkdir()
    assert new("store", "x", "--directory", tmp_path / "mine") == 1
    assert "exists already" in capsys.readouterr().err
    assert list((tmp_path / "mine").iterdir()) == []


def test_unwritable_place_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert new("store", "x", "--directory", tmp_path / "file" / "new") == 1
    assert f"cannot write {tmp_path}/file/new: Not a directory" in capsys.readouterr().err


def test_failure_in_the_middle_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    count = iter(range(100))

    def full(path: Path, text: str, encoding: str) -> int:
        if next(count) == 3:
            raise OSError(28, "No space left on device")
        return path.write_bytes(text.encode(encoding))

    monkeypatch.setattr(Path, "write_text", full)
    assert new("store", "x", "--directory", tmp_path / "new") == 1
    assert "No space left on device" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_name_that_is_taken_is_pointed_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert new("store", "sqlite", "--directory", tmp_path / "new") == 0
    assert "ganeti-kernel 0.1.0 offers store 'sqlite'" in capsys.readouterr().err
