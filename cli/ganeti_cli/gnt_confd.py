"""gnt-confd: ask the configuration daemons."""

from __future__ import annotations

from typing import NoReturn

from ganeti_cli.app import Entry, Program, run

_HERE = "ganeti_cli.confd_queries"

PROGRAM = Program(
    "gnt-confd",
    {
        "candidate-ips": Entry(f"{_HERE}:candidate_ips", "Addresses of the master candidates."),
        "cluster-master": Entry(f"{_HERE}:cluster_master", "The master node, or its addresses."),
        "config-query": Entry(f"{_HERE}:config_query", "A value of the configuration, by path."),
        "data-collectors": Entry(f"{_HERE}:data_collectors", "Collectors: active, interval."),
        "instance-disks": Entry(f"{_HERE}:instance_disks", "An instance's disks."),
        "instance-ips": Entry(f"{_HERE}:instance_ips", "Instances' addresses on a link."),
        "node-drbd": Entry(f"{_HERE}:node_drbd", "DRBD minors of a node."),
        "node-instances": Entry(f"{_HERE}:node_instances", "Instances of a node."),
        "node-ip-by-instance-ip": Entry(f"{_HERE}:node_by_ip", "Who runs an address's instance."),
        "node-ips": Entry(f"{_HERE}:node_ips", "Addresses of all nodes."),
        "node-role": Entry(f"{_HERE}:node_role", "A node's role."),
        "ping": Entry(f"{_HERE}:ping", "Is a daemon there? The configuration's version."),
        "query": Entry(f"{_HERE}:query", "Any request type, by number or name."),
    },
    {"master": "cluster-master"},
    "Ask the configuration daemons of the cluster's master candidates.",
)


def main() -> NoReturn:
    run(PROGRAM)
