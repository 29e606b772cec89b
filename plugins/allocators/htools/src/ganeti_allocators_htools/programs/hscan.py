"""hscan: save the state of clusters for later use, one line about each."""

from __future__ import annotations

import os
import sys

import numpy as np

from ganeti_allocators_htools.errors import HtoolsError, LoadError
from ganeti_allocators_htools.loaders import luxi, rapi
from ganeti_allocators_htools.model import Cluster
from ganeti_allocators_htools.numbers import fixed
from ganeti_allocators_htools.options import Options
from ganeti_allocators_htools.output import node_list
from ganeti_allocators_htools.prepare import make_state, prepare
from ganeti_allocators_htools.score import score

from .hbal import saved_text, write_file
from .hinfo import bad_items

_TITLES = ("Nodes", "Inst", "BNode", "BInst", "t_mem", "f_mem", "t_disk", "f_disk", "Score")
_WIDTHS = (5, 5, 5, 5, 6, 6, 6, 6, 10)


def _line(name: str, width: int, values: tuple[str, ...]) -> str:
    cells = (value.rjust(size) for value, size in zip(values, _WIDTHS, strict=True))
    return f"{name:{width}} {' '.join(cells)}\n"


def _report(name: str, width: int, cluster: Cluster, options: Options) -> None:
    loaded = prepare(cluster, options)
    state = make_state(loaded.cluster, loaded.rules, options)
    nodes = cluster.nodes
    bad = bad_items(state)
    values = (
        str(len(nodes)),
        str(len(cluster.instances)),
        *map(str, bad),
        fixed(float(nodes.tmem.sum()), 0),
        str(int(nodes.fmem.sum())),
        fixed(float(nodes.tdsk.sum()) / 1024, 0),
        str(int(np.floor(nodes.fdsk.sum() / 1024))),
        fixed(score(state), 8),
    )
    sys.stdout.write(_line(name, width, values))
    if options.print_nodes is not None:
        sys.stdout.write(f"{node_list(state, options.print_nodes)}\n")
    path = os.path.join(options.output_dir, f"{name.replace('/', '_')}.data")
    write_file(path, saved_text(state))


def run(options: Options) -> int:
    names = options.arguments
    width = max(map(len, names), default=0)
    local = options.luxi is not None or not names
    width = max(width, len("LOCAL") if local else 0, len("Name"))
    if options.headers:
        sys.stdout.write(_line("Name", width, _TITLES))
    if local:
        try:
            cluster = luxi.read(options.luxi or "", options.static_kvm_node_memory)
        except LoadError as err:
            raise HtoolsError(str(err)) from err
        _report("LOCAL", width, cluster, options)
    status = 0
    for name in names:
        try:
            cluster = rapi.read(name, options.static_kvm_node_memory)
        except LoadError as err:
            sys.stdout.write(f"\nError for {name}: failed to load data. Details:\n{err}\n")
            status = 2
            continue
        _report(name, width, cluster, options)
    return status
