"""The command that repeats a policy is upstream's, to the letter."""

from __future__ import annotations

from ganeti_cli.cluster_ispecs import ispecs_command

RECORDED = (
    "gnt-cluster init --ipolicy-std-specs cpu-count=1,disk-count=1,disk-size=1024,"
    "memory-size=128,nic-count=1,spindle-use=1 --ipolicy-bounds-specs "
    "min:cpu-count=1,disk-count=0,disk-size=4,memory-size=4,nic-count=0,spindle-use=1/"
    "max:cpu-count=8,disk-count=16,disk-size=1048576,memory-size=32768,nic-count=8,spindle-use=12 "
    "cluster.example.com"
)


def specs(memory: int, cpu: int, disks: int, size: int, nics: int, spindles: int) -> dict[str, int]:
    return {
        "memory-size": memory,
        "cpu-count": cpu,
        "disk-count": disks,
        "disk-size": size,
        "nic-count": nics,
        "spindle-use": spindles,
    }


def test_as_recorded() -> None:
    limits = {"min": specs(4, 1, 0, 4, 0, 1), "max": specs(32768, 8, 16, 1048576, 8, 12)}
    policy = {"minmax": [limits], "std": specs(128, 1, 1, 1024, 1, 1)}
    assert ispecs_command("cluster.example.com", policy) == RECORDED
