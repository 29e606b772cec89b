"""Running a program on a machine that has no node daemon yet: over ssh, or the site's own way."""

from __future__ import annotations

from typing import Final

from ganeti_kernel.errors import CommandError, OpExecError
from ganeti_kernel.paths import Paths
from ganeti_kernel.plugins import process

SETUP_TIMEOUT: Final = 120.0
_SSH: Final = ("ssh", "-q", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10")


def run_on(paths: Paths, host: str, command: str, stdin: bytes) -> str:
    """Run a command as root on a host, with `stdin`; returns its output.

    `/etc/ganeti/remote-shell`, when it exists, is called like ssh: `root@HOST COMMAND`. What is
    secret goes through `stdin` only. Raises OpExecError with the command's last words.
    """
    own = paths.conf_dir / "remote-shell"
    shell = (str(own),) if own.exists() else _SSH
    try:
        done = process.run([*shell, f"root@{host}", command], timeout=SETUP_TIMEOUT, stdin=stdin)
    except CommandError as error:
        raise OpExecError(f"cannot run a command on {host}: {error}") from None
    if done.code:
        raise OpExecError(
            f"cannot run a command on {host}: `{command}` failed there with exit code {done.code}: "
            f"{done.tail(5) or 'it said nothing; can root log in with ssh?'}"
        )
    return done.output
