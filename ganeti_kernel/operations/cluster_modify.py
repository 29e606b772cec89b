"""Changing the cluster's settings (OP_CLUSTER_SET_PARAMS)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from ganeti_kernel.config.changes import Draft
from ganeti_kernel.errors import ECODE_INVAL
from ganeti_kernel.jobs.opcodes import OpClusterSetParams
from ganeti_kernel.jobs.operation import (
    ALL,
    JobContext,
    Lock,
    Operation,
    Step,
    StepPlan,
    operation,
    step,
)
from ganeti_kernel.objects import Cluster
from ganeti_kernel.objects.params import fill
from ganeti_kernel.operations import (
    candidates,
    cluster_params,
    cluster_settings,
    communication,
    finding,
    master_ip,
)
from ganeti_kernel.operations.diagnose import usable_nodes
from ganeti_kernel.operations.disks import node_argument
from ganeti_kernel.operations.submitting import SubmitJobs, submitted

PARAMETERS = Lock("cluster", "[parameters]", exclusive=True)
"""Held by whoever changes the cluster object beyond its tags."""

ADDRESS_FIELDS = ("master_netdev", "master_netmask", "use_external_mip_script")


@step
class SetCluster(Step):
    """Change fields of the cluster. Arguments: fields, before (the same fields' old values)."""

    NAME = "config.cluster-fields"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        _set_fields(context, args["fields"])

    def undo(self, context: JobContext, args: Mapping[str, Any]) -> None:
        _set_fields(context, args["before"])


def _set_fields(context: JobContext, fields: Mapping[str, Any]) -> None:
    def change(draft: Draft) -> None:
        draft.replace_cluster(**fields)

    context.update(change)


def set_cluster(cluster: Cluster, fields: Mapping[str, Any]) -> StepPlan:
    """A step that changes fields of the cluster; undone, they have their values of now."""
    before = {name: getattr(cluster, name) for name in fields}
    args = {"fields": dict(fields), "before": before}
    return StepPlan(name=SetCluster.NAME, args=msgspec.to_builtins(args))


@operation
class ClusterSetParams(Operation[OpClusterSetParams]):
    """Change the cluster's settings; all of them or none.

    Returns None, or {"jobs": [[went well, id or error]]} where a network has to be made.
    """

    OPCODE = OpClusterSetParams
    HOOKS_PATH = "cluster-modify"

    def locks(self) -> Sequence[Lock]:
        asked = cluster_settings.given(self.op)
        locks = [PARAMETERS]
        if {"enabled_hypervisors", "enabled_disk_templates", "nicparams"} & set(asked):
            # No instance may begin to use meanwhile what is taken away.
            locks.append(Lock("instance", ALL))
        if "candidate_pool_size" in asked:
            locks.append(Lock("node", ALL, exclusive=True))
        if set(ADDRESS_FIELDS) & set(asked):
            locks.append(master_ip.MASTER_ADDRESS)
        return locks

    def check(self) -> None:
        view, old = self.context.view, self.context.view.cluster
        self.asked = cluster_settings.given(self.op)
        changed = dict(cluster_settings.new_fields(view, self.asked, self.context.log))
        self.fields = {name: new for name, new in changed.items() if new != getattr(old, name)}
        self.after = msgspec.structs.replace(old, **self.fields)
        hypervisors, templates = (
            changed.get(name, []) for name in ("enabled_hypervisors", "enabled_disk_templates")
        )
        cluster_params.check_unused(view, hypervisors, templates)
        if {"ipolicy", "enabled_disk_templates"} & set(self.fields) or _directories(self.fields):
            cluster_params.check_templates(view, self.after)
        self._check_nodes()
        self._check_os()
        self._tell_of_policy()
        self.promoted: dict[str, str] = {}
        if "candidate_pool_size" in self.asked:
            size = self.after.candidate_pool_size
            self.promoted = candidates.promotable(self.context, view.nodes.values(), size)

    # -- what nodes say --------------------------------------------------------------------------

    def _check_nodes(self) -> None:
        """Have every node look at hypervisor parameters that are new to it."""
        problems: list[str] = []
        for title, hypervisor, values in self._changed_hypervisors():
            nodes = usable_nodes(self.context.view)
            answers = self.context.nodes.call_many(
                nodes, "hypervisor_check", hypervisor=hypervisor, hvparams=values
            )
            for node in nodes:
                answer = answers[node.uuid]
                found = answer.value if answer.ok else [str(answer.error)]
                problems += [f"node {node.name}, {title}: {text}" for text in found]
        if problems and not self.op.force:
            finding.refuse(f"{'; '.join(problems)} (--force takes it all the same)", ECODE_INVAL)
        for problem in problems:
            self.context.warn(problem)

    def _changed_hypervisors(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        old, new = self.context.view.cluster, self.after
        for name in new.enabled_hypervisors:
            values = new.hvparams.get(name, {})
            if name not in old.enabled_hypervisors or values != old.hvparams.get(name):
                yield f"hypervisor {name}", name, values
            for os_name, items in new.os_hvp.items():
                own = items.get(name)
                if own and own != old.os_hvp.get(os_name, {}).get(name):
                    yield f"hypervisor {name} with OS {os_name}", name, fill(values, own)

    def _check_os(self) -> None:
        """Have the master node look at OS parameters."""
        names = {*self.asked.get("osparams", ()), *self.asked.get("osparams_private_cluster", ())}
        if not names or not self.master:
            return
        master = self.master[0]
        present = {item.name for item in self.context.nodes.call(master, "os_diagnose")}
        for name in sorted(names):
            if name.partition("+")[0] not in present:
                self.context.warn(
                    f"OS {name} is not on node {master.name}; its parameters are not checked"
                )
                continue
            public = self.after.osparams.get(name, {})
            private = self.after.osparams_private_cluster.get(name, {})
            problems = self.context.nodes.call(
                master, "os_check", name=name, osparams=public | private, private=sorted(private)
            )
            if problems:
                finding.refuse(f"OS {name}: {'; '.join(problems)}", ECODE_INVAL)

    def _tell_of_policy(self) -> None:
        view = self.context.view
        if not {"ipolicy", "beparams"} & set(self.fields):
            return
        before = set(cluster_params.violators(view, view.cluster))
        broken = sorted(set(cluster_params.violators(view, self.after)) - before)
        if broken:
            self.context.warn(
                "after this change these instances violate the instance policy: "
                f"{', '.join(broken)}"
            )

    # -- plan ------------------------------------------------------------------------------------

    def plan(self) -> Sequence[StepPlan]:
        view = self.context.view
        steps: list[StepPlan] = []
        if self.fields:
            steps.append(set_cluster(view.cluster, self.fields))
        else:
            self.context.log("Nothing to change: the cluster is so already")
        if set(ADDRESS_FIELDS) & set(self.fields) and self.master and self.after.master_netdev:
            old = master_ip.settings(view.cluster) if view.cluster.master_netdev else None
            new = master_ip.settings(self.after)
            args = {"node": node_argument(self.master[0]), "old": old, "new": new}
            steps.append(StepPlan(name=master_ip.MoveMasterIp.NAME, args=args))
        steps += self._promotion()
        network = self.asked.get("instance_communication_network")
        if jobs := communication.setting_up(view, network or ""):
            steps.append(StepPlan(name=SubmitJobs.NAME, args={"jobs": [jobs]}))
        return steps

    def _promotion(self) -> Sequence[StepPlan]:
        if not self.promoted:
            return []
        view = self.context.view
        fields = {uuid: {"master_candidate": True} for uuid in self.promoted}
        for uuid in self.promoted:
            self.context.log(f"Promoted node {view.nodes[uuid].name} to master candidate role")
        args = candidates.set_nodes_args(view, fields, self.promoted)
        return [StepPlan(name=candidates.SetNodes.NAME, args=args)]

    def result(self, outcomes: Sequence[Any]) -> Any:
        return submitted(outcomes)

    def hooks_environment(self) -> Mapping[str, str]:
        return {
            "OP_TARGET": self.context.view.cluster.cluster_name,
            "NEW_VG_NAME": self.op.vg_name or "",
        }


def _directories(fields: Mapping[str, Any]) -> bool:
    return any(name.endswith("_storage_dir") for name in fields)


__all__ = ["PARAMETERS", "ClusterSetParams", "SetCluster", "set_cluster"]
