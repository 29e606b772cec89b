"""What `gnt-cluster verify` reports: findings with upstream's codes, and their lines. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

CODES: Final = {
    "ECLUSTERCFG": "cluster",
    "ECLUSTERCERT": "cluster",
    "ECLUSTERFILECHECK": "cluster",
    "ECLUSTERDANGLINGNODES": "node",
    "ECLUSTERDANGLINGINST": "instance",
    "EINSTANCEBADNODE": "instance",
    "EINSTANCEDOWN": "instance",
    "EINSTANCEMISSINGDISK": "instance",
    "EINSTANCEPOLICY": "instance",
    "EINSTANCEWRONGNODE": "instance",
    "ENODEFILECHECK": "node",
    "ENODEHOOKS": "node",
    "ENODEHV": "node",
    "ENODENET": "node",
    "ENODEORPHANINSTANCE": "node",
    "ENODEOS": "node",
    "ENODERPC": "node",
    "ENODESETUP": "node",
    "ENODETIME": "node",
    "ENODEVERSION": "node",
}
"""Error code -> kind of object it is about (upstream 3.0; those that are looked for so far)."""


class Finding(NamedTuple):
    """Something that is wrong (or, as a warning, worth knowing). `item` names the object."""

    code: str
    item: str
    text: str
    warning: bool = False


def line(finding: Finding, *, codes: bool, ignored: Collection[str]) -> str:
    """The line of a finding; an ignored code is only a warning."""
    severity = "WARNING" if finding.warning or finding.code in ignored else "ERROR"
    kind = CODES[finding.code]
    if codes:
        return f"  - {severity}:{finding.code}:{kind}:{finding.item}:{finding.text}"
    item = f" {finding.item}" if finding.item else ""
    return f"  - {severity}: {kind}{item}: {finding.text}"


def is_error(finding: Finding, ignored: Collection[str]) -> bool:
    return not finding.warning and finding.code not in ignored
