"""A certificate authority of the stack's own, whose keys all come from one secret.

Keys and certificates are a function of the secret, the host name and the date, so that the state
keeps the secret only and nothing changes from one `up` to the next. A certificate is issued anew by
the first `up` in a half-year, and is valid for half a year longer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pulumi
import pulumi_docker as docker
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from infra.container import secret_file
from infra.passwords import generated_secret

_CURVE = ec.SECP256R1()
# https://www.secg.org/sec2-v2.pdf, section 2.4.2.
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)
_PERIOD = timedelta(days=182)
_LIFETIME = timedelta(days=365)
_LIFETIME_OF_ROOT = timedelta(days=20 * 365)


@dataclass(frozen=True)
class Issued:
    """A certificate with its key, both in PEM."""

    certificate: str
    key: str


class Certificates(pulumi.ComponentResource):
    """The certificates of the stack.

    Attributes:
        outputs: What the stack exports of them, by the names of the stack's outputs.
    """

    outputs: dict[str, pulumi.Input[str]]

    def __init__(
        self, name: str, host_name: str, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Declares the secret of the authority.

        Args:
            name: The logical name.
            host_name: The host name for which the authority signs, with the names below it.
            opts: The resource options.
        """
        super().__init__("podium:infra:Certificates", name, None, opts)
        self._today = datetime.now(UTC)
        self._authority = generated_secret(f"{name}-secret", parent=self).apply(
            lambda secret: Authority(secret, host_name)
        )
        self.outputs = {
            "rootCertificate": pulumi.Output.unsecret(self._authority.apply(Authority.root)),
            "certificatesExpire": f"{_start(self._today) + _LIFETIME:%Y-%m-%d}",
        }
        self.register_outputs(self.outputs)

    def files(
        self, server: str, host_names: Sequence[str], folder: str
    ) -> list[docker.ContainerUploadArgs]:
        """Returns the certificate of a server and its key, as <server>.crt and .key in a folder.

        Args:
            server: The name of the server.
            host_names: Its host names.
            folder: The folder in its container.
        """
        issued = self._authority.apply(
            lambda authority: authority.issue(server, host_names, self._today)
        )
        return [
            secret_file(f"{folder}/{server}.crt", issued.apply(lambda it: it.certificate), "0644"),
            secret_file(f"{folder}/{server}.key", issued.apply(lambda it: it.key), "0600"),
        ]


@dataclass(frozen=True)
class Authority:
    """An authority that signs for one host name and the names below it.

    Attributes:
        secret: What all keys are derived from.
        domain: The host name.
    """

    secret: str
    domain: str

    def root(self) -> str:
        """Returns the certificate of the authority in PEM, which never changes."""
        return _pem(self._root())

    def issue(self, name: str, host_names: Sequence[str], today: datetime) -> Issued:
        """Issues the certificate of a server for the half-year that a date is in.

        Args:
            name: Who has it; each name has a key of its own.
            host_names: The host names of the server.
            today: The date, with its time zone.
        """
        root, key = self._root(), _key(self.secret, name)
        start = _start(today)
        names = x509.SubjectAlternativeName([x509.DNSName(host) for host in host_names])
        certificate = (
            _builder(key, name, start, start + _LIFETIME, host_names)
            .issuer_name(root.subject)
            .add_extension(names, critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()),  # type: ignore[arg-type]
                critical=False,
            )
        )
        return Issued(_pem(_sign(certificate, self._key())), _pem_key(key))

    def _key(self) -> ec.EllipticCurvePrivateKey:
        return _key(self.secret, "authority")

    def _root(self) -> x509.Certificate:
        # A name has at most 64 characters (RFC 5280, appendix A.1).
        key, name = self._key(), f"Podium {self.domain}"[:64]
        # Whoever trusts the authority does so for this host only.
        only = x509.NameConstraints([x509.DNSName(self.domain)], excluded_subtrees=None)
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        certificate = (
            _builder(key, name, _FIRST_DAY, _FIRST_DAY + _LIFETIME_OF_ROOT)
            .issuer_name(_subject(name))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(only, critical=True)
        )
        return _sign(certificate, key)


def _start(today: datetime) -> datetime:
    return _FIRST_DAY + (today - _FIRST_DAY) // _PERIOD * _PERIOD


def _key(secret: str, name: str) -> ec.EllipticCurvePrivateKey:
    """Derives a key; 48 bytes make all keys equally likely (FIPS 186-5, appendix A.2.1)."""
    derived = HKDF(hashes.SHA256(), length=48, salt=None, info=name.encode()).derive(
        secret.encode()
    )
    return ec.derive_private_key(int.from_bytes(derived) % (_ORDER - 1) + 1, _CURVE)


def _builder(
    key: ec.EllipticCurvePrivateKey,
    name: str,
    start: datetime,
    end: datetime,
    host_names: Sequence[str] = (),
) -> x509.CertificateBuilder:
    public = key.public_key()
    identifier = x509.SubjectKeyIdentifier.from_public_key(public)
    # Of one issuer no two certificates may have the same number (RFC 5280, section 4.1.2.2).
    serial = hashes.Hash(hashes.SHA256())
    serial.update(identifier.digest + f"{start} {host_names}".encode())
    return (
        x509.CertificateBuilder()
        .subject_name(_subject(name))
        .public_key(public)
        .serial_number(int.from_bytes(serial.finalize()[:16]))
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(identifier, critical=False)
    )


def _sign(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    return builder.sign(key, hashes.SHA256(), ecdsa_deterministic=True)


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _pem_key(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
