"""Whether a node can take an instance that exists already."""

from __future__ import annotations

from ganeti_kernel.errors import ECODE_INVAL, ECODE_STATE
from ganeti_kernel.jobs.operation import JobContext
from ganeti_kernel.objects import ConfigView, Instance, Node
from ganeti_kernel.operations import facts, finding, ipolicy


def check_disks(view: ConfigView, inst: Instance) -> None:
    """Every node must reach the disks: what would have to be copied is refused."""
    kinds = {disk.dev_type for disk in view.instance_disks(inst)} or {view.disk_template(inst)}
    for template in sorted(kinds):
        if "shared" not in facts.describe("disk_template", template).features:
            finding.refuse(
                f"instance {inst.name} cannot move: other nodes do not reach its disks (template "
                f"{template}), and copying them is not available yet",
                ECODE_STATE,
            )


def check_target(context: JobContext, inst: Instance, target: Node, *, any_size: bool) -> None:
    """Refuse a node that could not run the guest; `any_size` leaves the group's policy out."""
    if not any_size:
        _check_policy(context.view, inst, target)
    _check_nics(context, inst, target)
    problems = context.nodes.call(
        target,
        "hypervisor_check",
        hypervisor=inst.hypervisor,
        hvparams=context.view.fill_hv(inst),
    )
    if problems:
        finding.refuse(f"node {target.name}: {'; '.join(problems)}", ECODE_STATE)


def _check_policy(view: ConfigView, inst: Instance, target: Node) -> None:
    be, group = view.fill_be(inst), view.node_group(target)
    sizes = [disk.size for disk in view.instance_disks(inst)]
    template = view.disk_template(inst)
    problems = ipolicy.violations(
        ipolicy.policy_of(view, group),
        template,
        ipolicy.spec_of(be["maxmem"], be["vcpus"], sizes, len(inst.nics), be["spindle_use"]),
        no_disks="no-disks" in facts.describe("disk_template", template).features,
    )
    if problems:
        finding.refuse(
            f"instance {inst.name} violates the policy of group {group.name if group else '?'} of "
            f"node {target.name}: {'; '.join(problems)} (--ignore-ipolicy overrides)",
            ECODE_INVAL,
        )


def _check_nics(context: JobContext, inst: Instance, target: Node) -> None:
    view = context.view
    group = view.node_group(target)
    for nic in inst.nics:
        if nic.network and group is not None and nic.network not in group.networks:
            network = view.networks.get(nic.network)
            finding.refuse(
                f"network {network.name if network else nic.network} of instance {inst.name} is "
                f"not connected to node group {group.name}, which has node {target.name}; see "
                "gnt-network connect",
                ECODE_STATE,
            )
    modes = {str(view.fill_nic(nic)["mode"]) for nic in inst.nics}
    served = context.nodes.call(target, "nic_modes") if modes else []
    for mode in sorted(modes - set(served)):
        finding.refuse(
            f"node {target.name} does not serve NICs of mode {mode}, which {inst.name} has; "
            "install the mode's network script there",
            ECODE_STATE,
        )
