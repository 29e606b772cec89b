"""gnt-cluster: the cluster as a whole."""

from __future__ import annotations

from typing import NoReturn

from ganeti_cli.app import Entry, Program, run

PROGRAM = Program(
    "gnt-cluster",
    {
        "activate-master-ip": Entry(
            "ganeti_cli.cluster_address:activate", "Bring the cluster's address up."
        ),
        "add-tags": Entry("ganeti_cli.tags:add_cluster", "Add tags."),
        "list-tags": Entry("ganeti_cli.tags:list_cluster", "List tags."),
        "remove-tags": Entry("ganeti_cli.tags:remove_cluster", "Remove tags."),
        "search-tags": Entry("ganeti_cli.tags:search", "Find tags by a pattern."),
        "command": Entry("ganeti_cli.cluster_nodes:command", "Run a command on the nodes."),
        "config-history": Entry(
            "ganeti_cli.cluster_history:config_history", "Show earlier configurations, or go back."
        ),
        "copyfile": Entry("ganeti_cli.cluster_nodes:copyfile", "Copy a file to the nodes."),
        "deactivate-master-ip": Entry(
            "ganeti_cli.cluster_address:deactivate", "Take the cluster's address down."
        ),
        "destroy": Entry("ganeti_cli.cluster_life:destroy", "End an empty cluster."),
        "doctor": Entry("ganeti_cli.cluster_doctor:doctor", "See what is wrong with this node."),
        "epo": Entry("ganeti_cli.cluster_epo:epo", "Switch nodes off in an emergency, and on."),
        "export-config": Entry("ganeti_cli.cluster_config:export_config", "Write config.data."),
        "getmaster": Entry("ganeti_cli.cluster:getmaster", "Show the master node."),
        "import-config": Entry("ganeti_cli.cluster_config:import_config", "Take a config.data."),
        "info": Entry("ganeti_cli.cluster_info:info", "Show the cluster's settings."),
        "init": Entry("ganeti_cli.cluster_life:init", "Make a cluster of this machine."),
        "renew-crypto": Entry(
            "ganeti_cli.cluster_crypto:renew_crypto", "Renew keys and certificates."
        ),
        "master-failover": Entry(
            "ganeti_cli.cluster_failover:master_failover", "Make this node the master."
        ),
        "master-ping": Entry("ganeti_cli.cluster_state:master_ping", "See if the master answers."),
        "modify": Entry("ganeti_cli.cluster_modify:modify", "Change the cluster's settings."),
        "queue": Entry("ganeti_cli.cluster_state:queue", "Drain the job queue, or undrain it."),
        "redist-conf": Entry(
            "ganeti_cli.cluster_address:redist_conf", "Send the configuration to all nodes again."
        ),
        "rename": Entry("ganeti_cli.cluster_address:rename", "Rename the cluster."),
        "repair-disk-sizes": Entry(
            "ganeti_cli.cluster_disks:repair_disk_sizes", "Record the real sizes of disks."
        ),
        "show-ispecs-cmd": Entry(
            "ganeti_cli.cluster_ispecs:show_ispecs", "Show the options of the instance policy."
        ),
        "watcher": Entry("ganeti_cli.cluster_state:watcher", "Pause the watcher, or continue it."),
        "verify": Entry("ganeti_cli.cluster:verify", "Look for anything that is wrong."),
        "upgrade": Entry("ganeti_cli.cluster_upgrade:upgrade", "Go over to new software."),
        "verify-disks": Entry(
            "ganeti_cli.cluster_disks:verify_disks", "Find broken disks and activate them again."
        ),
        "version": Entry("ganeti_cli.cluster:version", "Show versions of software and formats."),
    },
    {"masterfailover": "master-failover", "show": "info"},
    "Manage the cluster.",
)


def main() -> NoReturn:
    run(PROGRAM)
