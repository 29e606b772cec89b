"""Finding objects by what a user wrote, or refusing with the name of what is missing."""

from __future__ import annotations

from typing import NoReturn

from ganeti_kernel.errors import ECODE_EXISTS, ECODE_INVAL, ECODE_NOENT, ECODE_STATE, OpPrereqError
from ganeti_kernel.objects import ConfigView, Instance, Network, Node, NodeGroup


def refuse(text: str, code: str = ECODE_INVAL) -> NoReturn:
    """Raise OpPrereqError."""
    raise OpPrereqError(text, code)


def node(view: ConfigView, name: str) -> Node:
    found = view.find_node(name)
    if found is None:
        refuse(f"Node '{name}' not known", ECODE_NOENT)
    return found


def group(view: ConfigView, name: str) -> NodeGroup:
    found = view.find_group(name)
    if found is None:
        refuse(f"Group '{name}' not known", ECODE_NOENT)
    return found


def instance(view: ConfigView, name: str) -> Instance:
    found = view.find_instance(name)
    if found is None:
        refuse(f"Instance '{name}' not known", ECODE_NOENT)
    return found


def network(view: ConfigView, name: str) -> Network:
    found = view.find_network(name)
    if found is None:
        refuse(f"Network '{name}' not found", ECODE_NOENT)
    return found


def usable_node(view: ConfigView, name: str) -> Node:
    """A node that may take a new instance: not offline, not drained, vm_capable."""
    found = node(view, name)
    if found.offline:
        refuse(f"Can't use offline node {found.name}", ECODE_STATE)
    if found.drained:
        refuse(f"Can't use drained node {found.name}", ECODE_STATE)
    if not found.vm_capable:
        refuse(f"Can't use non-vm_capable node {found.name}", ECODE_STATE)
    return found


def primary_node(view: ConfigView, inst: Instance) -> Node:
    """The instance's primary node; refuses when the configuration has none."""
    found = view.nodes.get(inst.primary_node)
    if found is None:
        refuse(f"instance {inst.name} names a primary node that is not in the cluster", ECODE_STATE)
    return found


def online_primary(view: ConfigView, inst: Instance) -> Node:
    """The primary node, which must be online."""
    found = primary_node(view, inst)
    if found.offline:
        refuse(f"Can't use offline node {found.name}, the primary of {inst.name}", ECODE_STATE)
    return found


def no_instance(view: ConfigView, name: str) -> None:
    """Refuse a name that an instance has already."""
    if any(inst.name == name for inst in view.instances.values()):
        refuse(f"Instance '{name}' is already in the cluster", ECODE_EXISTS)
    if any(item.name == name for item in view.nodes.values()):
        refuse(f"'{name}' is the name of a node", ECODE_EXISTS)
