"""Creating instances."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ganeti_kernel.errors import ECODE_INVAL, ECODE_NOENT, ECODE_STATE
from ganeti_kernel.jobs.opcodes import OpInstanceCreate
from ganeti_kernel.jobs.operation import (
    ALL,
    Lock,
    Operation,
    Pick,
    StepPlan,
    operation,
)
from ganeti_kernel.objects import Disk, Guest, Instance, Nic, Node
from ganeti_kernel.objects.params import os_base
from ganeti_kernel.operations import allocation, facts, finding, ipolicy, nics, placement
from ganeti_kernel.operations import disks as disk_steps
from ganeti_kernel.operations.guests import build_guest
from ganeti_kernel.operations.hookenv import instance_environment
from ganeti_kernel.operations.instance_config import AddInstance
from ganeti_kernel.operations.instance_params import check_beparams, check_name
from ganeti_kernel.operations.instance_power import start_step
from ganeti_kernel.operations.os_install import InstallOs
from ganeti_kernel.paths import Paths
from ganeti_kernel.rpc.resolve import resolve
from ganeti_kernel.rpc.results import StorageUnit


@operation
class InstanceCreate(Operation[OpInstanceCreate]):
    """Create an instance. Whatever fails, nothing of it is left."""

    OPCODE = OpInstanceCreate
    HOOKS_PATH = "instance-add"
    KEPT = {"inst": Instance, "disks": list[Disk], "node": Node}
    OBJECT_TYPE = "INSTANCE"

    node: Node
    inst: Instance
    disks: list[Disk]

    def locks(self) -> Sequence[Lock]:
        view = self.context.view
        found = [Lock("instance", self.op.instance_name, exclusive=True)]
        if self.op.pnode is None and self.pick() is None:  # the allocator may choose any node
            found += placement.node_locks(ALL)
        for name in (self.op.pnode, self.op.snode):
            if name is not None:
                found += placement.node_locks(finding.node(view, name).uuid)
        names = {str(nic["network"]) for nic in self.op.nics if nic.get("network")}
        networks = [view.find_network(name) for name in sorted(names)]
        return [*found, *(Lock("network", item.uuid) for item in networks if item is not None)]

    def pick(self) -> Pick | None:
        """Opportunistic locking: nodes that are busy now are left out."""
        if not self.op.opportunistic_locking or self.op.pnode is not None:
            return None
        return placement.pick_nodes(self.context.view, self.op.group_name)

    # -- checks ----------------------------------------------------------------------------------

    def check(self) -> None:
        op = self.op
        self.check_wish()
        self.context.reservations.reserve("instance", "", op.instance_name)
        self.node = self._choose_node()
        self._check_os()
        self._check_hypervisor()
        self.requests = self._requests()
        self._check_policy()
        disk_steps.check_requests(self.context, self.node, self.template, self.requests)
        if op.start:
            memory = int(self._filled_be()["maxmem"])
            disk_steps.check_memory(
                self.context, self.node, self.hypervisor, memory, op.instance_name
            )
        self._build()

    def check_wish(self) -> None:
        """Refuse what can be refused without a node; what is said here, `wish` needs."""
        op = self.op
        if op.mode != "create":
            finding.refuse(f"instance creation mode '{op.mode}' is not available yet", ECODE_STATE)
        if op.forthcoming or op.commit:
            finding.refuse("reservations (--forthcoming, --commit) are not available yet")
        check_name(op.instance_name)
        finding.no_instance(self.context.view, op.instance_name)
        self.template = self._template()
        self.hypervisor = self._hypervisor()
        self.beparams = check_beparams(op.beparams)

    def _choose_node(self) -> Node:
        name = placement.allocator_name(self.context, self.op)
        if name is None:
            return placement.named_node(self.context, self.op)
        node = placement.allocate(
            self.context,
            name,
            self.wish(),
            self.storage(),
            self.hypervisor,
            opportunistic=self.op.opportunistic_locking,
        )
        placement.keep_only(self.context, node)
        return node

    def wish(self) -> dict[str, Any]:
        """What an allocator is asked for; after `check_wish`."""
        op, view = self.op, self.context.view
        networks = [view.find_network(str(nic["network"])) for nic in op.nics if nic.get("network")]
        return allocation.allocate_request(
            op.instance_name,
            template=self.template,
            hypervisor=self.hypervisor,
            os_name=op.os_type or "",
            be=self._filled_be(),
            disks=[
                {"size": disk_steps.parse_disk_size(index, disk), "mode": disk.get("mode", "rw")}
                for index, disk in enumerate(op.disks)
            ],
            nics=[{"network": item.uuid} for item in networks if item is not None],
            tags=op.tags,
            group=op.group_name,
            required_nodes=1,
        )

    def storage(self) -> StorageUnit:
        """The storage whose room counts; after `check_wish`."""
        description = facts.describe("disk_template", self.template)
        directory = facts.storage_directory(self.context.view.cluster, description)
        return StorageUnit(template=self.template, directory=directory)

    def _template(self) -> str:
        enabled = self.context.view.cluster.enabled_disk_templates
        template = self.op.disk_template or (enabled[0] if enabled else "")
        if template not in enabled:
            finding.refuse(
                f"Disk template '{template}' is not enabled in cluster. Enabled disk templates "
                f"are: {','.join(enabled)}"
            )
        features = facts.describe("disk_template", template).features
        if "no-disks" in features and self.op.disks:
            finding.refuse(f"disk template {template} takes no disks")
        if "no-disks" not in features and not self.op.disks:
            finding.refuse(f"disk template {template} needs disks: give --disk 0:size=SIZE")
        return template

    def _hypervisor(self) -> str:
        enabled = self.context.view.cluster.enabled_hypervisors
        name = self.op.hypervisor or enabled[0]
        if name not in enabled:
            finding.refuse(
                f"Selected hypervisor ({name}) not enabled in the cluster ({','.join(enabled)})",
                ECODE_STATE,
            )
        self.hvparams = facts.check_values("hypervisor", name, self.op.hvparams, "parameter")
        forbidden = [
            item.name
            for item in facts.describe("hypervisor", name).parameters
            if item.cluster_only and item.name in self.hvparams
        ]
        if forbidden:
            finding.refuse(f"hypervisor parameter '{forbidden[0]}' can only be set for the cluster")
        return name

    def _check_os(self) -> None:
        op = self.op
        if op.no_install and not op.os_type:
            return
        if not op.os_type:
            finding.refuse("No guest OS or OS image specified")
        if op.no_install:
            return
        public, private = self._osparams()
        problems = self.context.nodes.call(
            self.node,
            "os_check",
            name=op.os_type,
            osparams={**public, **private, **self.context.secrets},
            private=sorted({*private, *self.context.secrets}),
        )
        if problems:
            finding.refuse(
                f"OS '{op.os_type}' cannot be installed on node {self.node.name}: "
                f"{'; '.join(problems)}",
                ECODE_INVAL,
            )

    def _osparams(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Public and private parameters as the scripts get them, without the secret ones."""
        op, cluster = self.op, self.context.view.cluster
        own, secret = op.osparams_private or {}, self.context.secrets
        for layer, above in ((own, op.osparams), (secret, {**op.osparams, **own})):
            twice = sorted(set(layer) & set(above))
            if twice:
                finding.refuse(f"OS parameter '{twice[0]}' is given twice with unlike secrecy")
        known = cluster.osparams_private_cluster.get(os_base(op.os_type or ""), {})
        return self.context.view.fill_os(self._bare_instance()), {**known, **own}

    def _bare_instance(self) -> Instance:
        return Instance(uuid="", os=self.op.os_type or "", osparams=self.op.osparams)

    def _check_hypervisor(self) -> None:
        view = self.context.view
        bare = Instance(
            uuid="", os=self.op.os_type or "", hypervisor=self.hypervisor, hvparams=self.hvparams
        )
        problems = self.context.nodes.call(
            self.node,
            "hypervisor_check",
            hypervisor=self.hypervisor,
            hvparams=view.fill_hv(bare),
        )
        if problems:
            finding.refuse(
                f"node {self.node.name}: {'; '.join(problems)}; set it with -H {self.hypervisor}:…",
                ECODE_INVAL,
            )

    def _requests(self) -> list[Any]:
        op, view = self.op, self.context.view
        self.uuid = str(uuid.uuid4())
        description = facts.describe("disk_template", self.template)
        directory = facts.storage_directory(view.cluster, description)
        if op.file_storage_dir:
            if not directory:
                finding.refuse(f"--file-storage-dir does not go with template {self.template}")
            directory = f"{directory}/{_relative(op.file_storage_dir)}"
        if "user-parameters" not in description.features:
            for index, disk in enumerate(op.disks):
                if "provider" in disk:
                    finding.refuse(
                        f"disk {index}: a provider goes with template ext, not with {self.template}"
                    )
        return [
            disk_steps.make_request(
                view,
                self.node,
                (op.instance_name, self.uuid),
                self.template,
                index,
                disk,
                directory=directory,
                driver=op.file_driver or "loop",
            )
            for index, disk in enumerate(op.disks)
        ]

    def _filled_be(self) -> dict[str, Any]:
        return self.context.view.fill_be(Instance(uuid="", beparams=self.beparams))

    def _check_policy(self) -> None:
        be, view = self._filled_be(), self.context.view
        if be["minmem"] > be["maxmem"]:
            finding.refuse(f"minmem ({be['minmem']}) is larger than maxmem ({be['maxmem']})")
        if self.op.ignore_ipolicy:
            return
        group = view.node_group(self.node)
        spec = ipolicy.spec_of(
            be["maxmem"],
            be["vcpus"],
            [request.size for request in self.requests],
            len(self.op.nics),
            be["spindle_use"],
        )
        features = facts.describe("disk_template", self.template).features
        problems = ipolicy.violations(
            ipolicy.policy_of(view, group),
            self.template,
            spec,
            no_disks="no-disks" in features,
        )
        if problems:
            finding.refuse(
                f"Instance allocation to group {group.name if group else '?'} violates policy: "
                f"{'; '.join(problems)} (--ignore-ipolicy overrides)",
                ECODE_INVAL,
            )

    def _build(self) -> None:
        """Build the instance with its disks and NICs; its addresses are reserved from here on."""
        op = self.op
        self.disks = disk_steps.plan_disks(self.context, self.node, self.template, self.requests)
        self.inst = Instance(
            uuid=self.uuid,
            name=op.instance_name,
            primary_node=self.node.uuid,
            os=op.os_type or "",
            hypervisor=self.hypervisor,
            hvparams=self.hvparams,
            beparams=self.beparams,
            osparams=op.osparams,
            osparams_private=op.osparams_private or {},
            admin_state="up" if op.start else "down",
            nics=self._nics(),
            disks=[disk.uuid for disk in self.disks],
            disks_active=op.start,
            tags=list(op.tags),
        )

    # -- plan ------------------------------------------------------------------------------------

    def plan(self) -> Sequence[StepPlan]:
        op, view = self.op, self.context.view
        # The configuration's own times are set with the commit, after the guest is described.
        now = time.time()
        timed = msgspec.structs.replace(self.inst, ctime=now, mtime=now)
        guest = build_guest(view, timed, self.disks)
        steps = disk_steps.create_steps(view, self.node, self.inst.name, self.disks)
        steps.append(
            StepPlan(
                name=AddInstance.NAME,
                args={
                    "instance": msgspec.to_builtins(self.inst),
                    "disks": msgspec.to_builtins(self.disks),
                },
            )
        )
        if not op.no_install and self.disks:
            steps.append(self._install_step(guest))
        if op.start:
            steps.append(start_step(guest, self.node, paused=False, was_running=False))
        return steps

    def _nics(self) -> list[Nic]:
        group = self.context.view.node_group(self.node)
        if group is None:
            finding.refuse(f"node {self.node.name} is in no node group", ECODE_NOENT)
        address = None
        if self.op.name_check or self.op.ip_check:
            address = resolve(Paths.from_environment(), self.op.instance_name)[1]
        return nics.prepare(
            self.context,
            group,
            self.op.nics,
            conflicts_check=self.op.conflicts_check,
            own_address=address,
        )

    def _install_step(self, guest: Guest) -> StepPlan:
        public, private = self._osparams()
        return StepPlan(
            name=InstallOs.NAME,
            args={
                "node": disk_steps.node_argument(self.node),
                "guest": msgspec.to_builtins(guest),
                "osparams": {**public, **private},
                "private": sorted(private),
                "debug": int(self.op.debug_level or 0),
            },
        )

    def result(self, outcomes: Sequence[Any]) -> Any:
        return [self.node.name]

    def hooks_environment(self) -> Mapping[str, str]:
        return {
            "ADD_MODE": self.op.mode,
            **instance_environment(self.context.view, self.inst, self.disks),
        }

    def hooks_nodes(self) -> tuple[Sequence[Node], Sequence[Node]]:
        view = self.context.view
        uuids = dict.fromkeys([view.cluster.master_node, self.node.uuid])
        nodes = [view.nodes[item] for item in uuids if item in view.nodes]
        return nodes, nodes


def _relative(path: str) -> str:
    if path.startswith("/") or ".." in path.split("/"):
        finding.refuse(f"the storage directory '{path}' must be relative and without '..'")
    return path
