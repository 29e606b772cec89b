"""Calls end to end over TLS on loopback."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from ganeti_kernel.errors import BlockDeviceError, ProgrammerError, RemoteError
from ganeti_kernel.objects.cluster import Node
from ganeti_kernel.objects.guest import GuestDisk
from ganeti_kernel.rpc.client import NodeClient
from ganeti_kernel.rpc.results import StorageUnit
from ganeti_kernel.rpc.sync import SyncNodeClient
from ganeti_kernel.specs.disk_template import DiskPlan, DiskRequest

NODE = "node1.example.com"


def version() -> int:
    return 3000000


def test_a_call_and_its_result(place: Any, node: Node) -> None:
    paths = place.identity(NODE)
    port = place.serve(paths, {"version": version})
    with SyncNodeClient(paths, port=port) as client:
        assert client.call(node, "version") == 3000000
        assert client.call(node, "version", deadline=3) == 3000000


def test_typed_arguments_and_a_typed_result(place: Any, node: Node) -> None:
    def disk_plan(template: str, request: DiskRequest) -> DiskPlan:
        assert isinstance(request, DiskRequest)
        return DiskPlan(logical_id=[template, request.uuid], size=request.size)

    paths = place.identity(NODE)
    port = place.serve(paths, {"disk_plan": disk_plan})
    request = DiskRequest(instance="i", instance_uuid="u", uuid="d", index=0, size=64)
    with SyncNodeClient(paths, port=port) as client:
        plan = client.call(node, "disk_plan", template="file", request=request)
    assert plan == DiskPlan(logical_id=["file", "d"], size=64)


def test_arguments_may_be_called_as_the_client_calls_its_own(place: Any, node: Node) -> None:
    seen = []

    def instance_stop(hypervisor: str, name: str, force: bool, timeout: float) -> None:
        seen.append((hypervisor, name, force, timeout))

    paths = place.identity(NODE)
    port = place.serve(paths, {"instance_stop": instance_stop})
    with SyncNodeClient(paths, port=port) as client:
        client.call(node, "instance_stop", hypervisor="fake", name="i", force=False, timeout=3.0)
    assert seen == [("fake", "i", False, 3.0)]


def test_the_nodes_own_error_arrives_as_it_was(place: Any, node: Node) -> None:
    def disk_remove(disk: GuestDisk) -> None:
        raise BlockDeviceError(f"cannot remove {disk.uuid}: the pool is offline")

    paths = place.identity(NODE)
    port = place.serve(paths, {"disk_remove": disk_remove})
    disk = GuestDisk(uuid="d1", index=0, dev_type="file", logical_id=[], size=1)
    with (
        SyncNodeClient(paths, port=port) as client,
        pytest.raises(BlockDeviceError, match="cannot remove d1: the pool is offline"),
    ):
        client.call(node, "disk_remove", disk=disk)


def test_a_defect_arrives_as_one_line(place: Any, node: Node) -> None:
    def version() -> int:
        raise KeyError("boom")

    paths = place.identity(NODE)
    port = place.serve(paths, {"version": version})
    with (
        SyncNodeClient(paths, port=port) as client,
        pytest.raises(Exception, match="KeyError: 'boom'") as caught,
    ):
        client.call(node, "version")
    assert "\n" not in str(caught.value)


def test_an_answer_of_the_wrong_type_is_refused(place: Any, node: Node) -> None:
    def version() -> Any:
        return "three"

    paths = place.identity(NODE)
    port = place.serve(paths, {"version": version})
    with (
        SyncNodeClient(paths, port=port) as client,
        pytest.raises(RemoteError, match=f"node {NODE}, call version: the answer is not"),
    ):
        client.call(node, "version")


def test_a_missing_node_an_offline_node_and_an_unknown_call(place: Any) -> None:
    paths = place.identity(NODE)
    port = place.serve(paths, {})
    up = Node(name=NODE, primary_ip="127.0.0.1", uuid="a")
    offline = Node(name="node2.example.com", primary_ip="127.0.0.1", uuid="b", offline=True)
    with SyncNodeClient(paths, port=1) as client:
        with pytest.raises(RemoteError, match=r"port 1: Connection refused; is ganeti-noded"):
            client.call(up, "version")
        with pytest.raises(RemoteError, match=r"node2.example.com, call version: .*offline"):
            client.call(offline, "version")
        with pytest.raises(ProgrammerError, match="no node call 'nonsense'"):
            client.call(up, "nonsense")
    with (
        SyncNodeClient(paths, port=port) as client,
        pytest.raises(RemoteError, match="this node knows no call 'version'"),
    ):
        client.call(up, "version")


def test_many_nodes_at_once_and_one_failure_of_its_own(place: Any) -> None:
    def node_info(hypervisors: dict[str, Any], storage: list[StorageUnit]) -> Any:
        return {"bootid": "b"}

    names = ["node1.example.com", "node2.example.com"]
    first, second = (place.identity(name) for name in names)
    place.admit(second, first)
    ports = [place.serve(paths, {"node_info": node_info}) for paths in (first, second)]
    assert ports[0] != ports[1]
    nodes = [Node(name=name, primary_ip="127.0.0.1", uuid=name) for name in names]
    gone = Node(name="node3.example.com", primary_ip="127.0.0.1", uuid="gone", offline=True)
    with SyncNodeClient(first, port=ports[0]) as client:
        results = client.call_many([nodes[0], gone], "node_info", hypervisors={}, storage=[])
    assert results[names[0]].ok
    assert results[names[0]].value.bootid == "b"
    assert not results["gone"].ok
    assert "offline" in str(results["gone"].error)


def test_calls_to_one_node_overlap(place: Any, node: Node) -> None:
    both = threading.Barrier(2, timeout=20)

    def test_delay(duration: float) -> None:
        both.wait()

    paths = place.identity(NODE)
    port = place.serve(paths, {"test_delay": test_delay})

    async def calls() -> None:
        async with NodeClient(paths, port=port) as client:
            args = {"duration": 0}
            await asyncio.gather(*(client.call(node, "test_delay", args) for _ in range(2)))

    asyncio.run(calls())


def test_a_connection_that_was_closed_meanwhile_is_opened_again(place: Any, node: Node) -> None:
    paths = place.identity(NODE)
    port = place.serve(paths, {"version": version})
    with SyncNodeClient(paths, port=port) as client:
        assert client.call(node, "version") == 3000000
        server = place._servers.pop()
        place.run(server.close(grace=0))
        place._servers.append(server)
        with pytest.raises(RemoteError, match="Connection refused"):
            client.call(node, "version")


def test_a_replaced_certificate_is_taken_up(place: Any, node: Node) -> None:
    paths = place.identity(NODE)
    port = place.serve(paths, {"version": version})
    with SyncNodeClient(paths, port=port) as client:
        client.call(node, "version")
        time.sleep(0.01)
        place.identity(NODE)  # new key, new fingerprint, listed at once
        assert client.call(node, "version") == 3000000
