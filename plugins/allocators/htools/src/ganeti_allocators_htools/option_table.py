"""All programs' options as one table: names, arguments, help, and what each does to `Options`.

Names and argument rules are upstream's (release 3.0), as scripts depend on them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from .errors import UsageError
from .numbers import parse_float, parse_int, parse_unit
from .options import Options
from .words import TEMPLATES


class Option(NamedTuple):
    """One option: ``argument`` names its value ("" for none), in brackets when optional."""

    long: str
    short: str
    argument: str
    completion: str
    apply: Callable[[Options, str, str | None], None]
    name: str
    help: str

    @property
    def takes(self) -> str:
        if not self.argument:
            return "no"
        return "optional" if self.argument.startswith("[") else "required"

    @property
    def spelled(self) -> tuple[str, str]:
        """The short and the long form as help shows them."""
        bare = self.argument.strip("[]")
        short, long = (f"-{self.short}" if self.short else ""), f"--{self.long}"
        if self.takes == "required":
            return (f"{short} {bare}" if short else ""), f"{long}={bare}"
        if self.takes == "optional":
            return (f"{short}[{bare}]" if short else ""), f"{long}[={bare}]"
        return short, long


def _true(options: Options, name: str, _: str | None) -> None:
    setattr(options, name, True)


def _negate(options: Options, name: str, _: str | None) -> None:
    setattr(options, name, False)


def _text(options: Options, name: str, value: str | None) -> None:
    setattr(options, name, value or "")


def _append(options: Options, name: str, value: str | None) -> None:
    getattr(options, name).append(value)


def _list(options: Options, name: str, value: str | None) -> None:
    setattr(options, name, value.split(",") if value else [])


def _number(label: str, parse: Callable[[str, str], Any], check: str | None = None) -> Any:
    def apply(options: Options, name: str, value: str | None) -> None:
        number = parse(value or "", label)
        if check is not None and number < 0:
            raise UsageError(check)
        setattr(options, name, number)

    return apply


def _yes_no(options: Options, name: str, value: str | None) -> None:
    if value not in (None, "yes", "no"):
        raise UsageError(f"Invalid choice '{value}', pass one of 'yes' or 'no'")
    setattr(options, name, value != "no")


def _choice(choices: str, message: str) -> Any:
    def apply(options: Options, name: str, value: str | None) -> None:
        if value not in choices.split(","):
            raise UsageError(message.format(value))
        setattr(options, name, value)

    return apply


def _louder(options: Options, _: str, __: str | None) -> None:
    options.verbose += 1


def _quieter(options: Options, _: str, __: str | None) -> None:
    options.verbose -= 1


def _spec(kind: str) -> Any:
    def apply(options: Options, name: str, value: str | None) -> None:
        parts = (value or "").split(",")
        if len(parts) not in (3, 4):
            raise UsageError(f"Invalid {kind} specification: '{value}', expected disk,ram,cpu")
        sizes = []
        for part, what in zip(parts, ("disk", "memory"), strict=False):
            try:
                sizes.append(parse_unit(part))
            except UsageError as err:
                raise UsageError(f"{kind} specs {what}: {err}") from err
        cpus = parse_int(parts[2], f"{kind} specs cpus")
        spindles = parse_int(parts[3], f"{kind} specs spindles") if len(parts) == 4 else None
        setattr(options, name, (*sizes, cpus, spindles))

    return apply


_TEMPLATES = ",".join(TEMPLATES)

_TABLE = [
    Option("print-nodes", "p", "[FIELDS]", "none", _list, "print_nodes",
           "show the nodes (FIELDS: a list, or +list to add to the usual columns)"),
    Option("print-instances", "", "", "none", _true, "print_instances", "show the instances"),
    Option("print-commands", "C", "[FILE]", "none", _text, "print_commands",
           "show the commands that carry out the plan, or write them to FILE"),
    Option("simulate", "", "SPEC", "string", _append, "simulate",
           "an empty group: policy,nodes,disk,memory,cpus[,spindles]; may be repeated"),
    Option("text-data", "t", "FILE", "file", _text, "text_data", "read the cluster from FILE"),
    Option("evac-mode", "E", "", "none", _true, "evac_mode",
           "move only instances that are on offline or drained nodes"),
    Option("restricted-migration", "", "", "none", _true, "restricted_migration",
           "no move that migrates an instance, but off drained nodes"),
    Option("master", "m", "ADDRESS", "host", _text, "master", "read the cluster through RAPI"),
    Option("luxi", "L", "[SOCKET]", "file", _text, "luxi", "read the cluster through LUXI"),
    Option("ialloc-src", "I", "FILE", "file", _text, "ialloc_src",
           "read the cluster from an IAllocator request"),
    Option("exec", "X", "", "none", _true, "exec", "carry out the plan through LUXI"),
    Option("first-job-group", "", "", "none", _true, "first_job_group",
           "carry out only the first group of jobs"),
    Option("reason", "", "REASON", "none", _text, "reason", "reason recorded in submitted jobs"),
    Option("group", "G", "ID", "onegroup", _text, "group", "the node group, by name or UUID"),
    Option("max-length", "l", "N", "integer",
           _number("max solution length", parse_int), "max_length", "stop after N steps"),
    Option("verbose", "v", "", "none", _louder, "verbose", "say more"),
    Option("quiet", "q", "", "none", _quieter, "verbose", "say less"),
    Option("offline", "O", "NODE", "onenode", _append, "offline", "treat NODE as offline"),
    Option("static-kvm-node-memory", "", "N", "integer",
           _number("static node memory", parse_int), "static_kvm_node_memory",
           "MiB a KVM node itself needs (0: what the hypervisor reports)"),
    Option("min-score", "e", "EPSILON", "float", _number("min score", parse_float), "min_score",
           "stop once the score is this close to the lowest possible"),
    Option("max-cpu", "", "RATIO", "float",
           _number("parsing max-cpu", parse_float,
                   "Invalid value of the max-cpu ratio, expected >0"), "max_cpu",
           "virtual to physical CPUs at most, instead of the policy's ratio"),
    Option("min-disk", "", "RATIO", "float", _number("min free disk space", parse_float),
           "min_disk", "share of a node's disk to keep free (0 to 1)"),
    Option("min-gain", "g", "DELTA", "float", _number("min gain", parse_float), "min_gain",
           "stop when a step gains less"),
    Option("min-gain-limit", "", "SCORE", "float", _number("min gain limit", parse_float),
           "min_gain_limit", "score below which min-gain counts"),
    Option("no-disk-moves", "", "", "none", _negate, "disk_moves", "no replacing of disks"),
    Option("select-instances", "", "INSTS", "manyinstances", _list, "select_instances",
           "move only these instances"),
    Option("no-instance-moves", "", "", "none", _negate, "instance_moves",
           "no changing of primary nodes"),
    Option("ignore-soft-errors", "", "", "none", _true, "ignore_soft_errors",
           "allow moves to nodes beyond their policy's limits"),
    Option("dynu-file", "U", "FILE", "file", _text, "dynu_file", "instances' load from FILE"),
    Option("ignore-dynu", "", "", "none", _true, "ignore_dynu", "take every load as zero"),
    Option("mond", "", "[CHOICE]", "choices=yes,no", _yes_no, "mond",
           "ask the monitoring daemons for CPU load (yes or no)"),
    Option("mond-data", "", "FILE", "file", _text, "mond_data", "monitoring reports from FILE"),
    Option("exit-on-missing-mond-data", "", "", "none", _true, "exit_on_missing_mond_data",
           "stop when a monitoring daemon does not answer"),
    Option("mond-xen", "", "", "none", _true, "mond_xen", "ask for Xen's collectors too"),
    Option("exclusion-tags", "", "TAG,...", "string", _list, "exclusion_tags",
           "prefixes of tags that keep instances apart"),
    Option("exclude-instances", "", "INSTS", "manyinstances", _list, "exclude_instances",
           "never move these instances"),
    Option("save", "S", "FILE", "none", _text, "save", "save the cluster's state to FILE.*"),
    Option("priority", "", "PRIO", "choices=low,normal,high",
           _choice("low,normal,high", "Unknown priority '{}'"), "priority",
           "priority of submitted jobs"),
    Option("disk-template", "", "TEMPLATE", f"choices={_TEMPLATES}",
           _choice(_TEMPLATES, 'Invalid string value for type DiskTemplate: "{}"'),
           "disk_template", "disk template of the instances to place"),
    Option("spindle-use", "", "SPINDLES", "float",
           _number("parsing spindle-use", parse_int,
                   "Invalid value of the spindle-use (expected >= 0)"), "spindle_use",
           "spindles one instance uses, instead of the policy's"),
    Option("standard-alloc", "", "STDSPEC", "string", _spec("standard"), "standard_alloc",
           "instances of one size: disk,memory,cpus[,spindles]"),
    Option("tiered-alloc", "", "TSPEC", "string", _spec("tiered"), "tiered_alloc",
           "instances shrinking from this size: disk,memory,cpus[,spindles]"),
    Option("machine-readable", "", "[CHOICE]", "choices=yes,no", _yes_no, "machine_readable",
           "print KEY=value lines (yes or no)"),
    Option("independent-groups", "", "", "none", _true, "independent_groups",
           "place in groups whatever errors other groups have"),
    Option("accept-existing-errors", "", "", "none", _true, "accept_existing_errors",
           "accept N+1 errors that are there already"),
    Option("no-capacity-checks", "", "", "none", _negate, "capacity_checks",
           "skip the check that the rest of the cluster can take over"),
    Option("restrict-allocation-to", "", "NODE,...", "manynodes", _list,
           "restrict_allocation_to", "place on these nodes only"),
    Option("no-simulation", "", "", "none", _negate, "simulation", "do not try to rebalance"),
    Option("force", "f", "", "none", _true, "force", "carry on after errors"),
    Option("node-tags", "", "TAG,...", "string", _list, "node_tags",
           "only nodes with all these tags"),
    Option("skip-non-redundant", "", "", "none", _true, "skip_non_redundant",
           "leave out nodes with instances that have no second copy"),
    Option("ignore-non-redundant", "", "", "none", _true, "ignore_non_redundant",
           "take no notice of instances that have no second copy"),
    Option("offline-maintenance", "", "", "none", _true, "offline_maintenance",
           "instances are shut down during the maintenance"),
    Option("full-evacuation", "", "", "none", _true, "full_evacuation",
           "nodes are emptied, secondaries too"),
    Option("one-step-only", "", "", "none", _true, "one_step_only", "show the first group only"),
    Option("print-moves", "", "", "none", _true, "print_moves", "show the instances' moves"),
    Option("no-headers", "", "", "none", _negate, "headers", "no line of headings"),
    Option("minimal-resources", "", "FACTOR", "float",
           _number("minimal resources", parse_float), "minimal_resources",
           "standard instances to fit on each node, else nodes are brought back"),
    Option("target-resources", "", "FACTOR", "float",
           _number("target resources", parse_float), "target_resources",
           "standard instances that must still fit on each node afterwards"),
    Option("output-dir", "d", "PATH", "dir", _text, "output_dir", "write data files to PATH"),
    Option("job-delay", "", "SECONDS", "float", _number("job delay", parse_float), "job_delay",
           "wait this long before a repair job starts"),
    Option("dry-run", "", "", "none", _true, "dry_run", "only say what would be done"),
    Option("explain", "", "", "none", _true, "explain",
           "show each metric before and after, and why moves were refused"),
    Option("bound", "", "", "none", _true, "bound", "show how far the plan is from a lower bound"),
    Option("json", "", "[FILE]", "none", _text, "json", "write the plan as JSON"),
    Option("progress", "", "[CHOICE]", "choices=yes,no", _yes_no, "progress",
           "show progress on standard error (yes or no)"),
    Option("version", "V", "", "none", _true, "version", "show the version"),
    Option("help", "h", "", "none", _true, "help", "show this help"),
    Option("help-completion", "", "", "none", _true, "help_completion",
           "list the options for shells"),
]  # fmt: skip
OPTIONS = {option.long: option for option in _TABLE}

_COMMON = "version help help-completion"
#: Each program's options in the order of its help, and what arguments it takes (completion form).
PROGRAMS: dict[str, tuple[str, str]] = {
    "hbal": (
        "print-nodes print-instances print-commands text-data evac-mode restricted-migration"
        " master luxi ialloc-src exec first-job-group reason group max-length verbose quiet offline"
        " static-kvm-node-memory min-score max-cpu min-disk min-gain min-gain-limit no-disk-moves"
        " select-instances no-instance-moves ignore-soft-errors dynu-file ignore-dynu mond"
        " mond-data exit-on-missing-mond-data mond-xen exclusion-tags exclude-instances save"
        " priority explain bound json progress",
        "",
    ),
    "hail": (
        "print-nodes save text-data simulate verbose ignore-dynu ignore-soft-errors"
        " no-capacity-checks restrict-allocation-to mond mond-xen static-kvm-node-memory",
        "file 1 1",
    ),
    "hspace": (
        "print-nodes text-data disk-template spindle-use simulate master luxi ialloc-src"
        " verbose quiet independent-groups accept-existing-errors offline no-capacity-checks"
        " machine-readable max-cpu max-length min-disk standard-alloc tiered-alloc save"
        " static-kvm-node-memory",
        "",
    ),
    "hsqueeze": (
        "luxi text-data exec minimal-resources target-resources save print-commands verbose"
        " no-headers static-kvm-node-memory",
        "",
    ),
    "hroller": (
        "luxi master text-data ialloc-src offline offline-maintenance verbose quiet"
        " no-headers node-tags save group print-moves full-evacuation skip-non-redundant"
        " ignore-non-redundant force one-step-only static-kvm-node-memory",
        "",
    ),
    "hcheck": (
        "text-data no-disk-moves dynu-file ignore-dynu evac-mode exclude-instances"
        " exclusion-tags ialloc-src no-instance-moves luxi machine-readable max-cpu max-length"
        " min-disk min-gain min-gain-limit min-score ignore-soft-errors no-simulation offline"
        " quiet master select-instances no-capacity-checks verbose",
        "",
    ),
    "hscan": (
        "print-nodes output-dir luxi verbose no-headers static-kvm-node-memory",
        "host 0 none",
    ),
    "harep": ("luxi job-delay reason dry-run", ""),
    "hinfo": (
        "print-nodes print-instances text-data master luxi ialloc-src verbose quiet offline"
        " ignore-dynu mond mond-data static-kvm-node-memory",
        "",
    ),
}


def program_options(program: str) -> list[Option]:
    """The options ``program`` takes, in the order of its help."""
    return [OPTIONS[name] for name in f"{PROGRAMS[program][0]} {_COMMON}".split()]
