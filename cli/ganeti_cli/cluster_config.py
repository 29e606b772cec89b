"""gnt-cluster import-config, export-config: the configuration as a config.data file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from ganeti_cli.options import options
from ganeti_kernel.errors import ECODE_EXISTS, ECODE_STATE, OpPrereqError
from ganeti_kernel.paths import Paths


@click.command("export-config")
@click.argument("file", metavar="FILE", default="-")
@options()
def export_config(file: str, **_given: Any) -> int:
    """Write the configuration to FILE (- for standard output) in upstream's config.data form."""
    from ganeti_kernel.config.datafile import dump

    paths = Paths.from_environment()
    store = _open(paths, create=False)
    try:
        from ganeti_kernel.config.writer import ConfigWriter

        data = dump(ConfigWriter(store).view)
    finally:
        store.close()
    if file == "-":
        sys.stdout.buffer.write(data)
        return 0
    target = Path(file)
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(handle, "wb") as stream:
        stream.write(data)
    click.echo(f"wrote {len(data)} bytes to {target}")
    return 0


@click.command("import-config")
@click.argument("file", metavar="FILE")
@options("force")
def import_config(file: str, force: bool, **_given: Any) -> int:
    """Take the configuration in FILE, a config.data of upstream or of ours, as this master's.

    The master daemon must not run. What the store held before is exported beside it first.
    """
    from ganeti_kernel.config.bootstrap import store_view
    from ganeti_kernel.config.datafile import dump, load
    from ganeti_kernel.config.ssconf import ssconf_values, write_ssconf
    from ganeti_kernel.config.writer import ConfigWriter
    from ganeti_kernel.daemons import control

    paths = Paths.from_environment()
    running = control.pid_of(paths, "ganeti-masterd")
    if running is not None:
        raise OpPrereqError(
            f"ganeti-masterd runs (process {running}); stop it before its configuration changes",
            ECODE_STATE,
        )
    view = load(Path(file))
    exists = paths.store_file.exists()
    paths.data_dir.mkdir(parents=True, exist_ok=True)
    store = _open(paths, create=not exists)
    try:
        if exists:
            before = ConfigWriter(store).view
            if before.cluster.uuid != view.cluster.uuid and not force:
                raise OpPrereqError(
                    f"the store holds cluster {before.cluster.cluster_name}, {file} describes "
                    f"{view.cluster.cluster_name}; --force takes it all the same",
                    ECODE_EXISTS,
                )
            kept = paths.data_dir / f"config.data.before-import-{before.serial_no}"
            kept.write_bytes(dump(before))
            kept.chmod(0o600)
            click.echo(f"the configuration so far is kept as {kept}")
        store_view(store, view, replace=exists)
    finally:
        store.close()
    write_ssconf(paths, ssconf_values(view))
    click.echo(
        f"took cluster {view.cluster.cluster_name}: {len(view.nodes)} nodes, "
        f"{len(view.instances)} instances, serial {view.serial_no}"
    )
    return 0


def _open(paths: Paths, *, create: bool) -> Any:
    from ganeti_kernel.store.opening import open_store

    return open_store(paths, create=create)
