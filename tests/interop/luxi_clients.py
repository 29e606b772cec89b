"""What Debian's programs do over LUXI with our master daemon: a table that tests run.

`python -m tests.interop.luxi_clients` writes it to docs/protocols/luxi-clients.md.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Final, NamedTuple

PAGE: Final = Path(__file__).parents[2] / "docs" / "protocols" / "luxi-clients.md"


class Row(NamedTuple):
    """One command line and its result.

    `result`: "same" (exit code and output are those of our own command), "done" (exit code 0),
    "refused" (exit code 1), "outside" (not run: it does not go through LUXI). `text` is a pattern
    in its output, or the reason of "outside". With `opcode`, a version that has no such operation
    refuses by its name. `unordered`: upstream's lines about nodes come in another order each time.
    """

    command: str
    result: str
    text: str = ""
    opcode: str = ""
    unordered: bool = False

    @property
    def words(self) -> list[str]:
        return shlex.split(self.command)


def same(command: str, *, unordered: bool = False) -> Row:
    return Row(command, "same", unordered=unordered)


def done(command: str, text: str = "") -> Row:
    return Row(command, "done", text)


def refused(command: str, text: str) -> Row:
    return Row(command, "refused", text)


def needs(opcode: str, command: str) -> Row:
    return Row(command, "done", "", f"OP_{opcode}")


def outside(command: str, why: str) -> Row:
    return Row(command, "outside", why)


SSH = "upstream's client works on the machines itself, by ssh and its own files; use our command"
INNER = "talks to a daemon of upstream's that we do not have"
SILENT = "^$"
BURNIN = (
    "burnin -o noop -t file --disk-size 8m --disk-growth 0 --mem-size 32 --no-name-check "
    "--no-ip-check --no-replace1 --no-replace2 --no-failover --no-migrate --no-importexport "
)

TABLE: Final[dict[str, tuple[Row, ...]]] = {
    "gnt-cluster": (
        same("gnt-cluster getmaster"),
        same("gnt-cluster master-ping"),
        same("gnt-cluster show-ispecs-cmd"),
        done("gnt-cluster info", "Cluster name: cluster.example.com"),
        done("gnt-cluster version", "Software version: "),
        done("gnt-cluster verify", r"Verifying group 'default'"),
        done("gnt-cluster add-tags red blue"),
        same("gnt-cluster list-tags"),
        same("gnt-cluster search-tags e"),
        done("gnt-cluster remove-tags red blue"),
        refused("gnt-cluster remove-tags red", "Tag.s. 'red' not found"),
        done("gnt-cluster queue drain"),
        same("gnt-cluster queue info"),
        refused("gnt-debug delay 0.01", "marked for drain"),
        done("gnt-cluster queue undrain"),
        done("gnt-cluster watcher pause 1h", "paused until"),
        same("gnt-cluster watcher info"),
        done("gnt-cluster watcher continue", "no longer paused"),
        needs("CLUSTER_SET_PARAMS", "gnt-cluster modify --candidate-pool-size 9"),
        needs("CLUSTER_REDIST_CONF", "gnt-cluster redist-conf"),
        needs("CLUSTER_VERIFY_DISKS", "gnt-cluster verify-disks"),
        needs("CLUSTER_REPAIR_DISK_SIZES", "gnt-cluster repair-disk-sizes"),
        needs("CLUSTER_ACTIVATE_MASTER_IP", "gnt-cluster activate-master-ip"),
        needs("CLUSTER_DEACTIVATE_MASTER_IP", "gnt-cluster deactivate-master-ip --yes"),
        refused("gnt-cluster epo --on node2", "does not support out-of-band handling"),
        refused("gnt-cluster destroy", "--yes-do-it"),
        outside("gnt-cluster command true", SSH),
        outside("gnt-cluster copyfile /etc/hostname", SSH),
        outside("gnt-cluster init", SSH),
        outside("gnt-cluster rename", "takes the master daemon down itself; use our command"),
        outside("gnt-cluster renew-crypto", SSH),
        outside("gnt-cluster master-failover", SSH),
        outside("gnt-cluster upgrade", SSH),
    ),
    "gnt-node": (
        same("gnt-node list -o name,pinst_cnt,sinst_cnt,role,group"),
        same("gnt-node list --no-headers --separator=: -o name,master_candidate,offline node2"),
        same("gnt-node list -o name -F 'master_candidate and not offline'"),
        same("gnt-node list-fields"),
        same("gnt-node info"),
        same("gnt-node list nowhere"),
        done("gnt-node list", "node2.example.com"),
        done("gnt-node add-tags node2 red"),
        same("gnt-node list-tags node2"),
        done("gnt-node remove-tags node2 red"),
        done("gnt-node modify --drained=yes --auto-promote node2", "drained -> True"),
        done("gnt-node modify --drained=no node2", "drained -> False"),
        done("gnt-node modify -C no --auto-promote node2", "master_candidate -> False"),
        done("gnt-node modify -C yes node2", "master_candidate -> True"),
        refused("gnt-node modify -C no node1", "only via master-failover"),
        refused("gnt-node remove node1", "is the master node"),
        done("gnt-node evacuate -f node2", "No instances to evacuate"),
        done("gnt-node failover -f node2", "No primary instances"),
        done("gnt-node migrate -f node2", "No primary instances"),
        refused("gnt-node health", "unavail"),
        refused("gnt-node power status node2", "unavail"),
        same("gnt-node list-storage -o node,type,name,size,allocatable"),
        same("gnt-node volumes"),
        refused("gnt-node modify-storage --allocatable yes node2 lvm-pv x", "type 'lvm-pv'"),
        refused("gnt-node repair-storage node2 lvm-vg x", "type 'lvm-vg'"),
        refused("gnt-node restricted-command x node2", "Executing command 'x' failed"),
        outside("gnt-node list-drbd node2", "asks confd, not the master daemon"),
        outside("gnt-node powercycle node2", "asks before it does so, and cannot be told yes"),
        outside("gnt-node add node3", SSH),
    ),
    "gnt-group": (
        done("gnt-group add group2"),
        same("gnt-group list"),
        same("gnt-group list-fields"),
        done("gnt-group info", "Node group: group2|group2"),
        done("gnt-group modify --alloc-policy=last_resort group2", "last_resort"),
        done("gnt-group rename group2 group3"),
        done("gnt-group add-tags group3 red"),
        same("gnt-group list-tags group3"),
        done("gnt-group remove-tags group3 red"),
        done("gnt-group assign-nodes group3 node2"),
        refused("gnt-group remove group3", "not empty"),
        done("gnt-group assign-nodes default node2"),
        done("gnt-group evacuate group3", "evacuated successfully"),
        done("gnt-group show-ispecs-cmd group3", "gnt-group add"),
        done("gnt-group remove group3"),
        refused("gnt-group remove default", "not empty|only group"),
    ),
    "gnt-network": (
        done("gnt-network add --network=192.0.2.0/28 net1"),
        refused("gnt-network add --network=192.0.2.0/28 net1", "already exists"),
        same("gnt-network list"),
        same("gnt-network list-fields"),
        same("gnt-network info net1"),
        done("gnt-network connect -N mode=bridged,link=br0 net1 default"),
        done("gnt-network add-tags net1 red"),
        same("gnt-network list-tags net1"),
        done("gnt-network remove-tags net1 red"),
        done("gnt-network modify --gateway=192.0.2.1 net1"),
        refused("gnt-network remove net1", "disconnect first"),
        done("gnt-network disconnect net1 default"),
        done("gnt-network remove net1"),
    ),
    "gnt-instance": (
        done(
            "gnt-instance add -t file -s 8M -o noop -n node2 --no-name-check --no-ip-check inst1",
            "creating disk 0",
        ),
        same("gnt-instance list"),
        same("gnt-instance list -o +be/maxmem,disk.sizes,nic.macs"),
        same("gnt-instance list -F 'be/maxmem > 1000'"),
        same("gnt-instance list --units=m --separator=: inst1"),
        same("gnt-instance list-fields"),
        done("gnt-instance info inst1", "actual state is up"),
        done("gnt-instance info --static --all", "Instance name: inst1"),
        refused("gnt-instance list nowhere", "nowhere"),
        done("gnt-instance shutdown inst1", "shutting down"),
        same("gnt-instance list -o name,status"),
        done("gnt-instance startup inst1", "starting instance"),
        done("gnt-instance reboot --submit inst1", r"^\d+: inst1$"),
        done("gnt-job wait {job}"),
        done("gnt-job watch {job}", "starting instance"),
        same("gnt-instance console --show-cmd inst1"),
        done("gnt-instance add-tags inst1 red"),
        same("gnt-instance list-tags inst1"),
        done("gnt-instance remove-tags inst1 red"),
        needs("INSTANCE_ACTIVATE_DISKS", "gnt-instance activate-disks inst1"),
        needs("INSTANCE_DEACTIVATE_DISKS", "gnt-instance deactivate-disks inst1"),
        needs("INSTANCE_SET_PARAMS", "gnt-instance modify -B maxmem=256 inst1"),
        needs("INSTANCE_REINSTALL", "gnt-instance reinstall -f inst1"),
        needs("INSTANCE_GROW_DISK", "gnt-instance grow-disk inst1 0 8m"),
        needs("INSTANCE_MOVE", "gnt-instance move -f -n node1 inst1"),
        needs("INSTANCE_MIGRATE", "gnt-instance migrate -f inst1"),
        needs("INSTANCE_FAILOVER", "gnt-instance failover -f inst1"),
        needs("INSTANCE_REPLACE_DISKS", "gnt-instance replace-disks -p inst1"),
        needs("INSTANCE_RECREATE_DISKS", "gnt-instance recreate-disks inst1"),
        needs("INSTANCE_CHANGE_GROUP", "gnt-instance change-group inst1"),
        outside("gnt-instance rename inst1", "asks before it does so, and cannot be told yes"),
        refused("gnt-instance batch-create /dev/null", "Can't parse"),
        refused("gnt-instance batch-create -I nobody {batch}", "nobody"),
        done(
            "gnt-instance batch-create -I hail --dry-run {batch}",
            "places instance batch1 on node",
        ),
        done(
            "gnt-instance batch-create -I hail {batch}",
            r"(?s)creating disk 0.*All instances created successfully",
        ),
        done("gnt-instance remove -f --shutdown-timeout=1 batch1"),
        done("gnt-instance remove -f --shutdown-timeout=1 batch2"),
        needs("BACKUP_EXPORT", "gnt-backup export -n node1 inst1"),
        needs("BACKUP_REMOVE", "gnt-backup remove inst1"),
        refused(
            "gnt-backup import -t file -s 8M -n node1 --src-node node1 inst2",
            "'import' is not available yet|no export|not found",
        ),
        same("gnt-backup list"),
        same("gnt-backup list-fields"),
        same("gnt-os list"),
        same("gnt-os diagnose", unordered=True),
        same("gnt-os info"),
        needs("CLUSTER_SET_PARAMS", "gnt-os modify --hidden=no noop"),
        same("gnt-storage diagnose", unordered=True),
        same("gnt-storage info"),
        done("gnt-instance remove -f --shutdown-timeout=1 inst1", "removing instance"),
        refused("gnt-instance remove -f inst1", "not known"),
        refused("gnt-instance info --all", "No instances"),
    ),
    "gnt-job": (
        done("gnt-debug delay 0.01", SILENT),
        done("gnt-debug delay --submit 0.01", "JobID: "),
        same("gnt-job list"),
        same("gnt-job list -o id,status,summary,priority --no-headers"),
        same("gnt-job list-fields"),
        same("gnt-job info 1"),
        done("gnt-job watch 1"),
        done("gnt-job wait 1"),
        refused("gnt-job cancel 1", "has ended already"),
        refused("gnt-job change-priority --priority=low 1", "has ended already"),
        done("gnt-job archive 1"),
        done("gnt-job watch 1"),
        refused("gnt-job watch 9999", "not found"),
        done("gnt-job autoarchive all", "Archived"),
        refused("gnt-debug delay -n nowhere 0.01", "nowhere"),
        same("gnt-debug locks"),
        same("gnt-debug locks -o name,mode,owner,pending"),
        needs("TEST_ALLOCATOR", "gnt-debug iallocator --dir in --disks 8M -t file -o noop x"),
        needs("TEST_OS_PARAMS", "gnt-debug test-osparams --os-parameters-secret a=b"),
        done("gnt-debug test-jobqueue", "Job queue test successful"),
        outside("gnt-debug submit-job FILE", "as any other submission"),
        outside("gnt-debug wconfd", INNER),
        outside("gnt-debug metad", INNER),
    ),
    "gnt-filter": (
        done(
            "gnt-filter add --action REJECT --predicates "
            """'[["opcode", ["=", "OP_ID", "OP_TEST_DELAY"]]]'""",
            r"^[0-9a-f-]{36}$",
        ),
        same("gnt-filter list"),
        same("gnt-filter list-fields"),
        same("gnt-filter info"),
        refused("gnt-debug delay 0.01", "canceled"),
        done("gnt-filter replace --action ACCEPT {filter}"),
        done("gnt-debug delay 0.01"),
        done("gnt-filter delete {filter}"),
        same("gnt-filter list"),
    ),
    "balancing and burn-in": (
        done("hbal -L", "Cluster is empty"),
        done(
            f"{BURNIN} --no-move --no-reinstall --no-renamesame --no-activate-disks "
            "--no-add-disks --no-add-nics burn1",
            r"(?s)reboot with type 'hard'.*Node role for master: OK.*Removing instances",
        ),
        needs("INSTANCE_MOVE", f"{BURNIN} burn1"),
    ),
}


def render() -> str:
    """The page."""
    lines = [HEAD]
    for program, rows in TABLE.items():
        lines += [f"## {program}", "", "| command | result |", "|---|---|"]
        lines += [f"| `{row.command.replace('|', chr(92) + '|')}` | {told(row)} |" for row in rows]
        lines.append("")
    return "\n".join(lines)


def told(row: Row) -> str:
    if row.result == "outside":
        return f"not over LUXI: {row.text}"
    if row.opcode:
        return f"`{row.opcode}`; a version without that operation refuses by its name"
    words = {"same": "as our own command", "done": "done", "refused": "refused"}[row.result]
    readable = row.text if row.text.isascii() and not set(row.text) & set("^(\\") else ""
    return f"{words}: {readable}".replace("|", " or ") if readable else words


HEAD: Final = """\
# Upstream's programs as clients

Debian's packages of upstream 3.0 talk to our master daemon over LUXI (see luxi.md). Each command
below is run by `tests/interop/test_luxi_clients.py` on a cluster of two nodes, in this order, with
the result that the table says. *As our own command*: exit code and output are those of our command
of the same name, which may say more on standard error where upstream's is silent.

This page is made from the table in `tests/interop/luxi_clients.py`, by
`python -m tests.interop.luxi_clients`.

`burnin` runs whole with the moves, exports and changes of disks and NICs switched off. Without
`--no-move` and the like it stops at the first opcode for which there is no operation, says which,
and removes its instances.
"""

if __name__ == "__main__":
    PAGE.write_text(render())
