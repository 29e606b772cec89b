"""Real CPU load from the nodes' monitoring daemons, over HTTP or from a file of their reports.

A node's load is the total its ``cpu-avg-load`` collector reports; each of its instances is taken to
cause a share in proportion to its virtual CPUs among all in use there (upstream 3.0). With
``--mond-xen`` the load per instance comes from ``xen-cpu-avg-load`` instead. A collector counts
only if every node that is online answered.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from ganeti_allocators_htools.errors import HtoolsError, UsageError, open_error
from ganeti_allocators_htools.model import Cluster
from ganeti_allocators_htools.options import Options

PORT = 1815
TIMEOUT = 10.0
MAX_BYTES = 16 * 1024 * 1024
PARALLEL = 32
CPU, XEN = "cpu-avg-load", "xen-cpu-avg-load"

#: Per node, per collector, the report's data.
Reports = dict[str, dict[str, Any]]


def _collected(reports: Any) -> dict[str, Any]:
    if not isinstance(reports, list):
        return {}
    return {
        report["name"]: report.get("data")
        for report in reports
        if isinstance(report, dict) and isinstance(report.get("name"), str)
    }


def parse(content: str) -> Reports:
    """Reports from a file's text: a list of ``{"node": name, "reports": [...]}``."""
    try:
        entries = json.loads(content)
    except ValueError as err:
        text = f"Error: can't parse MonD data: Parsing MonD's answer: Malformed JSON: {err}"
        raise UsageError(text) from err
    if not isinstance(entries, list) or not all(
        isinstance(entry, dict) and isinstance(entry.get("node"), str) for entry in entries
    ):
        raise UsageError("Error: can't parse MonD data: not a list of nodes with their reports")
    return {entry["node"]: _collected(entry.get("reports")) for entry in entries}


def _fetch(job: tuple[str, str]) -> tuple[str, str, Any]:
    import http.client  # late: only runs that ask the daemons need it

    node, collector = job
    connection = http.client.HTTPConnection(node, PORT, timeout=TIMEOUT)
    try:
        connection.request("GET", f"/1/report/default/{collector}")
        answer = connection.getresponse()
        report = json.loads(answer.read(MAX_BYTES)) if answer.status == 200 else {}
    except (OSError, ValueError, http.client.HTTPException):
        report = {}  # a silent node is reported by the caller, with its name
    finally:
        connection.close()
    return node, collector, report.get("data") if isinstance(report, dict) else None


def fetch(cluster: Cluster, collectors: tuple[str, ...]) -> Reports:
    """Ask all online nodes at once, with a deadline each."""
    names = [
        name
        for name, offline in zip(cluster.nodes.name, cluster.nodes.offline, strict=True)
        if not offline
    ]
    result: Reports = {name: {} for name in names}
    with ThreadPoolExecutor(PARALLEL) as pool:
        for node, collector, data in pool.map(_fetch, [(n, c) for n in names for c in collectors]):
            if data is not None:
                result[node][collector] = data
    return result


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value)


def with_cpu_load(cluster: Cluster, totals: Mapping[str, float]) -> Cluster:
    """The cluster with measured CPU load per node; nodes not named keep their estimate."""
    nodes, insts = cluster.nodes, cluster.instances
    real = ~insts.forthcoming
    cpus = np.where(insts.online, insts.vcpus, 0)
    used = nodes.ncpu + np.bincount(insts.pnode[real], weights=cpus[real], minlength=len(nodes))
    load = np.full(len(nodes), np.nan)
    for name, total in totals.items():
        if name in nodes.index:
            load[nodes.index[name]] = total
    util = insts.util.copy()
    measured = ~np.isnan(load[insts.pnode])
    share = insts.vcpus / np.maximum(used[insts.pnode], 1)
    util[:, 0] = np.where(measured, load[insts.pnode] * share, util[:, 0])
    return replace(
        cluster,
        nodes=replace(nodes, cpu_load=load),
        instances=replace(insts, util=util),
    )


def _with_instance_load(cluster: Cluster, loads: Mapping[str, float]) -> Cluster:
    util = cluster.instances.util.copy()
    for name, load in loads.items():
        if name in cluster.instances.index:
            util[cluster.instances.index[name], 0] = load
    return replace(cluster, instances=replace(cluster.instances, util=util))


def _complete(cluster: Cluster, collector: str, found: set[str], options: Options) -> bool:
    online = {
        name
        for name, offline in zip(cluster.nodes.name, cluster.nodes.offline, strict=True)
        if not offline
    }
    if online <= found:
        return True
    sys.stderr.write(
        f"Didn't receive an answer by all MonDs, {collector}'s data will be ignored.\n"
    )
    if options.exit_on_missing_mond_data:
        raise UsageError("Error: Not all required data available")
    return False


def apply(cluster: Cluster, options: Options) -> Cluster:
    """The cluster with the load the options ask for; raises `UsageError`, `HtoolsError`."""
    if options.mond_data is not None:
        try:
            with open(options.mond_data, encoding="utf-8") as stream:
                reports = parse(stream.read(MAX_BYTES))
        except OSError as err:
            raise HtoolsError(open_error(options.mond_data, err)) from err
    else:
        reports = fetch(cluster, (XEN, CPU) if options.mond_xen else (CPU,))
    if options.mond_xen:
        found = {node for node, data in reports.items() if isinstance(data.get(XEN), dict)}
        if _complete(cluster, XEN, found, options):
            loads = {
                name: number
                for node in found
                for name, value in reports[node][XEN].items()
                if (number := _number(value)) is not None
            }
            cluster = _with_instance_load(cluster, loads)
    totals = {
        node: total
        for node, data in reports.items()
        if isinstance(data.get(CPU), dict)
        and (total := _number(data[CPU].get("cpu_total"))) is not None
    }
    if _complete(cluster, CPU, set(totals), options):
        cluster = with_cpu_load(cluster, totals)
    return cluster
