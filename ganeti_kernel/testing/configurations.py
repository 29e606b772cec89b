"""Configurations in upstream's shape, small and odd or large and plain, for tests."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

Json = dict[str, Any]

STAMP = 1700000000.5
LINKS = ("br0", "br1", "100")


class Maker:
    """Makes objects with reproducible identifiers."""

    def __init__(self, seed: int = 1) -> None:
        self.rng = random.Random(seed)

    def uuid(self) -> str:
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

    def common(self, tags: Sequence[str] | None = (), serial: int = 1) -> Json:
        out: Json = {"ctime": STAMP, "mtime": STAMP, "uuid": self.uuid(), "serial_no": serial}
        return out if tags is None else out | {"tags": list(tags)}

    def node(self, name: str, ip: str, group: str, **more: Any) -> Json:
        return {
            "name": name,
            "primary_ip": ip,
            "secondary_ip": ip,
            "master_candidate": True,
            "offline": False,
            "drained": False,
            "group": group,
            "master_capable": True,
            "vm_capable": True,
            "ndparams": {},
            "powered": True,
            **self.common(),
            **more,
        }

    def group(self, name: str, **more: Any) -> Json:
        return {
            "name": name,
            "members": [],
            "ndparams": {},
            "alloc_policy": "preferred",
            "ipolicy": {},
            "diskparams": {},
            "networks": {},
            **self.common(),
            **more,
        }

    def nic(self, ip: str | None = None, **more: Any) -> Json:
        octets = ":".join(f"{self.rng.getrandbits(8):02x}" for _ in range(3))
        out: Json = {"mac": f"aa:00:00:{octets}", "nicparams": {}, "uuid": self.uuid(), **more}
        return out if ip is None else out | {"ip": ip}

    def disk(self, dev_type: str, logical_id: list[Any], **more: Any) -> Json:
        return {
            "logical_id": logical_id,
            "dev_type": dev_type,
            "children": [],
            "nodes": [],
            "iv_name": "disk/0",
            "size": 1024,
            "mode": "rw",
            "params": {},
            **self.common(None),
            **more,
        }

    def drbd(self, first: str, second: str, minors: tuple[int, int], **more: Any) -> Json:
        """A DRBD disk on two LVM volumes."""
        nodes = [first, second]
        volumes = [
            self.disk("plain", ["xenvg", f"{self.uuid()}.disk0_{part}"], nodes=nodes)
            for part in ("data", "meta")
        ]
        ident = [first, second, 11000 + minors[0], *minors, "0" * 40]
        return self.disk("drbd", ident, children=volumes, nodes=nodes, **more)

    def instance(self, name: str | None, primary: str, **more: Any) -> Json:
        named = {} if name is None else {"name": name}
        return {
            **named,
            "primary_node": primary,
            "os": "debootstrap+default",
            "hypervisor": "fake",
            "hvparams": {},
            "beparams": {"minmem": 128, "maxmem": 256, "vcpus": 2},
            "osparams": {"size": "small"},
            "osparams_private": {"rootpw": "hush"},
            "admin_state": "up",
            "admin_state_source": "admin",
            "nics": [],
            "disks": [],
            "disks_active": True,
            **self.common(),
            **more,
        }

    def network(self, name: str, **more: Any) -> Json:
        return {
            "name": name,
            "network": "192.0.2.0/28",
            "gateway": "192.0.2.1",
            "reservations": "0" * 16,
            "ext_reservations": "1" + "0" * 14 + "1",
            **self.common(),
            **more,
        }


def configuration(
    template: Json,
    *,
    nodes: Iterable[Json],
    groups: Iterable[Json],
    instances: Iterable[Json] = (),
    disks: Iterable[Json] = (),
    networks: Iterable[Json] = (),
    serial: int = 1,
    cluster: Json | None = None,
) -> Json:
    """Put objects into a configuration; the first node is the master.

    `template` is a real configuration, of which the cluster's own settings are taken.
    """
    machines = list(nodes)

    def table(items: Iterable[Json]) -> Json:
        return {item["uuid"]: item for item in sorted(items, key=lambda item: str(item["uuid"]))}

    own = template["cluster"] | {"master_node": machines[0]["uuid"]} | (cluster or {})
    return {
        "version": template["version"],
        "cluster": own,
        "nodes": table(machines),
        "nodegroups": table(groups),
        "instances": table(instances),
        "networks": table(networks),
        "disks": table(disks),
        "filters": {},
        "ctime": STAMP,
        "mtime": STAMP,
        "serial_no": serial,
    }


def plain_cluster(template: Json, instances: int, nodes: int = 40, serial: int = 1) -> Json:
    """A cluster as sites run them: DRBD instances with one address each, spread over its nodes."""
    make = Maker()
    group = make.group("default")
    machines = [
        make.node(
            f"node{index + 1}.example.com",
            f"10.1.{index // 250}.{index % 250 + 1}",
            group["uuid"],
            master_candidate=index < 10,
        )
        for index in range(nodes)
    ]
    disks, guests = [], []
    minors = [0] * nodes
    for index in range(instances):
        first = index % nodes
        second = (first + 1 + index // nodes % (nodes - 1)) % nodes
        pair = (minors[first], minors[second])
        minors[first] += 1
        minors[second] += 1
        disks.append(make.drbd(machines[first]["uuid"], machines[second]["uuid"], pair))
        guests.append(
            make.instance(
                f"inst{index + 1}.example.com",
                machines[first]["uuid"],
                nics=[make.nic(f"10.{100 + (index >> 16)}.{index >> 8 & 255}.{index & 255}")],
                disks=[disks[-1]["uuid"]],
            )
        )
    return configuration(
        template, nodes=machines, groups=[group], instances=guests, disks=disks, serial=serial
    )
