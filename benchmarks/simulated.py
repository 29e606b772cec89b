"""Many nodes in one process: real certificates, real servers, addresses of their own on loopback.

Used by benchmarks and tests that want a cluster larger than this machine can run. Every node
answers what listings ask; some can be slow, accept a connection and stay silent, or not be there.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ganeti_kernel.config.bootstrap import initial_view
from ganeti_kernel.objects import ConfigView, Disk, Instance, Nic, Node
from ganeti_kernel.paths import Paths
from ganeti_kernel.rpc import certificates, trust
from ganeti_kernel.rpc.results import NodeInfo
from ganeti_kernel.rpc.server import NodeServer, make_handler
from ganeti_kernel.specs.disk_template import StorageSpace
from ganeti_kernel.specs.hypervisor import InstanceState, NodeResources

GIB: Final = 1024


def node_name(number: int) -> str:
    return f"node{number}.example.com"


def node_address(number: int) -> str:
    """Any address of 127.0.0.0/8 is this machine's."""
    return f"127.77.{number >> 8}.{number & 255}"


def configuration(nodes: int, instances: int) -> ConfigView:
    """A cluster of simulated nodes, with instances dealt out evenly; node 1 is the master."""
    view = initial_view(
        cluster_name="cluster.example.com",
        node_name=node_name(1),
        primary_ip=node_address(1),
        master_ip="127.0.0.1",
        hvparams={"fake": {}},
        enabled_hypervisors=["fake"],
        enabled_disk_templates=["diskless"],
        now=time.time(),
    )
    first = view.nodes[view.cluster.master_node]
    machines: dict[str, Node] = {first.uuid: first}
    for number in range(2, nodes + 1):
        uuid = f"uuid-of-node-{number}"
        machines[uuid] = Node(
            uuid=uuid,
            name=node_name(number),
            primary_ip=node_address(number),
            secondary_ip=node_address(number),
            group=first.group,
            master_candidate=False,
        )
    uuids = list(machines)
    guests: dict[str, Instance] = {}
    disks: dict[str, Disk] = {}
    for number in range(instances):
        node = uuids[number % nodes]
        disk = Disk(
            uuid=f"d{number}",
            dev_type="file",
            logical_id=["loop", f"/srv/ganeti/file-storage/{number}"],
            size=GIB,
            nodes=[node],
            iv_name="disk/0",
        )
        mac = f"aa:00:00:00:{number >> 8:02x}:{number & 255:02x}"
        guest = Instance(
            uuid=f"i{number}",
            name=f"inst{number}.example.com",
            primary_node=node,
            hypervisor="fake",
            admin_state="up",
            nics=[Nic(uuid=f"n{number}", mac=mac)],
            disks=[disk.uuid],
        )
        guests[guest.uuid], disks[disk.uuid] = guest, disk
    return ConfigView(
        cluster=view.cluster,
        nodes=machines,
        nodegroups=view.nodegroups,
        instances=guests,
        disks=disks,
        version=view.version,
        serial_no=view.serial_no,
        ctime=view.ctime,
        mtime=view.mtime,
    )


@dataclass(frozen=True)
class Ill:
    """Which nodes are not well, by number. `seconds`: how long the slow ones take."""

    slow: Collection[int] = ()
    silent: Collection[int] = ()
    dead: Collection[int] = ()
    seconds: float = 1.0


def set_up(root: Path, nodes: int) -> Paths:
    """Certificates of all nodes below `root`; returns the master's paths."""
    authority = certificates.create_authority("cluster.example.com")
    master = Paths(root / node_name(1))
    for number in range(1, nodes + 1):
        paths = Paths(root / node_name(number))
        paths.data_dir.mkdir(parents=True)
        paths.log_dir.mkdir(parents=True, exist_ok=True)
        own = certificates.issue_certificate(authority, node_name(number), node_address(number))
        paths.node_certificate.write_bytes(own.pem)
        paths.ca_file.write_bytes(authority.certificate)
        candidates = f"uuid={trust.own_fingerprint(master)}"
        paths.ssconf(trust.CANDIDATES_KEY).write_text(candidates)
    return master


def answers(guests: Sequence[Instance], wait: float) -> dict[str, Any]:
    """The calls that a simulated node serves; `wait`: seconds before each answer."""
    resources = NodeResources(
        memory_total=64 * GIB, memory_free=32 * GIB, memory_dom0=GIB, cpu_total=16
    )
    space = StorageSpace(name="/srv", total=1000 * GIB, free=500 * GIB)
    states = [InstanceState(name=guest.name, memory=128, vcpus=1) for guest in guests]

    def node_info(hypervisors: dict[str, Any], storage: list[Any]) -> NodeInfo:
        time.sleep(wait)
        known = dict.fromkeys(hypervisors, resources)
        return NodeInfo(bootid="simulated", hypervisors=known, storage=[space] * len(storage))

    def instances_list(hypervisors: dict[str, Any]) -> dict[str, list[InstanceState]]:
        time.sleep(wait)
        return {name: states if name == "fake" else [] for name in hypervisors}

    def ssconf_write(values: dict[str, str]) -> None:
        pass

    def config_write(content: str) -> None:
        pass

    def candidate_leave() -> None:
        pass

    functions = (node_info, instances_list, ssconf_write, config_write, candidate_leave)
    return {item.__name__: make_handler(item.__name__, item) for item in functions}


@contextlib.asynccontextmanager
async def serving(
    root: Path, view: ConfigView, port: int = 0, ill: Ill | None = None
) -> AsyncIterator[int]:
    """Serve all nodes of the configuration; gives the port, the same on every address."""
    ill = ill or Ill()
    numbers = {node.name: number for number, node in enumerate(view.nodes.values(), 1)}
    async with contextlib.AsyncExitStack() as stack:
        for uuid, node in view.nodes.items():
            number = numbers[node.name]
            if number in ill.silent:
                server = await asyncio.start_server(_silence, node.primary_ip, port)
                stack.callback(server.close)
            elif number not in ill.dead:
                guests = view.primary_instances.get(uuid, [])
                wait = ill.seconds if number in ill.slow else 0.0
                peer = NodeServer(Paths(root / node.name), answers(guests, wait))
                port = await peer.start(node.primary_ip, port)
                stack.push_async_callback(peer.close, 0.0)
        yield port


async def _silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take what comes and say nothing until the other side gives up."""
    with contextlib.suppress(ConnectionError):
        while await reader.read(65536):
            pass
    writer.close()


async def _main(root: Path, nodes: int, instances: int, port: int) -> None:
    async with serving(root, configuration(nodes, instances), port) as bound:
        print(bound, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]), *map(int, sys.argv[2:5])))
