from __future__ import annotations

import socket
from pathlib import Path

import pytest

from ganeti_kernel.errors import ResolverError
from ganeti_kernel.paths import Paths
from ganeti_kernel.rpc.resolve import parse_hosts, resolve

HOSTS = """
# nodes
127.1.0.1  node1.example.com node1   # first
127.1.0.2  node2.example.com
2001:db8::1 node6.example.com
bogus      node3.example.com
127.1.0.9  NODE1.example.com
"""


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    out = Paths(tmp_path)
    out.conf_dir.mkdir(parents=True)
    out.hosts_file.write_text(HOSTS)
    return out


def test_parse_hosts() -> None:
    assert parse_hosts(HOSTS) == {
        "node1.example.com": ("node1.example.com", "127.1.0.1"),
        "node1": ("node1.example.com", "127.1.0.1"),
        "node2.example.com": ("node2.example.com", "127.1.0.2"),
        "node6.example.com": ("node6.example.com", "2001:db8::1"),
    }


def test_the_clusters_own_names_come_first(paths: Paths) -> None:
    assert resolve(paths, "Node1") == ("node1.example.com", "127.1.0.1")
    assert resolve(paths, "node6.example.com", socket.AF_INET6)[1] == "2001:db8::1"


def test_then_the_system_is_asked(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    paths.hosts_file.unlink()
    answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "full.example.com", ("192.0.2.7", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: answer)
    assert resolve(paths, "full") == ("full.example.com", "192.0.2.7")


def test_a_name_that_does_not_resolve(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(ResolverError) as caught:
        resolve(paths, "nosuchname.example.com")
    assert str(caught.value) == (
        "The given name (nosuchname.example.com) does not resolve: "
        "Temporary failure in name resolution"
    )


@pytest.mark.parametrize("name", ["a" * 300, "x\0y"])
def test_a_name_that_is_none(paths: Paths, name: str) -> None:
    with pytest.raises(ResolverError, match="does not resolve"):
        resolve(paths, name)
