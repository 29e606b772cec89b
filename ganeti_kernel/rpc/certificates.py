"""Keys and certificates of a cluster: its own authority, and one identity a node."""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import re
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from ganeti_kernel.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

VALIDITY_DAYS: Final = 5 * 365
CLOCK_SKEW: Final = timedelta(hours=1)
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


def issue_certificate(
    authority: Identity, node_name: str, address: str = "", *, validity_days: int = VALIDITY_DAYS
) -> Identity:
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
        _builder(_name(node_name), issuer.subject, key.public_key(), validity_days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    return _sign(builder, key, signer)


def check_pair(key: bytes, certificate: bytes) -> None:
    """Check that a private key and a certificate belong together; raises ConfigurationError."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        loaded = x509.load_pem_x509_certificate(certificate)
        private = load_pem_private_key(key, password=None)
    except (ValueError, TypeError):
        raise ConfigurationError("certificate and key are not usable PEM texts") from None
    if private.public_key() != loaded.public_key():
        raise ConfigurationError("the key does not belong to the certificate")


def check_identity(authority_certificate: bytes, pem: bytes) -> None:
    """Check that key and certificate in `pem` belong together and to the authority.

    While the authority is renewed there are two certificates of it; either will do. Raises
    ConfigurationError that says what does not fit.
    """
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    check_pair(pem, pem)
    certificate = x509.load_pem_x509_certificate(pem)
    try:
        issuers = x509.load_pem_x509_certificates(authority_certificate)
    except ValueError:
        raise ConfigurationError("certificate and key are not usable PEM texts") from None
    for issuer in issuers:
        with contextlib.suppress(ValueError, TypeError, InvalidSignature):
            certificate.verify_directly_issued_by(issuer)
            return
    raise ConfigurationError("the certificate was not made by the cluster's authority")


def check_name(pem: bytes, name: str) -> None:
    """Check that a certificate is node `name`'s; raises ConfigurationError."""
    from cryptography import x509

    certificate = x509.load_pem_x509_certificate(pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if name not in names.get_values_for_type(x509.DNSName):
        raise ConfigurationError(f"the certificate is not one of node {name}")


def split_certificates(pem: bytes) -> list[bytes]:
    """The certificates of a PEM text, each by itself; keys are left out."""
    return [match[0].rstrip(b"\n") + b"\n" for match in _CERTIFICATE.finditer(pem)]


def create_self_signed(name: str) -> Identity:
    """Make a key and a certificate that vouches for itself, for clients that are told of it."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _builder(_name(name), _name(name), key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    )
    return _sign(builder, key, key)


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


def _name(common_name: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    # X.520 allows 64 characters for a common name; the full name is in the alternative names.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    days: int = VALIDITY_DAYS,
) -> x509.CertificateBuilder:
    from cryptography import x509

    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, now + timedelta(days=days)) - CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=days))
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
