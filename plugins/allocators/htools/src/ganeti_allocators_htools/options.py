"""What a command line said; `option_table` describes the options, `command_line` reads them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(eq=False)
class Options:
    """What the command line said; field names are those of `option_table.OPTIONS`."""

    print_nodes: list[str] | None = None
    print_instances: bool = False
    print_commands: str | None = None  # a file name, "" for standard output
    text_data: str | None = None
    master: str | None = None
    luxi: str | None = None  # a socket path, "" for the default one
    ialloc_src: str | None = None
    simulate: list[str] = field(default_factory=list)
    offline: list[str] = field(default_factory=list)
    save: str | None = None
    exec: bool = False
    first_job_group: bool = False
    reason: str | None = None
    priority: str | None = None
    group: str | None = None
    max_length: int = -1
    min_score: float = 1e-9
    min_gain: float = 0.01
    min_gain_limit: float = 0.1
    max_cpu: float | None = None
    min_disk: float = 0.0
    disk_moves: bool = True
    instance_moves: bool = True
    restricted_migration: bool = False
    evac_mode: bool = False
    select_instances: list[str] = field(default_factory=list)
    exclude_instances: list[str] = field(default_factory=list)
    exclusion_tags: list[str] = field(default_factory=list)
    dynu_file: str | None = None
    ignore_dynu: bool = False
    ignore_soft_errors: bool = False
    mond: bool = False
    mond_data: str | None = None
    mond_xen: bool = False
    exit_on_missing_mond_data: bool = False
    static_kvm_node_memory: int = 4096
    capacity_checks: bool = True
    restrict_allocation_to: list[str] | None = None
    disk_template: str | None = None
    spindle_use: int | None = None
    standard_alloc: tuple[int, int, int, int | None] | None = None  # disk, mem, cpus, spindles
    tiered_alloc: tuple[int, int, int, int | None] | None = None
    independent_groups: bool = False
    accept_existing_errors: bool = False
    machine_readable: bool = False
    simulation: bool = True
    force: bool = False
    node_tags: list[str] | None = None
    skip_non_redundant: bool = False
    ignore_non_redundant: bool = False
    offline_maintenance: bool = False
    full_evacuation: bool = False
    one_step_only: bool = False
    print_moves: bool = False
    headers: bool = True
    minimal_resources: float = 2.0
    target_resources: float = 2.0
    output_dir: str = "."
    job_delay: float = 10.0
    dry_run: bool = False
    verbose: int = 1
    explain: bool = False
    bound: bool = False
    json: str | None = None  # a file name, "" for standard output
    progress: bool | None = None  # None: when standard error is a terminal
    help: bool = False
    version: bool = False
    help_completion: bool = False
    arguments: list[str] = field(default_factory=list)
