"""Opcodes that test the job queue, the allocator and OS parameters."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from ganeti_kernel.jobs.opcodes.base import Name, Natural, NicParams, Opcode, Params


class OpTestAllocator(Opcode, tag="OP_TEST_ALLOCATOR", kw_only=True, frozen=True):
    """Run an allocator without effect."""

    SUMMARY: ClassVar[str] = "iallocator"
    direction: Literal["in", "out"]
    mode: Literal[
        "allocate",
        "allocate-secondary",
        "change-group",
        "multi-allocate",
        "node-evacuate",
        "relocate",
    ]
    name: Name
    nics: list[NicParams] | None = None
    disks: list[Any] | None = None
    hypervisor: Name | None = None
    iallocator: Name | None = None
    tags: list[Name] = []
    memory: Natural | None = None
    vcpus: Natural | None = None
    os: Name | None = None
    disk_template: Name | None = None
    instances: list[Name] | None = None
    evac_mode: Literal["all", "primary-only", "secondary-only"] | None = None
    target_groups: list[Name] | None = None
    spindle_use: Natural = 1
    count: Natural = 1
    group_name: Name | None = None


class OpTestDelay(Opcode, tag="OP_TEST_DELAY", kw_only=True, frozen=True):
    """Wait; `duration` is seconds."""

    SUMMARY: ClassVar[str] = "duration"
    duration: float
    on_master: bool = True
    on_nodes: list[Name] = []
    on_node_uuids: list[Name] | None = None
    repeat: Natural = 0
    interruptible: bool = False
    no_locks: bool = True


class OpTestDummy(Opcode, tag="OP_TEST_DUMMY", kw_only=True, frozen=True):
    """Return, log, fail or submit what is asked."""

    result: Any = None
    messages: Any = None
    fail: Any = None
    submit_jobs: Any = None


class OpTestJqueue(Opcode, tag="OP_TEST_JQUEUE", kw_only=True, frozen=True):
    """Exercise the job queue."""

    notify_waitlock: bool = False
    notify_exec: bool = False
    log_messages: list[str] = []
    fail: bool = False


class OpTestOsParams(Opcode, tag="OP_TEST_OS_PARAMS", kw_only=True, frozen=True):
    """Exercise secret OS parameters."""

    osparams_secret: Params | None = None
