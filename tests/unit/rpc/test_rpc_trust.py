"""Who is refused, and how clearly."""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ganeti_kernel.errors import ConfigurationError, ParameterError, RemoteError
from ganeti_kernel.objects.cluster import Node
from ganeti_kernel.paths import Paths
from ganeti_kernel.rpc import certificates, trust, wire
from ganeti_kernel.rpc.sync import SyncNodeClient

NODE = "node1.example.com"
OTHER = "node2.example.com"


class Counter:
    """A changing call that says how often it really ran."""

    def __init__(self) -> None:
        self.ran = 0

    def config_write(self, content: str) -> None:
        self.ran += 1


def serve(place: Any, node: Paths) -> tuple[Counter, int]:
    counter = Counter()
    return counter, place.serve(node, {"config_write": counter.config_write})


def refused(paths: Paths, port: int, node: Node, match: str) -> None:
    with (
        SyncNodeClient(paths, port=port) as client,
        pytest.raises(RemoteError, match=match) as caught,
    ):
        client.call(node, "config_write", content="x")
    assert "\n" not in str(caught.value)
    assert f"node {NODE}, call config_write: " in str(caught.value)


def test_a_peer_without_certificate(
    place: Any, caplog: pytest.LogCaptureFixture, node: Node
) -> None:
    counter, port = serve(place, place.identity(NODE))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    caplog.set_level(logging.WARNING)
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=10)
    with contextlib.closing(connection), pytest.raises(OSError):  # noqa: PT012 # either of both
        connection.request("POST", "/config_write", b'{"content": "x"}')
        connection.getresponse()
    assert counter.ran == 0
    assert [record.getMessage() for record in caplog.records] == [
        "refused a connection during the TLS handshake: peer did not return a certificate"
    ]


def test_a_peer_of_another_authority(
    place: Any, caplog: pytest.LogCaptureFixture, node: Node
) -> None:
    counter, port = serve(place, place.identity(NODE))
    stranger = place.identity("stranger.example.com", certificates.create_authority("evil"))
    stranger.ca_file.write_bytes(place.authority.certificate)  # it believes us, we not it
    refused(
        stranger,
        port,
        node,
        "does not accept this machine's certificate, the node daemon's log there says so",
    )
    assert counter.ran == 0
    assert "refused a connection during the TLS handshake: " in caplog.text


def test_a_node_that_is_no_candidate(
    place: Any, caplog: pytest.LogCaptureFixture, node: Node
) -> None:
    counter, port = serve(place, place.identity(NODE))
    plain = place.identity(OTHER)
    mark = trust.own_fingerprint(plain)
    refused(plain, port, node, f"certificate {mark} does not belong to a master candidate")
    assert counter.ran == 0
    assert f"refused call 'config_write' of 127.0.0.1: certificate {mark}" in caplog.text


def test_a_candidate_that_is_taken_off_the_list_is_out_at_once(place: Any, node: Node) -> None:
    own = place.identity(NODE)
    counter, port = serve(place, own)
    caller = place.identity(OTHER)
    place.admit(own, own, caller)
    with SyncNodeClient(caller, port=port) as client:
        client.call(node, "config_write", content="x")
        place.admit(own, own)
        with pytest.raises(RemoteError, match="does not belong to a master candidate"):
            client.call(node, "config_write", content="x")
    assert counter.ran == 1


def test_a_machine_that_is_not_the_node_it_stands_for(place: Any) -> None:
    own = place.identity(OTHER)
    counter, port = serve(place, own)
    node = Node(name=NODE, primary_ip="127.0.0.1", uuid="u")
    refused(own, port, node, "does not prove to be this node: Hostname mismatch")
    assert counter.ran == 0


def test_arguments_that_are_too_big(
    place: Any, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "MAX_BODY", 1 << 20)
    paths = place.identity(NODE)
    counter, port = serve(place, paths)
    status, error = raw(paths, port, "config_write", json.dumps({"content": "x" * (2 << 20)}))
    assert (status, error) == (413, "the arguments exceed 1 MiB")
    assert counter.ran == 0


def raw(
    paths: Paths, port: int, call: str, body: str, headers: dict[str, str] | None = None
) -> tuple[int, str]:
    """One request as any HTTP client would make it: status and error text."""
    context = trust.client_context(paths)
    context.check_hostname = False
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=10)
    try:
        connection.request("POST", f"/{call}", body, headers or {})
        response = connection.getresponse()
        answer = json.loads(response.read())
    finally:
        connection.close()
    return response.status, answer["error"][1][0]


@pytest.mark.parametrize(
    ("call", "body", "headers", "status", "text"),
    [
        ("config_write", '{"content": 3}', {}, 400, "Expected `str`, got `int` - at `$.content`"),
        ("config_write", "{}", {}, 400, "Object missing required field `content`"),
        ("config_write", '{"content": "x", "y": 1}', {}, 400, "unknown field `y`"),
        ("config_write", '["x"]', {}, 400, "Expected `object`, got `array`"),
        ("config_write", '{"content": "', {}, 400, "truncated"),
        ("config_write", "\xff\x00", {}, 400, "arguments of config_write: "),
        ("config_write", '{"content": "x"}', {wire.EPOCH_HEADER: "-1"}, 400, "not a usable number"),
        ("config_write", '{"content": "x"}', {wire.DEADLINE_HEADER: "soon"}, 400, "'soon'"),
        ("shutdown", "{}", {}, 404, "this node knows no call 'shutdown'"),
        ("../etc/passwd", "{}", {}, 404, "this node knows no call"),
        ("", "{}", {}, 404, "this node knows no call ''"),
    ],
)
def test_calls_that_are_not_well_formed(
    place: Any, call: str, body: str, headers: dict[str, str], status: int, text: str
) -> None:
    paths = place.identity(NODE)
    counter, port = serve(place, paths)
    got = raw(paths, port, call, body, headers)
    assert got[0] == status
    assert text in got[1]
    assert counter.ran == 0


def test_a_wrong_argument_is_a_parameter_error_for_our_client(place: Any, node: Node) -> None:
    paths = place.identity(NODE)
    counter, port = serve(place, paths)
    with (
        SyncNodeClient(paths, port=port) as client,
        pytest.raises(ParameterError, match=r"arguments of config_write: .*\$\.content"),
    ):
        client.call(node, "config_write", content=7)
    assert counter.ran == 0


def test_a_master_that_was_replaced(place: Any, node: Node) -> None:
    paths = place.identity(NODE)
    counter, port = serve(place, paths)
    with SyncNodeClient(paths, epoch=5, port=port) as client:
        client.call(node, "config_write", content="x")
        client.epoch = 4
        with pytest.raises(RemoteError, match="epoch 4, but this node already obeys epoch 5"):
            client.call(node, "config_write", content="x")
        client.epoch = 5
        client.call(node, "config_write", content="x")
    assert counter.ran == 2
    assert (paths.data_dir / "epoch").read_text() == "5\n"

    counter, port = serve(place, paths)  # the number outlives the daemon
    with (
        SyncNodeClient(paths, epoch=1, port=port) as client,
        pytest.raises(RemoteError, match="obeys epoch 5"),
    ):
        client.call(node, "config_write", content="x")
    assert counter.ran == 0


def test_a_reading_call_is_for_every_master(place: Any, node: Node) -> None:
    paths = place.identity(NODE)
    (paths.data_dir / "epoch").write_text("9")
    port = place.serve(paths, {"version": lambda: 1})
    with SyncNodeClient(paths, epoch=1, port=port) as client:
        assert client.call(node, "version") == 1


# -- files -----------------------------------------------------------------------------------------


def test_a_fresh_node_takes_the_fingerprint_of_its_setup(place: Any) -> None:
    own = place.identity(NODE, candidate=False)
    master = trust.own_fingerprint(place.identity(OTHER))
    candidates = trust.Candidates(own)
    assert candidates.allowed() == frozenset()
    trust.bootstrap_file(own).write_text(master + "\n")
    assert candidates.allowed() == {master}
    third = trust.own_fingerprint(place.identity("node3.example.com"))
    own.ssconf(trust.CANDIDATES_KEY).write_text(f"some-uuid={third}\n")
    assert candidates.allowed() == {third}
    own.ssconf(trust.CANDIDATES_KEY).write_text("")
    assert candidates.allowed() == {master}


def test_a_list_that_cannot_be_read_admits_nobody(place: Any) -> None:
    own = place.identity(NODE, candidate=False)
    trust.bootstrap_file(own).write_text(trust.own_fingerprint(own))
    own.ssconf(trust.CANDIDATES_KEY).mkdir()
    assert trust.Candidates(own).allowed() == frozenset()


def test_lines_that_are_no_fingerprints_admit_nobody() -> None:
    assert trust.parse_candidates("uuid=\nuuid=AB:CD\ngarbage\n=\n") == frozenset()


@pytest.mark.parametrize("name", ["server.pem", "ca.pem"])
def test_a_machine_that_is_no_node(place: Any, name: str) -> None:
    paths = place.identity(NODE)
    (paths.data_dir / name).unlink()
    with pytest.raises(ConfigurationError, match=f"{name}: .*not set up as a node of a cluster"):
        trust.server_context(paths)
    (paths.data_dir / name).write_text("nonsense")
    with pytest.raises(ConfigurationError, match=f"cannot use .*{name} for node calls"):
        trust.client_context(paths)


def test_an_epoch_file_of_garbage_is_named(place: Any) -> None:
    paths = place.identity(NODE)
    (paths.data_dir / "epoch").write_text("soon")
    with pytest.raises(ConfigurationError, match="epoch does not hold a number"):
        place.serve(paths, {})


def test_certificates_say_what_they_are_for() -> None:
    from cryptography import x509

    authority = certificates.create_authority("cluster.example.com")
    own = certificates.issue_certificate(authority, "n" * 80 + ".example.com", "2001:db8::1")
    cert = x509.load_pem_x509_certificate(own.certificate)
    names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["n" * 80 + ".example.com"]
    assert [str(item) for item in names.get_values_for_type(x509.IPAddress)] == ["2001:db8::1"]
    assert trust.FINGERPRINT.fullmatch(certificates.fingerprint(own.pem))
    assert b"PRIVATE" not in repr(own).encode()


def test_an_unusable_authority_is_named() -> None:
    good = certificates.create_authority("c")
    broken: list[Callable[[], certificates.Identity]] = [
        lambda: certificates.issue_certificate(certificates.Identity(b"x", good.certificate), "n"),
        lambda: certificates.issue_certificate(certificates.Identity(good.key, b"x"), "n"),
    ]
    for attempt in broken:
        with pytest.raises(ConfigurationError, match="authority is not usable"):
            attempt()
    with pytest.raises(ConfigurationError, match="not a master candidate"):
        trust.read_authority(Paths(Path("/nonexistent")))
