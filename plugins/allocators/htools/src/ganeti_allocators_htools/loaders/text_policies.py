"""The policies' section of the text data format: the cluster's, then those of groups."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, replace

from ganeti_allocators_htools.errors import LoadError, shown_list
from ganeti_allocators_htools.model import Cluster, Group, IPolicy, ISpec, MinMax
from ganeti_allocators_htools.numbers import parse_float, parse_int, show_float
from ganeti_allocators_htools.words import SPEC_NAMES, TEMPLATES, choice


def _spec(text: str, where: str) -> ISpec:
    parts = text.split(",")
    if len(parts) != len(SPEC_NAMES):
        raise LoadError(f"Invalid ispec data for {where}: {shown_list(parts)}")
    labels = (f"{where}/{name.replace('-', '')}" for name in SPEC_NAMES)
    return ISpec(*map(parse_int, parts, labels))


def _policy(line: str) -> tuple[str, IPolicy]:
    parts = line.split("|")
    if len(parts) != 6:
        raise LoadError(f"Invalid ipolicy data: '{shown_list(parts)}'")
    owner, std, ranges, templates, vcpu_ratio, spindle_ratio = parts
    standard = _spec(std, f"{owner}/stdspec")
    texts = ranges.split(";")
    if len(texts) % 2:
        raise LoadError(f"Odd number of min/max specs for {owner}")
    minmax = tuple(
        MinMax(_spec(low, f"{owner}/minspec"), _spec(high, f"{owner}/maxspec"))
        for low, high in zip(texts[::2], texts[1::2], strict=True)
    )
    names = templates.split(",") if templates else ()
    allowed = tuple(choice(name, TEMPLATES, "DiskTemplate") for name in names)
    return owner, IPolicy(
        standard,
        minmax,
        allowed,
        parse_float(vcpu_ratio, f"{owner}/vcpu_ratio"),
        parse_float(spindle_ratio, f"{owner}/spindle_ratio"),
    )


def parse(lines: Sequence[str], groups: Iterable[Group]) -> tuple[IPolicy, tuple[Group, ...]]:
    """The cluster's policy and the groups with theirs; raises `LoadError`."""
    cluster = IPolicy()
    own: dict[str, IPolicy] = {}
    names = {group.name for group in groups}
    for line in lines:
        owner, policy = _policy(line)
        if owner == "":
            cluster = policy
        elif owner in names:
            own[owner] = policy
        else:
            raise LoadError(f"Wrong number of elems found with name {owner}")
    with_own = (replace(group, policy=own.get(group.name, IPolicy())) for group in groups)
    return cluster, tuple(with_own)


def _spec_text(spec: ISpec) -> str:
    return ",".join(map(str, astuple(spec)))


def _policy_line(owner: str, policy: IPolicy) -> str:
    ranges = ";".join(
        f"{_spec_text(limits.min)};{_spec_text(limits.max)}" for limits in policy.minmax
    )
    return "|".join(
        (
            owner,
            _spec_text(policy.std),
            ranges,
            ",".join(policy.templates),
            show_float(policy.vcpu_ratio),
            show_float(policy.spindle_ratio),
        )
    )


def lines(cluster: Cluster) -> list[str]:
    """The section's lines."""
    own = [_policy_line(group.name, group.policy) for group in cluster.groups]
    return [_policy_line("", cluster.policy), *own]
