"""What can be seen of this node's files without any daemon: permissions, certificates, copies.

`node_verify` and `gnt-cluster doctor` look with the same eyes.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec

from ganeti_kernel.constants import MAX_CONFIG_BYTES, MAX_SSCONF_BYTES
from ganeti_kernel.errors import ConfigurationError
from ganeti_kernel.node.files import CONFIG_MODE, SECRET, UPLOADS
from ganeti_kernel.paths import Paths
from ganeti_kernel.rpc.certificates import check_identity, fingerprint
from ganeti_kernel.rpc.results import CertificateState

MAX_FILE: Final = 16 << 20

DIRECTORIES: Final = ("/var/lib/ganeti", "/var/log/ganeti", "/var/run/ganeti")
"""What every node has; made by the first daemon that needs it."""

MIN_FREE: Final = 64 << 20
"""Bytes below which the state of a node's daemons is in danger."""

MODES: Final[Mapping[str, int]] = {
    **UPLOADS,
    "/var/lib/ganeti/hmac.key": 0o640,  # confd's own user reads it by its group (upstream 3.0)
    "/var/lib/ganeti/server.pem": SECRET,
    "/var/lib/ganeti/config.data": CONFIG_MODE,
}
"""Files of the cluster and the widest mode each may have."""

CERTIFICATES: Final = ("/var/lib/ganeti/server.pem", "/var/lib/ganeti/ca.pem")

SYSTEM_DIRECTORIES: Final = frozenset(
    PurePosixPath(prefix) / name
    for prefix, names in (
        ("/", ("bin", "boot", "dev", "etc", "home", "lib", "lib32", "lib64", "proc", "root")),
        ("/", ("sbin", "sys")),
        ("/usr", ("bin", "lib", "lib32", "lib64", "sbin")),
        ("/usr/local", ("bin", "lib", "lib32", "lib64", "sbin")),
    )
    for name in names
)
"""Directories that never hold disks (upstream 3.0)."""


def checksum(paths: Paths, name: str) -> str | None:
    """SHA-256 of one of the cluster's files in hexadecimal, None when it is not there."""
    try:
        with paths.under(name).open("rb") as file:
            return hashlib.sha256(file.read(MAX_FILE)).hexdigest()
    except OSError:
        return None


def ssconf_sums(paths: Paths) -> dict[str, str]:
    """SHA-256 of every ssconf file by its key; one that cannot be read has an empty sum."""
    out = {}
    for path in sorted(paths.data_dir.glob("ssconf_*")):
        key = path.name.removeprefix("ssconf_")
        try:
            with path.open("rb") as file:
                out[key] = hashlib.sha256(file.read(MAX_SSCONF_BYTES + 1)).hexdigest()
        except OSError:
            out[key] = ""
    return out


def ssconf_sum(value: str) -> str:
    """The sum that an ssconf file of this value has."""
    return hashlib.sha256(f"{value}\n".encode() if value else b"").hexdigest()


class _Serial(msgspec.Struct):
    serial_no: int


def config_serial(paths: Paths) -> int | None:
    """Serial number of this node's `config.data`; None when there is no file.

    Raises ConfigurationError when the file is there and cannot be read.
    """
    path = paths.config_file
    try:
        with path.open("rb") as file:
            data = file.read(MAX_CONFIG_BYTES)
        return msgspec.json.decode(data, type=_Serial).serial_no
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise ConfigurationError(f"{path} is no configuration: {error}") from None


def certificate_state(paths: Paths, name: str) -> CertificateState:
    """Look at one PEM file; the node's own certificate must fit its key and the authority."""
    from cryptography import x509  # 60 ms; not every use of this module needs it

    try:
        data = _read(paths.under(name))
        if name == CERTIFICATES[0]:
            check_identity(_read(paths.ca_file), data)
        expires = _expiry(x509.load_pem_x509_certificate(data))
        return CertificateState(path=name, fingerprint=fingerprint(data), expires=expires)
    except ConfigurationError as error:
        return CertificateState(path=name, problem=str(error))
    except ValueError:
        return CertificateState(path=name, problem="it holds no certificate")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None


def _expiry(certificate: object) -> float:
    # `not_valid_after_utc` is there from cryptography 42 on.
    moment: datetime = certificate.not_valid_after_utc  # type: ignore[attr-defined]
    return moment.timestamp()


def setup_problems(paths: Paths) -> list[str]:
    """Missing directories, files that others may read or write, no room: a line each."""
    return [*directory_problems(paths), *mode_problems(paths), *room_problems(paths)]


def directory_problems(paths: Paths) -> Iterator[str]:
    for name in DIRECTORIES:
        path = paths.under(name)
        if not path.is_dir():
            yield f"directory {path} is missing"
        elif not os.access(path, os.W_OK | os.X_OK):
            yield f"directory {path} cannot be written"


def mode_problems(paths: Paths) -> Iterator[str]:
    for name, widest in sorted(MODES.items()):
        path = paths.under(name)
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except OSError:
            continue
        if mode & ~widest:
            yield f"{path} has mode {mode:04o}; it may have {widest:04o} at most"


def room_problems(paths: Paths) -> Iterator[str]:
    for name in DIRECTORIES[:2]:
        path = paths.under(name)
        try:
            stats = os.statvfs(path)
        except OSError:
            continue  # a missing directory is told elsewhere
        free = stats.f_bavail * stats.f_frsize
        if free < MIN_FREE:
            yield f"{path} has only {free >> 20} MiB free; at least {MIN_FREE >> 20} are needed"


def executable_problem(path: Path) -> str | None:
    """Why a program cannot be run, None when it can."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return (error.strerror or str(error)).lower()
    if not stat.S_ISREG(mode) or not os.access(path, os.X_OK):
        return "it is not an executable file"
    return None


def forbidden_storage_paths(paths: Paths) -> list[str]:
    """Entries of `file-storage-paths` that never may hold disks."""
    try:
        with paths.file_storage_paths.open("rb") as file:
            text = file.read(MAX_SSCONF_BYTES).decode("utf-8", "replace")
    except OSError:
        return []
    entries = [line.partition("#")[0].strip() for line in text.splitlines()]
    return [entry for entry in entries if entry and _is_forbidden(entry)]


def _is_forbidden(entry: str) -> bool:
    path = PurePosixPath(entry)
    return not path.is_absolute() or not SYSTEM_DIRECTORIES.isdisjoint({path, *path.parents})
