"""Recorded configurations, and a writer on one of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganeti_kernel.config import bootstrap, datafile
from ganeti_kernel.config.writer import ConfigWriter
from ganeti_kernel.objects import ConfigView
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs.base import PluginContext
from ganeti_kernel.specs.store import Store
from ganeti_kernel.store.sqlite import SqliteBackend
from ganeti_kernel.store.url import file_url

RECORDED = Path(__file__).parents[2] / "data" / "upstream"


@pytest.fixture(scope="session")
def recorded() -> Path:
    return RECORDED


@pytest.fixture(scope="session")
def rich1() -> ConfigView:
    return datafile.parse((RECORDED / "config/config.data.rich1.json").read_bytes())


@pytest.fixture(scope="session")
def rich2() -> ConfigView:
    return datafile.parse((RECORDED / "config/config.data.rich2.json").read_bytes())


@pytest.fixture
def empty_store(tmp_path: Path) -> Iterator[Store]:
    backend = SqliteBackend(PluginContext(paths=Paths(tmp_path)))
    store = backend.open(file_url("sqlite", tmp_path / "store.sqlite"), True)
    yield store
    store.close()


@pytest.fixture
def store(empty_store: Store, rich1: ConfigView) -> Store:
    bootstrap.store_view(empty_store, rich1)
    return empty_store


@pytest.fixture
def writer(store: Store) -> ConfigWriter:
    """Its clock counts 1000, 1001, …"""
    ticks = itertools.count(1000)
    return ConfigWriter(store, lambda: float(next(ticks)))
