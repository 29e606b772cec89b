"""Which node a new instance goes to: the one that is named, or the one an allocator chooses."""

from __future__ import annotations

from ganeti_kernel.errors import ECODE_INVAL, ECODE_STATE
from ganeti_kernel.jobs.opcodes import OpInstanceCreate
from ganeti_kernel.jobs.operation import JobContext
from ganeti_kernel.objects import Node
from ganeti_kernel.operations import finding


def choose_node(context: JobContext, op: OpInstanceCreate) -> Node:
    """Return the primary node of a new instance; refuses, saying what to give."""
    if op.pnode is None:
        name = op.iallocator or context.view.cluster.default_iallocator
        if op.iallocator:
            finding.refuse(f"allocator '{name}' is not available yet; give -n NODE", ECODE_STATE)
        finding.refuse("no node is named; give -n NODE", ECODE_INVAL)
    if op.iallocator is not None:
        finding.refuse("a node and an allocator cannot both be given; leave -n or -I out")
    node = finding.usable_node(context.view, op.pnode)
    if op.snode is not None:
        finding.refuse("a secondary node goes only with mirrored disk templates")
    if op.group_name is not None and finding.group(context.view, op.group_name).uuid != node.group:
        finding.refuse(f"node {node.name} is not in node group {op.group_name}")
    return node
