"""The protocol's page tells of every collector what its plugin tells.

`python tests/unit/mond/test_mond_docs.py --write` makes the tables anew.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ganeti_kernel.mond.metrics import metric_name, steps
from ganeti_kernel.paths import Paths
from ganeti_kernel.plugins.registry import Registry
from ganeti_kernel.specs import PluginContext
from ganeti_kernel.specs.collector import Collector, Field

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/protocols/mond.md"
GUIDE = ROOT / "docs/guides/collectors.md"
BEGIN = "<!-- tables: made by tests/unit/mond/test_mond_docs.py --write -->\n"
END = "<!-- end of tables -->\n"


def tables() -> str:
    """The part of the page that comes from the plugins of this repository."""
    ours = {path.name for path in (ROOT / "plugins/collectors").iterdir()}
    with tempfile.TemporaryDirectory() as empty:
        registry = Registry(PluginContext(paths=Paths(Path(empty))))
        names = [name for name in registry.names("collector") if name in ours]
        return "".join(section(name, registry.get("collector", name)) for name in names)


def section(name: str, collector: Collector) -> str:
    summary = collector.describe().summary
    lines = [
        f"### {name}",
        "",
        f"{summary[0].upper()}{summary[1:]}. Category `{collector.CATEGORY or 'default'}`,"
        f" kind {collector.KIND}, format {collector.FORMAT_VERSION}, version"
        f" `{collector.VERSION}`, every {collector.INTERVAL:g} s by default.",
        "",
        "| field | type | unit | meaning | metric |",
        "|---|---|---|---|---|",
        *(row(name, field) for field in collector.FIELDS),
        "",
        "",
    ]
    return "\n".join(lines)


def row(name: str, field: Field) -> str:
    return (
        f"| `{field.path}` | {field.type} | {field.unit} | {field.help} | {metric(name, field)} |"
    )


def metric(name: str, field: Field) -> str:
    if field.label:
        return "label"
    if field.type not in ("int", "float", "bool"):
        return ""
    words = tuple(word for word, _label in steps(field.path) if word[0] not in "[{")
    return f"`{metric_name(name, words, field)}`"


def test_page_has_the_tables_of_the_plugins() -> None:
    text = PAGE.read_text()
    assert text.partition(BEGIN)[2].partition(END)[0] == "\n" + tables()


def blocks(path: Path, language: str) -> Iterator[str]:
    for match in re.finditer(rf"```{language}\n(.*?)```", path.read_text(), re.DOTALL):
        yield match[1]


def test_the_guides_example_passes_the_contract(tmp_path: Path) -> None:
    """The collector and its test, as the guide prints them."""
    code, suite = list(blocks(GUIDE, "python"))[:2]
    (tmp_path / "uptime_collector.py").write_text(code)
    (tmp_path / "test_uptime.py").write_text(suite)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_uptime.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
    assert len([line for line in code.splitlines() if line.strip()]) <= 14


if __name__ == "__main__" and "--write" in sys.argv:
    head, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(head + BEGIN + "\n" + tables() + END + rest.partition(END)[2])
