"""Moves of existing instances, as hail plans them: the best place of a kind, and the opcodes.

Raises `Refused` for a move that cannot be made.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .choosing import Refused, Rules, names_of
from .model import NO_NODE, Floats, Ints
from .moves import (
    ALLOWED,
    CPU_RATIO,
    DISK,
    LOW_DISK,
    MEMORY,
    MIGRATION,
    N1,
    SPINDLE_RATIO,
    SPINDLES,
    TAGS,
    ExactScorer,
    refusals,
)
from .opcodes import migrate, replace_secondary
from .state import State
from .steps import apply_move
from .words import MIRROR, TEMPLATES

#: What upstream calls the objections in `moves.REASONS`.
_FAILURE_OF = {
    MEMORY: "FailMem",
    DISK: "FailDisk",
    SPINDLES: "FailSpindles",
    LOW_DISK: "FailDisk",
    SPINDLE_RATIO: "FailDisk",
    CPU_RATIO: "FailCPU",
    N1: "FailMem",
    TAGS: "FailTags",
    MIGRATION: "FailMig",
}


def _last_best(scores: Floats) -> int:
    """The position of the lowest score, the last of equals."""
    return len(scores) - 1 - int(np.argmin(scores[::-1]))


class Mover:
    """Moves existing instances; changes its state as it goes."""

    def __init__(self, state: State, rules: Rules) -> None:
        self.state = state.copy()
        self.force = rules.ignore_soft_errors

    def _refusals(self, kind: str, inst: int, targets: Ints) -> Ints:
        """As `moves.refusals`; here a primary without memory left cannot get a new secondary."""
        insts = np.full(len(targets), inst)
        codes: Ints = refusals(self.state, kind, insts, targets, force=self.force).copy()
        if kind == "r" and self.state.umem[self.state.pnode[inst]] <= 0:
            codes[codes == ALLOWED] = MEMORY
        return codes

    def _best(self, kind: str, inst: int, targets: Ints, group: int) -> int:
        """The target with the best score of the group, the last of equals; raises `Refused`."""
        insts = np.full(len(targets), inst)
        codes = self._refusals(kind, inst, targets)
        good = targets[codes == ALLOWED]
        if not len(good):
            names = names_of(self.state, targets.tolist())
            reasons = "".join(
                f" Node {name} failed: {_FAILURE_OF[code]};"
                for name, code in zip(names, codes.tolist(), strict=True)
            )
            raise Refused(f"Can't find any good node: {reasons}")
        members = self.state.static.cluster.nodes.group == group
        scores = ExactScorer(self.state, members=members).scores(kind, insts[: len(good)], good)
        return int(good[_last_best(scores)])

    def to_best(self, kind: str, inst: int, targets: Ints, group: int) -> int:
        """Make the best move of a kind; raises `Refused` where there is none."""
        target = self._best(kind, inst, targets, group)
        apply_move(self.state, inst, kind, target)
        return target

    def fail_over(self, inst: int) -> None:
        code = refusals(self.state, "f", np.array([inst]), np.array([NO_NODE]), force=self.force)[0]
        if code != ALLOWED:
            raise Refused(_FAILURE_OF[int(code)])
        apply_move(self.state, inst, "f")

    def change_both(self, inst: int, targets: Ints, group: int) -> tuple[int, int]:
        """Give a mirrored instance two new nodes, the pair with the best score of the group.

        If its primary is offline it first fails over to its secondary.
        """
        best: tuple[float, State, int, int] | None = None
        start = self.state
        members = start.static.cluster.nodes.group == group
        reason = "no nodes available"
        nowhere = np.array([NO_NODE])
        for primary in targets.tolist():
            others = targets[targets != primary]
            if not len(others):
                continue
            self.state = start.copy()
            trial = self.state
            try:
                if start.static.offline[start.pnode[inst]]:
                    self._step("f", inst, nowhere, "Failing over to the secondary")
                    apply_move(trial, inst, "f")
                self._step("r", inst, np.array([primary]), "Changing secondary to new primary")
                apply_move(trial, inst, "r", primary)
                self._step("f", inst, nowhere, "Failing over to new primary")
                apply_move(trial, inst, "f")
                good = self._step("r", inst, others, "Changing secondary to final secondary")
            except Refused as err:
                reason = f"Allocation failed: {err}"
                continue
            scores = ExactScorer(trial, members=members).scores("r", np.full(len(good), inst), good)
            index = _last_best(scores)
            if best is None or scores[index] <= best[0]:
                final = trial.copy()
                apply_move(final, inst, "r", int(good[index]))
                best = (float(scores[index]), final, primary, int(good[index]))
        self.state = start
        if best is None:
            raise Refused(f"Can't find any good nodes for relocation: {reason}")
        self.state = best[1]
        return best[2], best[3]

    def _step(self, kind: str, inst: int, targets: Ints, what: str) -> Ints:
        """Those of ``targets`` that allow this step; raises `Refused` where none does."""
        codes = self._refusals(kind, inst, targets)
        good: Ints = targets[codes == ALLOWED]
        if not len(good):
            raise Refused(f"{what}: {_FAILURE_OF[int(codes[-1])]}")
        return good

    def evacuate(self, inst: int, mode: str, targets: Ints, group: int) -> list[dict[str, Any]]:
        """Free an instance's nodes; the opcodes for it. Raises `Refused`."""
        cluster = self.state.static.cluster
        name = cluster.instances.name[inst]
        template = TEMPLATES[int(cluster.instances.template[inst])]
        mirror = MIRROR[template]
        if mirror == "none":
            raise Refused(f"Instances of type {template} cannot be relocated")
        if mirror == "external":
            if mode == "secondary-only":
                raise Refused(
                    f"Instances with disk template '{template}' can't execute change secondary"
                )
            target = self.to_best("fa", inst, targets, group)
            return [migrate(name, cluster.nodes.name[target])]
        if mode == "primary-only":
            self.fail_over(inst)
            return [migrate(name)]
        if mode == "secondary-only":
            others = targets[targets != self.state.pnode[inst]]
            target = self.to_best("r", inst, others, group)
            return [replace_secondary(name, remote_node=cluster.nodes.name[target])]
        stranded = bool(self.state.static.offline[self.state.pnode[inst]])
        primary, secondary = self.change_both(inst, targets, group)
        return [
            *([migrate(name)] if stranded else []),
            replace_secondary(name, remote_node=cluster.nodes.name[primary]),
            migrate(name),
            replace_secondary(name, remote_node=cluster.nodes.name[secondary]),
        ]

    def where(self, inst: int) -> tuple[str, list[str]]:
        """Group and nodes of an instance, by name."""
        cluster = self.state.static.cluster
        nodes = [int(self.state.pnode[inst]), int(self.state.snode[inst])]
        group = cluster.groups[int(cluster.nodes.group[nodes[0]])].name
        return group, names_of(self.state, [node for node in nodes if node != NO_NODE])
