"""The programs' command lines: one table of options, read in the manner of GNU getopt.

Names, argument rules, exit codes and the wording of errors are upstream's (release 3.0), as scripts
depend on them: long options may be shortened, an optional argument is attached (``-pFIELDS``,
``--print-nodes=FIELDS``), options and arguments may be mixed. A home-made reader rather than
argparse, which knows no attached optional arguments and costs a tenth of a small run's time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from . import __version__
from .errors import LoadError, UsageError
from .numbers import parse_float, parse_int

PROGRAM_VERSION = "3.0.2"
TEMPLATE_CHOICES = "diskless,file,sharedfile,plain,blockdev,drbd,rbd,ext,gluster"


@dataclass
class Options:
    """What the command line said; field names are those of `OPTIONS`."""

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


def parse_unit(text: str) -> int:
    """A size in MiB with an optional unit: m g t binary, M G T decimal (also mib, MB, ...)."""
    stripped = text.lstrip()
    digits = len(stripped) - len(stripped.lstrip("0123456789"))
    if not digits or stripped[digits : digits + 1] in (".", "_"):
        raise UsageError(f"Can't parse string '{text}'")
    value, unit = int(stripped[:digits]), stripped[digits:].strip()
    lower = unit.lower()
    power = {"": 0, "m": 0, "mib": 0, "mb": 0, "g": 1, "gib": 1, "gb": 1}
    power.update({"t": 2, "tib": 2, "tb": 2})
    if lower not in power:
        raise UsageError(f"Unknown unit '{unit}'")
    decimal = lower in ("mb", "gb", "tb") or unit in ("M", "G", "T")
    scale: int = (1000 if decimal else 1024) ** (power[lower] + 2)
    return value * scale // 1024**2


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
    Option("disk-template", "", "TEMPLATE", f"choices={TEMPLATE_CHOICES}",
           _choice(TEMPLATE_CHOICES, 'Invalid string value for type DiskTemplate: "{}"'),
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


def help_table(options: list[Option]) -> str:
    """Options, one a line, columns aligned."""
    rows = [(*option.spelled, option.help) for option in options]
    short, long = (max(len(row[column]) for row in rows) for column in (0, 1))
    return "".join(f"  {a:{short}}  {b:{long}}  {c}\n" for a, b, c in rows)


def version_line(program: str) -> str:
    return f"{program} (ganeti) version {PROGRAM_VERSION}"


def usage(program: str) -> str:
    """The text of ``--help``."""
    table = help_table(program_options(program))
    return f"{version_line(program)}\nUsage: {program} [OPTION...]\n{table}"


def completion(program: str) -> str:
    """The text of ``--help-completion``: options with the kind of value, then arguments."""
    lines = [
        f"{f'-{option.short},' if option.short else ''}--{option.long} {option.completion}"
        for option in program_options(program)
    ]
    arguments = PROGRAMS[program][1]
    return "".join(f"{line}\n" for line in lines + ([arguments] if arguments else []))


class _Malformed(Exception):
    """The command line breaks getopt's rules; the text is the whole message."""


def _find_long(name: str, options: list[Option]) -> Option:
    exact = [option for option in options if option.long == name]
    matches = exact or [option for option in options if option.long.startswith(name)]
    if not matches:
        raise _Malformed(f"unrecognized option `--{name}'\n")
    if len(matches) > 1:
        table = "".join(f"    {line.lstrip()}\n" for line in help_table(matches).splitlines())
        raise _Malformed(f"option `--{name}' is ambiguous; could be one of:\n{table}")
    return matches[0]


def _read_long(text: str, rest: list[str], options: list[Option]) -> tuple[Option, str | None]:
    name, equals, value = text.partition("=")
    option = _find_long(name, options)
    if option.takes == "no" and equals:
        raise _Malformed(f"option `--{name}' doesn't allow an argument\n")
    if option.takes == "required" and not equals:
        if not rest:
            raise _Malformed(f"option `--{name}' requires an argument {option.argument}\n")
        return option, rest.pop(0)
    return option, (value if equals else None)


def _read_short(
    text: str, rest: list[str], options: list[Option]
) -> list[tuple[Option, str | None]]:
    found: list[tuple[Option, str | None]] = []
    while text:
        letter, text = text[0], text[1:]
        option = next((option for option in options if option.short == letter), None)
        if option is None:
            raise _Malformed(f"unrecognized option `-{letter}'\n")
        if option.takes == "no":
            found.append((option, None))
            continue
        value: str | None = text or None
        if option.takes == "required" and value is None:
            if not rest:
                raise _Malformed(f"option `-{letter}' requires an argument {option.argument}\n")
            value = rest.pop(0)
        found.append((option, value))
        break
    return found


def read(program: str, argv: list[str]) -> Options:
    """Parse ``argv`` (without the program's name).

    Raises `UsageError` whose text is what belongs on standard error, with upstream's exit code.
    """
    table = program_options(program)
    chosen: list[tuple[Option, str | None]] = []
    result = Options()
    rest = list(argv)
    try:
        while rest:
            text = rest.pop(0)
            if text == "--":
                result.arguments += rest
                break
            if text.startswith("--"):
                chosen.append(_read_long(text[2:], rest, table))
            elif text.startswith("-") and text != "-":
                chosen += _read_short(text[1:], rest, table)
            else:
                result.arguments.append(text)
    except _Malformed as err:
        raise UsageError(f"Command line error: {err}\n{usage(program)}", 2) from err
    try:
        for option, value in chosen:
            option.apply(result, option.name, value)
    except (LoadError, UsageError) as err:
        raise UsageError(f"Error while parsing command line arguments:\n{err}") from err
    return result


def answered(program: str, options: Options) -> bool:
    """Whether ``--help``, ``--version`` or ``--help-completion`` was asked for, and print it."""
    if options.help:
        sys.stdout.write(usage(program))
    elif options.version:
        sys.stdout.write(
            f"{version_line(program)}\nganeti-allocators-htools {__version__}\n"
            f"running on {sys.platform} python {sys.version.split()[0]}\n"
        )
    elif options.help_completion:
        sys.stdout.write(completion(program))
    else:
        return False
    return True
