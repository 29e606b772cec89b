"""Our parser of the filter language against the one of upstream 3.0, run as a peer.

Upstream reads a regular expression up to the last delimiter of the whole filter, so that a second
one, or a field with a slash behind it, cannot be written, and takes a word behind it for its
flags; ours ends it at the first delimiter. The filters made here keep out of that difference.
"""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ganeti_kernel.errors import QueryFilterParseError
from ganeti_kernel.query.grammar import parse_filter

UPSTREAM = Path("/usr/share/ganeti/3.0")
PEER = """
import json, sys, warnings
warnings.simplefilter("ignore")
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
from ganeti import errors, qlang
out = []
for text in json.load(sys.stdin):
    try:
        out.append(qlang.ParseFilter(text))
    except errors.QueryFilterParseError:
        out.append("refused")
json.dump(out, sys.stdout)
"""

TEXTS = [
    "master",
    "not offline",
    "name == 'x'",
    'name = "x y"',
    "a!=1",
    "a<-5",
    "a <= +5",
    "a and b or c and d",
    "a and (b or c)",
    "not a and b",
    "not (a and b)",
    "not not a",
    "((a and b))",
    "not a == 5",
    "name =~ /^x/",
    "name =~ m#^x/y#i",
    "name !~ |x|si",
    r"name =~ /a\/b/",
    'name =* "web*"',
    "name !* 'db?'",
    'a =* "x-y.z[0-9]"',
    "'a' in tags",
    "'a' not in tags",
    "5 in disk.sizes",
    "nic.ip/0 == '10.0.0.1'",
    r"name == 'it\'s'",
    'name == ""',
    "nota",
    "in",
    "name ==",
    "a b",
    "a)",
    "(a",
    "a == 5x",
    "a in b",
    "name == x",
    "name =~ x",
    "name =~ /(/",
    "",
]


def generated(source: random.Random, depth: int = 2) -> str:
    kind = source.choice(["and", "or", "not", "leaf", "leaf", "leaf"]) if depth else "leaf"
    if kind in ("and", "or"):
        parts = [generated(source, depth - 1) for _ in range(source.randint(2, 3))]
        return f"({f' {kind} '.join(parts)})"
    if kind == "not":
        return f"not {generated(source, depth - 1)}"
    field = source.choice(["name", "disk.count", "e_f"])
    value = source.choice(["5", "-12", '"text"', "'other text'", '"10.0.0.1"'])
    operator = source.choice(["", "==", "=", "!=", "<", "<=", ">", ">=", "=~", "!~", "=*", "in"])
    space = source.choice(["", " ", "  "])
    if not operator:
        return field
    if operator == "in":
        return f"{value} {source.choice(['', 'not '])}in {field}"
    if operator in ("=~", "!~"):
        return f"({field}{space}{operator}{space}/^a.*b$/{source.choice(['', 'i', 's', 'is'])})"
    if operator == "=*":
        return f'{field}{space}=*{space}"a*.b?"'
    return f"{field}{space}{operator}{space}{value}"


@pytest.mark.peer
def test_both_parsers_read_the_same() -> None:
    if not (UPSTREAM / "ganeti" / "qlang.py").exists():
        pytest.skip("Debian's package ganeti-3.0 is not installed")
    source = random.Random(3)
    made = [generated(source) for _ in range(150)]
    texts = TEXTS + [text for text in made if text.count("~") <= 1]
    done = subprocess.run(
        ["/usr/bin/python3", "-c", PEER, str(UPSTREAM)],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for text, theirs in zip(texts, json.loads(done.stdout), strict=True):
        assert ours(text) == theirs, text


def ours(text: str) -> Any:
    try:
        return parse_filter(text)
    except QueryFilterParseError:
        return "refused"
