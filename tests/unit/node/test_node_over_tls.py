"""The calls as the daemon serves them: over TLS, with plugins that hang or misbehave."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from ganeti_kernel.errors import BlockDeviceError, ParameterError, RemoteError
from ganeti_kernel.node.registry import handlers
from ganeti_kernel.node.setup import Setup, set_up_node
from ganeti_kernel.objects.cluster import Node
from ganeti_kernel.objects.guest import Guest, GuestDisk
from ganeti_kernel.rpc import certificates
from ganeti_kernel.rpc.client import NodeClient
from ganeti_kernel.rpc.results import NodeInfo
from ganeti_kernel.rpc.server import NodeServer

NODE = Node(name="node1.example.com", primary_ip="127.0.0.1", uuid="n1")
Work = Callable[[NodeClient], Coroutine[Any, Any, None]]


def serve(node: Any, work: Work) -> None:
    authority = certificates.create_authority("c.example.com")
    own = certificates.issue_certificate(authority, NODE.name)
    setup = Setup(
        cluster_name="c.example.com",
        node_name=NODE.name,
        ca=authority.certificate.decode(),
        certificate=own.pem.decode(),
        master_fingerprint=certificates.fingerprint(own.certificate),
    )
    set_up_node(node.paths, setup)

    async def run() -> None:
        server = NodeServer(node.paths, handlers(node.context))
        port = await server.start("127.0.0.1", 0)
        try:
            async with NodeClient(node.paths, port=port) as client:
                await asyncio.wait_for(work(client), 60)
        finally:
            await server.close(grace=0)

    asyncio.run(run())


def test_a_disk_and_a_guest(node: Any, guest: Guest, disk: GuestDisk) -> None:
    async def work(client: NodeClient) -> None:
        request = {"instance": "i", "instance_uuid": "u", "uuid": "d0", "index": 0, "size": 8}
        args = {"template": "memory", "request": request}
        assert await client.call(NODE, "disk_check", args) == []
        plan = await client.call(NODE, "disk_plan", args)
        assert plan.logical_id == ["memory", "d0"]
        await client.call(NODE, "disk_create", {"disk": disk, "info": "x"})
        await client.call(NODE, "instance_start", {"guest": guest, "paused": False})
        listed = await client.call(NODE, "instances_list", {"hypervisors": {"memory": {}}})
        assert [state.name for state in listed["memory"]] == ["inst1"]
        info = await client.call(NODE, "node_info", {"hypervisors": {"memory": {}}, "storage": []})
        assert isinstance(info, NodeInfo)
        console = await client.call(NODE, "instance_console", {"guest": guest, "node": "n"})
        assert console.kind == "ssh"
        stop = {"hypervisor": "memory", "name": "inst1", "force": True, "timeout": 0}
        await client.call(NODE, "instance_stop", stop)
        await client.call(NODE, "disk_remove", {"disk": disk})
        assert await client.call(NODE, "disk_exists", {"disk": disk}) is False

    serve(node, work)


def test_a_template_that_hangs(node: Any, guest: Guest, disk: GuestDisk) -> None:
    gate = threading.Event()
    runs: list[str] = []
    plain = node.template.create

    def hang(disk: GuestDisk) -> None:
        runs.append(disk.uuid)
        gate.wait(30)
        plain(disk)

    node.template.create = hang

    async def work(client: NodeClient) -> None:
        args = {"disk": disk}
        for _ in range(2):
            with pytest.raises(RemoteError, match=r"disk_create of instance inst1 did not end"):
                await client.call(NODE, "disk_create", args, timeout=0.2)
        assert runs == ["d0"]  # the repetition joined what hangs
        assert await client.call(NODE, "disk_exists", args) is False
        await client.call(NODE, "disk_remove", args)  # not held up by what is past its deadline
        again = asyncio.ensure_future(client.call(NODE, "disk_create", args))
        await asyncio.sleep(0.1)
        gate.set()
        await again
        assert runs == ["d0"]
        assert await client.call(NODE, "disk_exists", args) is True

    try:
        serve(node, work)
    finally:
        gate.set()


def test_plugins_that_misbehave(node: Any, disk: GuestDisk) -> None:
    async def work(client: NodeClient) -> None:
        for failure, text in (
            (BlockDeviceError("the pool is full"), "^the pool is full$"),
            (ValueError("odd"), r"^disk template memory has a defect \(ValueError: odd\)"),
            (NotImplementedError(), "^disk template memory cannot do this: it lacks the feature$"),
        ):
            node.template.fail["create"] = failure
            with pytest.raises(BlockDeviceError, match=text):
                await client.call(NODE, "disk_create", {"disk": disk})
        with pytest.raises(ParameterError, match=r"arguments of disk_create: .*\$\.disk\.size"):
            await client.call(NODE, "disk_create", {"disk": {"uuid": "d", "size": "big"}})

    serve(node, work)


def test_commands_are_the_masters_alone(node: Any) -> None:
    async def work(client: NodeClient) -> None:
        args = {"ticket": "01234567", "command": "echo yes", "seconds": 20.0}
        for master, refused in (("node2.example.com", True), (NODE.name, False)):
            node.paths.ssconf("master_node").write_text(f"{master}\n")
            if refused:
                with pytest.raises(RemoteError, match="only the master node2"):
                    await client.call(NODE, "command_run", args)
            else:
                assert (await client.call(NODE, "command_run", args)).output == "yes\n"

    serve(node, work)
