"""Tables and lines the programs print; layout is upstream's (release 3.0)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from .model import NO_NODE, Bools, IPolicy, ISpec
from .numbers import fixed, show_float
from .score import WEIGHTS
from .state import State

#: Haskell-style names in the policy shown by ``-v -v``, by template.
_TEMPLATE_NAMES = {
    "diskless": "DTDiskless",
    "file": "DTFile",
    "sharedfile": "DTSharedFile",
    "plain": "DTPlain",
    "blockdev": "DTBlock",
    "drbd": "DTDrbd8",
    "rbd": "DTRbd",
    "ext": "DTExt",
    "gluster": "DTGluster",
}


def table(rows: Sequence[Sequence[str]], right: Sequence[bool], prefix: str) -> str:
    """Rows with aligned columns, each line with ``prefix``, joined by newlines."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ]
        lines.append(prefix + " ".join(cells))
    return "\n".join(lines)


class NodeField(NamedTuple):
    """A column of the node list."""

    title: str
    right: bool
    show: Callable[[State, int], str]


def _mib(row: str) -> Callable[[State, int], str]:
    return lambda state, node: str(int(getattr(state, row)[node]))


def _load(row: str) -> Callable[[State, int], str]:
    return lambda state, node: fixed(float(getattr(state, row)[node]), 3)


def _status(state: State, node: int) -> str:
    if state.static.offline[node]:
        return "-"
    return "*" if state.fails_n1[node] else " "


def _fraction(part: float, whole: float, decimals: int) -> str:
    if whole == 0:
        return "NaN" if part == 0 else fixed(float("inf") * part, 0)
    return fixed(part / whole, decimals)


def _numbers(values: Sequence[int]) -> str:
    return "[" + ",".join(map(str, values)) + "]"


def _primary_tags(state: State, node: int) -> str:
    names = state.static.exclusion_tags
    counts = state.ptags[node].tolist()
    return ",".join(f"{name}={count}" for name, count in zip(names, counts, strict=True) if count)


def _peers(state: State, node: int) -> str:
    pairs = [(int(memory), peer) for peer, memory in enumerate(state.peers[node]) if memory > 0]
    return "[" + ",".join(f"({peer},{memory})" for memory, peer in sorted(pairs)[::-1]) + "]"


#: Fields of ``--print-nodes``.
NODE_FIELDS: dict[str, NodeField] = {
    "idx": NodeField("Index", True, lambda state, node: str(node)),
    "name": NodeField("Name", False, lambda s, n: s.static.cluster.nodes.alias[n]),
    "fqdn": NodeField("Name", False, lambda s, n: s.static.cluster.nodes.name[n]),
    "status": NodeField("F", False, _status),
    "tmem": NodeField("t_mem", True, lambda s, n: fixed(float(s.static.cluster.nodes.tmem[n]), 0)),
    "nmem": NodeField("n_mem", True, lambda s, n: str(s.static.cluster.nodes.nmem[n])),
    "imem": NodeField("i_mem", True, _mib("imem")),
    "xmem": NodeField("x_mem", True, lambda s, n: str(int(s.static.xmem[n]))),
    "fmem": NodeField("f_mem", True, lambda s, n: str(s.static.cluster.nodes.fmem[n])),
    "umem": NodeField("u_mem", True, _mib("umem")),
    "rmem": NodeField("r_mem", True, _mib("rmem")),
    "tdsk": NodeField(
        "t_dsk", True, lambda s, n: fixed(float(s.static.cluster.nodes.tdsk[n]) / 1024, 0)
    ),
    "fdsk": NodeField("f_dsk", True, lambda s, n: str(int(s.fdsk[n]) // 1024)),
    "tcpu": NodeField("pcpu", True, lambda s, n: fixed(float(s.static.cluster.nodes.tcpu[n]), 0)),
    "ucpu": NodeField("vcpu", True, _mib("ucpu")),
    "pcnt": NodeField("pcnt", True, _mib("npri")),
    "scnt": NodeField("scnt", True, _mib("nsec")),
    "plist": NodeField("primaries", True, lambda s, n: _numbers(_real(s, s.plist[n]))),
    "slist": NodeField("secondaries", True, lambda s, n: _numbers(_real(s, s.slist[n]))),
    "pfmem": NodeField(
        "p_fmem",
        True,
        lambda s, n: _fraction(float(s.umem[n]), float(s.static.cluster.nodes.tmem[n]), 4),
    ),
    "pfdsk": NodeField("p_fdsk", True, lambda s, n: fixed(float(s.pdsk[n]), 4)),
    "rcpu": NodeField(
        "r_cpu",
        True,
        lambda s, n: _fraction(float(s.ucpu[n]), float(s.static.cluster.nodes.tcpu[n]), 2),
    ),
    "cload": NodeField("lCpu", True, _load("cload")),
    "mload": NodeField("lMem", True, _load("mload")),
    "dload": NodeField("lDsk", True, _load("dload")),
    "nload": NodeField("lNet", True, _load("nload")),
    "ptags": NodeField("PrimaryTags", False, _primary_tags),
    "peermap": NodeField("PeerMap", False, _peers),
    "spindle_count": NodeField(
        "NodeSpindles", True, lambda s, n: str(s.static.cluster.nodes.spindles[n])
    ),
    "hi_spindles": NodeField(
        "MaxSpindles", True, lambda s, n: show_float(float(s.static.hi_spindles[n]))
    ),
    "inst_spindles": NodeField("InstSpindles", True, lambda s, n: show_float(float(s.isp[n]))),
}
DEFAULT_NODE_FIELDS = (
    "status", "name", "tmem", "nmem", "imem", "xmem", "fmem", "umem", "rmem", "tdsk", "fdsk",
    "tcpu", "ucpu", "pcnt", "scnt", "pfmem", "pfdsk", "rcpu", "cload", "mload", "dload", "nload",
)  # fmt: skip
_UNKNOWN = NodeField("<unknown field>", False, lambda state, node: "<unknown field>")


def _real(state: State, insts: Sequence[int]) -> list[int]:
    return [inst for inst in insts if state.static.real[inst]]


def node_list(state: State, fields: Sequence[str], members: Bools | None = None) -> str:
    """The node table; ``fields`` as given to ``--print-nodes`` (a leading + adds to the usual)."""
    wanted = list(fields) or DEFAULT_NODE_FIELDS
    if wanted[0].startswith("+"):
        wanted = [*DEFAULT_NODE_FIELDS, wanted[0][1:], *wanted[1:]]
    columns = [NODE_FIELDS.get(name, _UNKNOWN) for name in wanted]
    numbers = [n for n in range(len(state.static.offline)) if members is None or members[n]]
    # upstream sorts the list by name
    numbers.sort(key=lambda n: state.static.cluster.nodes.name[n])
    rows = [[column.title for column in columns]]
    rows += [[column.show(state, number) for column in columns] for number in numbers]
    return table(rows, [column.right for column in columns], " ")


_INSTANCE_TITLES = (
    "F", "Name", "Pri_node", "Sec_node", "Auto_bal", "vcpu", "mem", "dsk",
    "lCpu", "lMem", "lDsk", "lNet",
)  # fmt: skip


def instance_list(state: State) -> str:
    """The table of ``--print-instances``."""
    cluster = state.static.cluster
    insts, nodes = cluster.instances, cluster.nodes
    rows: list[list[str]] = [list(_INSTANCE_TITLES)]
    for number, name in enumerate(insts.alias):
        pnode, snode = int(state.pnode[number]), int(state.snode[number])
        rows.append(
            [
                "R" if insts.running[number] else " ",
                name,
                nodes.alias[pnode],
                nodes.alias[snode] if snode != NO_NODE else "",
                "Y" if insts.auto_balance[number] else "N",
                str(insts.vcpus[number]),
                f"{insts.mem[number]:5d}",
                f"{insts.dsk[number] // 1024:5d}",
                *(fixed(value, 3) for value in insts.util[number].tolist()),
            ]
        )
    return table(rows, [False] * 5 + [True] * 7, " ")


def metrics_table(values: dict[str, float], prefix: str = "   ") -> str:
    """Each metric with its value and weight."""
    rows = [["Field", "Value", "Weight"]]
    for name, value in values.items():
        rows.append([name, fixed(value, 8), f"x{fixed(WEIGHTS[name], 2)}"])
    return table(rows, [False, True, True], prefix)


def _spec(spec: ISpec) -> str:
    return (
        f"ISpec {{iSpecMemorySize = {spec.mem}, iSpecCpuCount = {spec.cpu}, iSpecDiskSize ="
        f" {spec.disk}, iSpecDiskCount = {spec.disk_count}, iSpecNicCount = {spec.nic_count},"
        f" iSpecSpindleUse = {spec.spindle_use}}}"
    )


def policy_text(policy: IPolicy) -> str:
    """A policy as upstream shows it."""
    ranges = ",".join(
        f"MinMaxISpecs {{minMaxISpecsMinSpec = {_spec(limits.min)},"
        f" minMaxISpecsMaxSpec = {_spec(limits.max)}}}"
        for limits in policy.minmax
    )
    templates = ",".join(_TEMPLATE_NAMES[name] for name in policy.templates)
    return (
        f"IPolicy {{iPolicyMinMaxISpecs = [{ranges}], iPolicyStdSpec = {_spec(policy.std)},"
        f" iPolicyDiskTemplates = [{templates}],"
        f" iPolicyVcpuRatio = {show_float(policy.vcpu_ratio)},"
        f" iPolicySpindleRatio = {show_float(policy.spindle_ratio)}}}"
    )
