"""The sandbox's own certificate authority, and certificates for servers and clients under it."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sandbox.servers.files import private_write

LIFETIME = datetime.timedelta(days=365)
NAMES = ("localhost", "kubernetes.default.svc")


@dataclass(frozen=True)
class Authority:
    """A certificate authority; its certificate is ``ca.pem`` in its folder, its key beside it."""

    folder: Path

    @property
    def certificate_file(self) -> Path:
        return self.folder / "ca.pem"

    def load(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        """The certificate and the key, made at the first call."""
        key_file = self.folder / "ca.key"
        if not self.certificate_file.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            subject = _name("strongroom sandbox", None)
            certificate = _builder(subject, subject, key.public_key(), authority=True).sign(key, hashes.SHA256())
            private_write(key_file, _private(key))
            private_write(self.certificate_file, certificate.public_bytes(serialization.Encoding.PEM))
            return certificate, key
        loaded = serialization.load_pem_private_key(key_file.read_bytes(), None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        return x509.load_pem_x509_certificate(self.certificate_file.read_bytes()), loaded

    def issue(self, name: str, *, organization: str | None = None, common_name: str | None = None) -> tuple[Path, Path]:
        """Certificate and key files ``name``, for loopback servers and for clients; kept once made.

        To Kubernetes a client is the user ``common_name`` (default: ``name``) in the group ``organization``.
        """
        certificate_file, key_file = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        if not certificate_file.exists():
            authority, authority_key = self.load()
            key = ec.generate_private_key(ec.SECP256R1())
            alternatives: list[x509.GeneralName] = [x509.DNSName(dns) for dns in NAMES]
            alternatives.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
            usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            certificate = (
                _builder(_name(common_name or name, organization), authority.subject, key.public_key(), authority=False)
                .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
                .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
                .sign(authority_key, hashes.SHA256())
            )
            private_write(key_file, _private(key))
            private_write(certificate_file, certificate.public_bytes(serialization.Encoding.PEM))
        return certificate_file, key_file


def token_keys(folder: Path) -> tuple[Path, Path]:
    """Private and public key files with which the API server signs service-account tokens (RS256), kept once made."""
    private, public = folder / "service-account.key", folder / "service-account.pub"
    if not public.exists():
        key = rsa.generate_private_key(65537, 2048)
        private_write(private, _private(key, serialization.PrivateFormat.TraditionalOpenSSL))
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        private_write(public, key.public_key().public_bytes(serialization.Encoding.PEM, form))
    return private, public


def _name(common: str, organization: str | None) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if organization is not None:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(attributes)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, *, authority: bool
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )


def _private(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey,
    form: serialization.PrivateFormat = serialization.PrivateFormat.PKCS8,
) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
