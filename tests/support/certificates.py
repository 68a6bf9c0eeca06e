"""Certificates for localhost, made on the spot."""

from __future__ import annotations

import datetime
import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

__all__ = ("Files", "write_certificate")

_NAMES: Final = x509.SubjectAlternativeName(
    [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
)


@dataclass(frozen=True)
class Files:
    """A self-signed certificate and its key, which is its own authority.

    Attributes:
        expires_at: In seconds since 1970.
    """

    certificate: Path
    key: Path
    expires_at: float

    @property
    def settings(self) -> dict[str, str]:
        """The section of a configuration."""
        return {"certificate": str(self.certificate), "key": str(self.key)}

    def trusted(self) -> ssl.SSLContext:
        """Return what a client takes that trusts this certificate alone."""
        return ssl.create_default_context(cafile=str(self.certificate))


def write_certificate(
    folder: Path, *, days: int = 2, password: bytes | None = None
) -> Files:
    """Write a new certificate and key, over those that may be there."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    expires = (now + datetime.timedelta(days=days)).replace(microsecond=0)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1 + abs(days)))
        .not_valid_after(expires)
        .add_extension(_NAMES, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    files = Files(folder / "cert.pem", folder / "key.pem", expires.timestamp())
    files.certificate.write_bytes(certificate.public_bytes(pem))
    files.key.write_bytes(
        key.private_bytes(
            pem,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption()
            if password is None
            else serialization.BestAvailableEncryption(password),
        )
    )
    return files
