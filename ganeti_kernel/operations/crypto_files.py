"""New keys that wait to be taken into use: files of the data directory named `<file>.next`.

`gnt-cluster renew-crypto` makes them on the master, readable by root only, so that no secret stands
in a job; the job takes them into use. What is there already is kept: a renewal that was cut off
goes on with the same keys.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

from ganeti_kernel.errors import ECODE_INVAL, ConfigurationError, OpPrereqError
from ganeti_kernel.files import write_durably
from ganeti_kernel.operations.bootstrap import HMAC_BYTES
from ganeti_kernel.paths import Paths
from ganeti_kernel.rpc import certificates

SUFFIX: Final = ".next"
AUTHORITY: Final = ("ca.key", "ca.pem")
MAX_INPUT: Final = 1 << 20

PLAIN: Final = {
    "hmac.key": ("ganeti-confd",),
    "cluster-domain-secret": (),
    "rapi.pem": ("ganeti-rapi",),
    "spice.pem": (),
    "spice-ca.pem": (),
}
"""Files that are simply replaced, and the daemons that read them again."""


def waiting(paths: Paths, name: str) -> Path:
    """Where the new version of a file waits."""
    return paths.data_dir / f"{name}{SUFFIX}"


def pending(paths: Paths) -> list[str]:
    """The files whose new version waits."""
    return [name for name in (*AUTHORITY, *PLAIN) if waiting(paths, name).exists()]


def _put(paths: Paths, files: dict[str, bytes]) -> bool:
    """Have new versions wait, unless some do already; says whether these do now."""
    if all(waiting(paths, name).exists() for name in files):
        return False
    for name, content in files.items():
        write_durably(waiting(paths, name), content, 0o600)
    return True


def new_authority(paths: Paths, cluster_name: str) -> bool:
    made = certificates.create_authority(cluster_name)
    # the certificate first: only with the key is it complete
    return _put(paths, {"ca.pem": made.certificate, "ca.key": made.key})


def new_hmac_key(paths: Paths) -> bool:
    return _put(paths, {"hmac.key": f"{secrets.token_hex(HMAC_BYTES)}\n".encode()})


def new_domain_secret(paths: Paths) -> bool:
    return _put(paths, {"cluster-domain-secret": f"{secrets.token_hex(32)}\n".encode()})


def new_rapi(paths: Paths, cluster_name: str) -> bool:
    return _put(paths, {"rapi.pem": certificates.create_self_signed(cluster_name).pem})


def new_spice(paths: Paths, cluster_name: str) -> bool:
    made = certificates.create_self_signed(cluster_name)
    return _put(paths, {"spice.pem": made.pem, "spice-ca.pem": made.certificate})


def given_domain_secret(paths: Paths, source: Path) -> bool:
    content = _read(source)
    if not content.strip():
        raise OpPrereqError(f"{source} is empty", ECODE_INVAL)
    return _put(paths, {"cluster-domain-secret": content})


def given_rapi(paths: Paths, source: Path) -> bool:
    return _put(paths, {"rapi.pem": _pair(source)})


def given_spice(paths: Paths, source: Path, authority: Path) -> bool:
    content = _read(authority)
    if not certificates.split_certificates(content):
        raise OpPrereqError(f"there is no certificate in {authority}", ECODE_INVAL)
    return _put(paths, {"spice.pem": _pair(source), "spice-ca.pem": content})


def _pair(source: Path) -> bytes:
    content = _read(source)
    try:
        certificates.check_pair(content, content)
    except ConfigurationError as error:
        raise OpPrereqError(f"{source}: {error}", ECODE_INVAL) from None
    return content


def _read(source: Path) -> bytes:
    try:
        with source.open("rb") as stream:
            content = stream.read(MAX_INPUT + 1)
    except OSError as error:
        raise OpPrereqError(f"cannot read {source}: {error.strerror}", ECODE_INVAL) from None
    if len(content) > MAX_INPUT:
        raise OpPrereqError(f"{source} has more than {MAX_INPUT >> 20} MiB", ECODE_INVAL)
    return content
