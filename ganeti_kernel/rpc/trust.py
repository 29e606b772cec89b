"""Who may talk to whom: the cluster's own authority, one certificate a node, who may call.

Every node has its own key and certificate, signed by the authority of the cluster. A node daemon
takes calls only from peers whose certificate chains to that authority *and* whose fingerprint is
listed in `ssconf_master_candidates_certs` (lines `uuid=fingerprint`; the form, colon separated
upper-case SHA-1, is upstream's). A node that was just set up has no such list yet: until the
master writes it, the one fingerprint that came with the set-up counts.
"""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import re
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ganeti_kernel.constants import MAX_SSCONF_BYTES
from ganeti_kernel.errors import ConfigurationError
from ganeti_kernel.paths import Paths

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

log = logging.getLogger(__name__)

VALIDITY_DAYS: Final = 5 * 365
CLOCK_SKEW: Final = timedelta(hours=1)
CANDIDATES_KEY: Final = "master_candidates_certs"
FINGERPRINT: Final = re.compile(r"(?:[0-9A-F]{2}:){19}[0-9A-F]{2}")
_CERTIFICATE: Final = re.compile(
    rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Identity:
    """A private key and its certificate, PEM. The key never appears in a repr."""

    key: bytes
    certificate: bytes

    def __repr__(self) -> str:
        return f"Identity({fingerprint(self.certificate)})"

    @property
    def pem(self) -> bytes:
        """Both in one text, as the node's certificate file holds them."""
        return self.key + self.certificate


def create_authority(cluster_name: str) -> Identity:
    """Make the authority of a new cluster: a self-signed certificate that may sign others."""
    from cryptography import x509  # 60 ms; only set-up needs it
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"{cluster_name} authority")
    builder = (
        _builder(name, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(sign_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return _sign(builder, key, key)


def issue_certificate(authority: Identity, node_name: str, address: str = "") -> Identity:
    """Make a node's key and certificate: common name and first alternative name are its name.

    Raises ConfigurationError when the authority cannot be used.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from cryptography.x509.oid import ExtendedKeyUsageOID

    try:
        signer = load_pem_private_key(authority.key, password=None)
        issuer = x509.load_pem_x509_certificate(authority.certificate)
    except ValueError as error:
        raise ConfigurationError(f"the cluster's authority is not usable: {error}") from None
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise ConfigurationError("the cluster's authority is not usable: not an elliptic curve key")
    key = ec.generate_private_key(ec.SECP256R1())
    names: list[Any] = [x509.DNSName(node_name)]
    if address:
        names.append(x509.IPAddress(ipaddress.ip_address(address)))
    usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = (
        _builder(_name(node_name), issuer.subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    return _sign(builder, key, signer)


def check_identity(authority_certificate: bytes, pem: bytes) -> None:
    """Check that key and certificate in `pem` belong together and to the authority.

    Raises ConfigurationError that says what does not fit.
    """
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        issuer = x509.load_pem_x509_certificate(authority_certificate)
        certificate = x509.load_pem_x509_certificate(pem)
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):
        raise ConfigurationError("certificate and key are not usable PEM texts") from None
    if key.public_key() != certificate.public_key():
        raise ConfigurationError("the key does not belong to the certificate")
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        raise ConfigurationError(
            "the certificate was not made by the cluster's authority"
        ) from None


def read_authority(paths: Paths) -> Identity:
    """Read the cluster's authority with its key; only master candidates have it."""
    try:
        return Identity(paths.ca_key.read_bytes(), paths.ca_file.read_bytes())
    except OSError as error:
        raise ConfigurationError(
            f"cannot read {error.filename}: {error.strerror}; this node is not a master candidate "
            "of an initialised cluster"
        ) from None


def fingerprint(pem: bytes) -> str:
    """Fingerprint of the first certificate of a PEM text; raises ConfigurationError without one."""
    match = _CERTIFICATE.search(pem)
    if match is None:
        raise ConfigurationError("there is no certificate in the PEM text")
    return fingerprint_der(ssl.PEM_cert_to_DER_cert(match[0].decode("ascii", "replace")))


def fingerprint_der(der: bytes) -> str:
    """Upper-case SHA-1 with colons, upstream's form: a name for a certificate, not a protection."""
    digest = hashlib.sha1(der, usedforsecurity=False).hexdigest().upper()
    return ":".join(digest[index : index + 2] for index in range(0, len(digest), 2))


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
            found = parse_candidates(_read(self._list))
            if not found:
                found = parse_candidates("=" + _read(self._bootstrap).strip())
            self._seen, self._allowed = seen, found
        return self._allowed


def server_context(paths: Paths) -> ssl.SSLContext:
    """TLS of the node daemon: only peers with a certificate of this cluster get through."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    context.sslobject_class = _LoggedHandshake
    return _load(context, paths)


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
    except OSError as error:
        log.error("cannot read %s: %s; no caller is accepted", path, error.strerror)
        return ""


def _signature(path: Path) -> object:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


def _name(common_name: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    # X.520 allows 64 characters for a common name; the full name is in the alternative names.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    from cryptography import x509

    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=VALIDITY_DAYS))
    )


def _key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=not sign_certificates,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _sign(
    builder: x509.CertificateBuilder,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
) -> Identity:
    from cryptography.hazmat.primitives import hashes, serialization

    certificate = builder.sign(signer, hashes.SHA256())
    return Identity(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        certificate.public_bytes(serialization.Encoding.PEM),
    )
