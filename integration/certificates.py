"""A certificate authority of our own for test brokers.

Rule: made afresh for every broker, valid for a day, for 127.0.0.1 and localhost only; nothing is kept in the
repository.
"""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

VALID_FOR = datetime.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """Files of one server: ``ca`` is what clients trust, ``keystore`` holds the server's key and chain (PEM)."""

    ca: Path
    keystore: Path


def make_server_certificate(directory: Path) -> ServerCertificate:
    """Write a new authority and a certificate that it signed for 127.0.0.1 and localhost."""
    directory.mkdir(parents=True, exist_ok=True)
    ca_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name, server_name = _name("stream_infer test authority"), _name("localhost")
    ca = _certificate(ca_name, ca_name, ca_key.public_key(), ca_key, is_ca=True)
    server = _certificate(server_name, ca_name, server_key.public_key(), ca_key, is_ca=False)
    files = ServerCertificate(ca=directory / "ca.pem", keystore=directory / "server.pem")
    files.ca.write_bytes(_pem(ca))
    files.keystore.write_bytes(_private_pem(server_key) + _pem(server) + _pem(ca))
    files.keystore.chmod(0o600)
    return files


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    signing_key: ec.EllipticCurvePrivateKey,
    *,
    is_ca: bool,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + VALID_FOR)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    )
    if not is_ca:
        loopback = ipaddress.ip_address("127.0.0.1")
        names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(loopback)])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(signing_key, hashes.SHA256())


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
