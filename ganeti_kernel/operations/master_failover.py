"""Making this master candidate the master, whether the old one lives or not.

In this order, so that it can be cut off anywhere and begun again: the old master's daemons are
stopped where they can be reached; every node is made to obey a new epoch, candidates first, from
when on the old master can acknowledge nothing more; this node's copy of the state becomes its
store; the nodes are told. Jobs that were running are brought to their end by the new master daemon,
as after a restart.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ganeti_kernel.config import datafile
from ganeti_kernel.config.replica import read_epoch
from ganeti_kernel.config.ssconf import is_candidate, read_ssconf, ssconf_values
from ganeti_kernel.errors import ECODE_INVAL, ECODE_STATE, ConfigurationError, OpPrereqError
from ganeti_kernel.objects import Cluster, ConfigView, Node
from ganeti_kernel.paths import Paths
from ganeti_kernel.rpc import voting
from ganeti_kernel.rpc.sync import SyncNodeClient
from ganeti_kernel.rpc.trust import own_fingerprint, read_authority
from ganeti_kernel.store.opening import open_store

Say = Callable[[str], None]

ASK_SECONDS: Final = 10.0
TELL_SECONDS: Final = 10.0
STOP_SECONDS: Final = 60.0
LOOKS: Final = 5
LOOK_PAUSE: Final = 0.5
"""A living master commits while the nodes are asked: what differs is looked at again."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A fail-over that may be carried out. `doubts`: why a vote would not have allowed it."""

    view: ConfigView
    node: Node
    states: voting.States
    epoch: int
    with_jobs: bool
    doubts: Sequence[str] = ()
    resumed: bool = False
    """The store is in place already: an earlier attempt was cut off."""


class Failover:
    """One attempt; a context manager. `say` gets progress, `warn` what could not be done."""

    def __init__(self, paths: Paths, name: str, say: Say, warn: Say) -> None:
        self._paths = paths
        self._name = name
        self._say = say
        self._warn = warn
        self._nodes = SyncNodeClient(paths)

    def close(self) -> None:
        self._nodes.close()

    def plan(self, *, by_vote: bool = True, ignore_offline: bool = False) -> Plan:
        """Look whether this node may become master. Raises OpPrereqError with all that speaks
        against it; without `by_vote` only with what makes it impossible."""
        view, node = self._candidate()
        states = self._ask(view, ignore_offline)
        own = states.get(self._name)
        if own is None:
            raise OpPrereqError(
                "the node daemon of this node does not answer; start it with `daemon-util start "
                "ganeti-noded`",
                ECODE_STATE,
            )
        old = view.master.name if view.master else ""
        # A replaced master that has not been told yet names itself, too, but has no store any more.
        if own.master == self._name and (own.serving or self._paths.store_file.exists()):
            return self._resume(view, node, states, serving=own.serving)
        stale = voting.staleness(states, self._name)
        for _ in range(LOOKS):
            if not stale:
                break
            time.sleep(LOOK_PAUSE)
            states = self._ask(view, ignore_offline)
            stale = voting.staleness(states, self._name)
        doubts = [*voting.candidate_problems(states, self._name, old), *stale]
        if doubts and by_vote:
            raise OpPrereqError(
                f"node {self._name} cannot become master: {'; '.join(doubts)}. Make those nodes "
                "answer, or run this on a node that is up to date; --no-voting takes over all the "
                "same, and loses what this node does not have",
                ECODE_STATE,
            )
        return Plan(
            view=view,
            node=node,
            states=states,
            epoch=voting.next_epoch(states),
            with_jobs=not stale,
            doubts=doubts,
        )

    def _candidate(self) -> tuple[ConfigView, Node]:
        cluster = read_ssconf(self._paths, "cluster_name")
        try:
            view = datafile.load(self._paths.config_file)
        except ConfigurationError as error:
            raise OpPrereqError(
                f"node {self._name} is no master candidate of cluster {cluster}: {error}",
                ECODE_STATE,
            ) from None
        node = view.find_node(self._name)
        known = view.cluster.candidate_certs
        if node is None or not is_candidate(view, node.uuid) or node.uuid not in known:
            names = sorted(view.nodes[uuid].name for uuid in view.nodes if is_candidate(view, uuid))
            raise OpPrereqError(
                f"node {self._name} is no master candidate; candidates are {', '.join(names)}",
                ECODE_STATE,
            )
        read_authority(self._paths)  # a master must have it
        if own_fingerprint(self._paths) not in known.values():
            raise OpPrereqError(
                f"the certificate of node {self._name} is not on the list of candidates' "
                "certificates: no node would obey it",
                ECODE_STATE,
            )
        return view, node

    def _resume(
        self, view: ConfigView, node: Node, states: voting.States, *, serving: bool
    ) -> Plan:
        if serving:
            raise OpPrereqError(
                f"node {self._name} is the master already; run this on the candidate that is to "
                "become it",
                ECODE_INVAL,
            )
        store = open_store(self._paths)
        try:
            epoch = read_epoch(store)
        finally:
            store.close()
        text = voting.replaced_by(states, epoch)
        if text is not None:
            raise OpPrereqError(text, ECODE_STATE)
        return Plan(view=view, node=node, states=states, epoch=epoch, with_jobs=True, resumed=True)

    def _ask(self, view: ConfigView, ignore_offline: bool) -> voting.States:
        nodes = [node for node in view.nodes.values() if not (ignore_offline and node.offline)]
        answers = self._nodes.call_many(nodes, "master_state", deadline=ASK_SECONDS)
        return {node.name: answers[node.uuid].value for node in nodes}

    def execute(self, plan: Plan) -> ConfigView:
        """Carry the plan out up to the start of the master daemon; returns the configuration."""
        self._nodes.epoch = plan.epoch
        if plan.resumed:
            self._say("the state of an earlier attempt is in place; going on")
        else:
            self._stop_old(plan)
            self._fence(plan)
            self._say("taking over the state")
            done = self._nodes.call(
                plan.node, "replica_promote", epoch=plan.epoch, with_jobs=plan.with_jobs
            )
            what = f"{done.jobs} jobs to bring to their end" if plan.with_jobs else "no jobs"
            self._say(f"this node has configuration {done.serial} and {what}")
        view = datafile.load(self._paths.config_file)
        self._say("telling the nodes")
        args = {"values": ssconf_values(view)}
        self._tell([node for node in _reachable(plan) if node != plan.node], "ssconf_write", args)
        return view

    def _stop_old(self, plan: Plan) -> None:
        old = plan.view.master
        if old is None or plan.states.get(old.name) is None:
            name = old.name if old else "the old master"
            self._warn(f"{name} cannot be reached; its daemons are not stopped")
            return
        self._say(f"stopping the master daemons on {old.name}")
        answer = self._nodes.call_many([old], "master_stop", deadline=STOP_SECONDS)[old.uuid]
        if not answer.ok:
            self._warn(f"the master daemons on {old.name} were not stopped: {answer.error}")
        elif answer.value:
            self._say(f"ended on {old.name}: {', '.join(answer.value)}")
        self.address(plan.view.cluster, old, up=False)

    def _fence(self, plan: Plan) -> None:
        """Have every node obey the new epoch, then look whether a candidate got more meanwhile."""
        self._say(f"this is epoch {plan.epoch}; no older master is obeyed from here on")
        nodes = _reachable(plan)
        candidates = [node for node in nodes if is_candidate(plan.view, node.uuid)]
        self._tell(candidates, "master_obey", {})
        self._tell([node for node in nodes if node not in candidates], "master_obey", {})
        stale = voting.staleness(self._ask(plan.view, ignore_offline=True), self._name)
        if stale and plan.with_jobs:
            raise OpPrereqError(
                f"node {self._name} is not up to date any more: {'; '.join(stale)}; run this on "
                "that node",
                ECODE_STATE,
            )

    def _tell(self, nodes: Sequence[Node], name: str, args: Mapping[str, Any]) -> None:
        answers = self._nodes.call_many(nodes, name, deadline=TELL_SECONDS, **args)
        for node in nodes:
            if not answers[node.uuid].ok:
                self._warn(str(answers[node.uuid].error))

    def address(self, cluster: Cluster, node: Node, *, up: bool) -> None:
        """Bring the cluster's address up on a node, or take it down."""
        name = "master_ip_start" if up else "master_ip_stop"
        if not cluster.master_netdev:
            return
        self._tell(
            [node],
            name,
            {
                "ip": cluster.master_ip,
                "netdev": cluster.master_netdev,
                "netmask": cluster.master_netmask,
                "script": cluster.use_external_mip_script,
            },
        )


@contextlib.contextmanager
def failover(paths: Paths, name: str, say: Say, warn: Say) -> Iterator[Failover]:
    """A fail-over to node `name`, this one."""
    attempt = Failover(paths, name, say, warn)
    try:
        yield attempt
    finally:
        attempt.close()


def _reachable(plan: Plan) -> list[Node]:
    """The nodes that answered, those marked offline left out."""
    return [
        node
        for node in plan.view.nodes.values()
        if plan.states.get(node.name) is not None and not node.offline
    ]
