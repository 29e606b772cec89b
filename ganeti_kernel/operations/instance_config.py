"""Steps that write an instance into the configuration and take it out again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ganeti_kernel.config import pools
from ganeti_kernel.config.changes import Draft
from ganeti_kernel.jobs.operation import JobContext, Step, step
from ganeti_kernel.objects import Disk, Instance, Network


def pool_addresses(draft: Draft, inst: Instance) -> Iterator[tuple[Network, str]]:
    """Addresses of the instance's NICs that lie in the pool of their network."""
    for nic in inst.nics:
        network = draft.view.networks.get(nic.network or "")
        if network is not None and nic.ip is not None and pools.contains(network, nic.ip):
            yield network, nic.ip


def take_addresses(draft: Draft, inst: Instance) -> None:
    """Mark the addresses of the instance's NICs in their networks."""
    for network, address in pool_addresses(draft, inst):
        if not pools.is_reserved(network, address, external=False):
            draft.put(pools.reserve(network, address, check=False))


def free_addresses(draft: Draft, inst: Instance) -> None:
    """Give the addresses of the instance's NICs back to their networks."""
    for network, address in pool_addresses(draft, inst):
        if pools.is_reserved(network, address, external=False):
            draft.put(pools.release(network, address))


@step
class AddInstance(Step):
    """Write a new instance with its disks. Arguments: instance, disks."""

    NAME = "config.add-instance"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        inst = msgspec.convert(args["instance"], Instance)
        disks = [msgspec.convert(disk, Disk) for disk in args["disks"]]
        context.log(f"adding instance {inst.name} to cluster config")

        def change(draft: Draft) -> None:
            if inst.uuid in draft.view.instances:
                return
            for disk in disks:
                draft.put(disk)
            take_addresses(draft, inst)
            draft.put(inst)

        context.update(change)

    def undo(self, context: JobContext, args: Mapping[str, Any]) -> None:
        _forget(context, args["instance"]["uuid"])


@step
class ForgetInstance(Step):
    """Take an instance out of the configuration. Arguments: uuid, name."""

    NAME = "config.remove-instance"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        context.log(f"removing instance {args['name']} out of cluster config")
        _forget(context, args["uuid"])


def _forget(context: JobContext, uuid: str) -> None:
    def change(draft: Draft) -> None:
        inst = draft.view.instances.get(uuid)
        if inst is None:
            return
        free_addresses(draft, inst)
        for disk in draft.view.instance_disks(inst):
            draft.delete(disk)
        draft.delete(inst)

    context.update(change)
