"""Who may talk to whom: the cluster's own authority, one certificate a node, who may call.

Every node has its own key and certificate, signed by the authority of the cluster. A node daemon
takes calls only from peers whose certificate chains to that authority *and* whose fingerprint is
listed in `ssconf_master_candidates_certs` (lines `uuid=fingerprint`; the form, colon separated
upper-case SHA-1, is upstream's). A node that was just set up has no such list yet: until the
master writes it, the one fingerprint that came with the set-up counts.
"""

from __future__ import annotations

import logging
import re
import ssl
from pathlib import Path
from typing import Any, Final

from ganeti_kernel.constants import MAX_SSCONF_BYTES
from ganeti_kernel.errors import ConfigurationError
from ganeti_kernel.paths import Paths
from ganeti_kernel.rpc.certificates import Identity, fingerprint

log = logging.getLogger(__name__)

CANDIDATES_KEY: Final = "master_candidates_certs"
CANDIDATE_SECRETS: Final = frozenset({"ca.key", "cluster-domain-secret"})
"""Files of the data directory that master candidates have and no other node."""

FINGERPRINT: Final = re.compile(r"(?:[0-9A-F]{2}:){19}[0-9A-F]{2}")


def read_authority(paths: Paths) -> Identity:
    """Read the cluster's authority with its key; only master candidates have it."""
    try:
        return Identity(paths.ca_key.read_bytes(), paths.ca_file.read_bytes())
    except OSError as error:
        raise ConfigurationError(
            f"cannot read {error.filename}: {error.strerror}; this node is not a master candidate "
            "of an initialised cluster"
        ) from None


def own_fingerprint(paths: Paths) -> str:
    """Fingerprint of this node's certificate."""
    try:
        return fingerprint(paths.node_certificate.read_bytes())
    except OSError as error:
        raise _not_set_up(paths.node_certificate, error) from None


def bootstrap_file(paths: Paths) -> Path:
    """The master's fingerprint as node set-up left it."""
    return paths.data_dir / "master_fingerprint"


def parse_candidates(text: str) -> frozenset[str]:
    """Fingerprints of `uuid=fingerprint` lines; lines of another form are ignored."""
    values = (line.partition("=")[2].strip().upper() for line in text.splitlines())
    return frozenset(value for value in values if FINGERPRINT.fullmatch(value))


class Candidates:
    """The fingerprints that may call this node, re-read when the files change."""

    def __init__(self, paths: Paths) -> None:
        self._list = paths.ssconf(CANDIDATES_KEY)
        self._bootstrap = bootstrap_file(paths)
        self._seen: tuple[object, object] | None = None
        self._allowed: frozenset[str] = frozenset()

    def allowed(self) -> frozenset[str]:
        """Return the fingerprints; an unreadable list allows nobody."""
        seen = (_signature(self._list), _signature(self._bootstrap))
        if seen != self._seen:
            try:
                found = parse_candidates(_read(self._list))
                if not found:
                    found = parse_candidates("=" + _read(self._bootstrap).strip())
            except OSError as error:
                log.error("cannot read %s: %s; no caller is accepted", error.filename, error)
                found = frozenset()
            self._seen, self._allowed = seen, found
        return self._allowed


def server_context(paths: Paths) -> ssl.SSLContext:
    """TLS of the node daemon: only peers with a certificate of this cluster get through."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    context.sslobject_class = _LoggedHandshake
    return _load(context, paths)


def identity_version(paths: Paths) -> object:
    """Differs when the node's certificate or the cluster's authority was replaced."""
    return _signature(paths.node_certificate), _signature(paths.ca_file)


class ServerIdentity:
    """The node daemon's TLS, taken up anew at the next connection when the files changed.

    A listening socket keeps its context for ever; but each connection that names the server, as
    all of ours do, may be given another one.
    """

    def __init__(self, paths: Paths) -> None:
        """Raises ConfigurationError when this machine is not set up as a node."""
        self._paths = paths
        self._version = identity_version(paths)
        self.context = self._current = server_context(paths)
        self.context.sni_callback = self._choose

    def _choose(self, connection: Any, _name: str | None, _context: ssl.SSLContext) -> None:
        version = identity_version(self._paths)
        if version != self._version:
            try:
                self._current = server_context(self._paths)
            except ConfigurationError as error:
                log.error("%s; the certificates from before stay in use", error)
            else:
                log.info("using the new certificates")
            self._version = version
        connection.context = self._current


def client_context(paths: Paths) -> ssl.SSLContext:
    """TLS towards a node: it must prove its name with a certificate of this cluster."""
    return _load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), paths)


def _load(context: ssl.SSLContext, paths: Paths) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    for path, load in (
        (paths.ca_file, context.load_verify_locations),
        (paths.node_certificate, context.load_cert_chain),
    ):
        try:
            load(str(path))
        except FileNotFoundError as error:
            raise _not_set_up(path, error) from None
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise ConfigurationError(f"cannot use {path} for node calls: {error}") from None
    return context


class _LoggedHandshake(ssl.SSLObject):
    """asyncio drops a failed handshake in silence; an administrator wants one line."""

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            log.warning("refused a connection during the TLS handshake: %s", describe_tls(error))
            raise


def describe_tls(error: BaseException) -> str:
    """What went wrong in plain words, from OpenSSL's reason."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message or "the certificate is not valid"
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    return str(error) or type(error).__name__


def _not_set_up(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"cannot read {path}: {error.strerror}; this machine is not set up as a node of a cluster"
    )


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_SSCONF_BYTES).decode("ascii", "replace")
    except FileNotFoundError:
        return ""


def _signature(path: Path) -> object:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size
