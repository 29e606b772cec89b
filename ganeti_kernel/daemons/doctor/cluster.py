"""What the other nodes say: who is the master, which version they run."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from ganeti_kernel.daemons.doctor.report import ERROR, WARNING, Finding, Site
from ganeti_kernel.errors import GenericError
from ganeti_kernel.node.verify import reach
from ganeti_kernel.objects import Node
from ganeti_kernel.rpc.client import NodeClient, Result
from ganeti_kernel.version import PROTOCOL_VERSION, SOFTWARE_VERSION

VOTE_SECONDS: Final = 10.0


def check_peers(site: Site) -> Iterator[Finding]:
    """Candidates ask all nodes who the master is; others only see whether the master is there."""
    release = site.value("release_version")
    if release and release != SOFTWARE_VERSION:
        text = f"this node has version {SOFTWARE_VERSION}, the cluster {release}"
        yield Finding(ERROR, "versions", text, "install the cluster's version here")
    if not site.is_candidate:
        address = site.addresses.get(site.master)
        problem = reach(address) if address else None
        if problem is not None:
            text = f"the master {site.master} cannot be reached: {problem}"
            yield Finding(ERROR, "voting", text, "see whether it is down; then fail over")
        return
    offline = set(site.lines("offline_nodes"))
    nodes = [
        Node(uuid=name, name=name, primary_ip=address)
        for name, address in site.addresses.items()
        if name != site.name and name not in offline
    ]
    if nodes:
        masters, versions = asyncio.run(_ask(site, nodes))
        yield from votes(site, masters)
        yield from protocols(versions)


async def _ask(site: Site, nodes: list[Node]) -> tuple[Mapping[str, Result], Mapping[str, Result]]:
    try:
        async with NodeClient(site.paths) as client:
            return (
                await client.call_many(nodes, "master_node", timeout=VOTE_SECONDS),
                await client.call_many(nodes, "version", timeout=VOTE_SECONDS),
            )
    except GenericError as error:  # this node's own certificate cannot be used
        silent = {node.uuid: Result(ok=False, error=error) for node in nodes}
        return silent, silent


def votes(site: Site, answers: Mapping[str, Result]) -> Iterator[Finding]:
    """Judge the answers; this node's own opinion counts as one vote."""
    opinions = Counter([site.master])
    for name, answer in sorted(answers.items()):
        if answer.ok:
            opinions[answer.value] += 1
        else:
            text = f"{name} does not answer: {answer.error}"
            yield Finding(WARNING, "voting", text, f"look at it: gnt-cluster doctor on {name}")
    total = len(answers) + 1
    best, count = opinions.most_common(1)[0]
    for other, number in sorted(opinions.items()):
        if other != site.master:
            text = f"{number} of {total} nodes take {other} for the master, this one {site.master}"
            advice = "gnt-cluster redist-conf on the right one tells all"
            yield Finding(ERROR, "voting", text, advice)
    if count * 2 <= total:
        text = f"no majority: {count} of {total} nodes name {best}"
        yield Finding(ERROR, "voting", text, "bring nodes back before ganeti-masterd is started")


def protocols(answers: Mapping[str, Result]) -> Iterator[Finding]:
    for name, answer in sorted(answers.items()):
        if answer.ok and answer.value != PROTOCOL_VERSION:
            text = f"{name} speaks protocol {answer.value}, this node {PROTOCOL_VERSION}"
            yield Finding(ERROR, "versions", text, "install one version on all nodes")
