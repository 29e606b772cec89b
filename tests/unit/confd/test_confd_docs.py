"""The protocol's page names every request type, option and limit that the code has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ganeti_kernel.confd.codec import MAX_CLOCK_SKEW, MAX_DATAGRAM
from ganeti_kernel.confd.service import SECRET_POLICIES
from ganeti_kernel.daemons import confd
from ganeti_kernel.objects.secrets import HIDDEN
from ganeti_kernel.paths import Paths
from ganeti_kernel.plugins.registry import Registry
from ganeti_kernel.specs import PluginContext

PAGE = (Path(__file__).parents[3] / "docs/protocols/confd.md").read_text()


def test_every_request_type_is_in_the_table() -> None:
    good, _broken = Registry(PluginContext(paths=Paths())).load_all("confd_query")
    rows = dict(re.findall(r"^\| (\d+) \| `([a-z-]+)` \|", PAGE, re.MULTILINE))
    assert rows == {str(query.NUMBER): name for name, query in good.items()}


def test_every_option_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        confd.main(["--help"])
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    common = {"--help", "--foreground", "--debug", "--no-user-checks", "--version"}
    for option in options - common - {"--port", "--bind"}:
        assert f"[{option} " in PAGE, option
    assert f"--secrets {'|'.join(SECRET_POLICIES)}" in PAGE


def test_limits_are_told() -> None:
    assert f"{MAX_DATAGRAM:,} bytes" in PAGE
    assert f"{MAX_CLOCK_SKEW} seconds" in PAGE
    assert f"`{HIDDEN}`" in PAGE
