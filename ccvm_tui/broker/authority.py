"""A certificate authority for one guest. Its keys exist only in the memory of the keeper.

Its certificates are for the hosts of the table of agents only, which is also a constraint in its own certificate.
"""

from __future__ import annotations

import datetime
import os
import ssl
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SUBJECT = "ccvm logins of this guest"
"""The name of the authority. It is the same in each guest, and so is ``SUBJECT_HASH``."""

SUBJECT_HASH = "d419795c"
"""The name of the certificate in a directory of OpenSSL (``openssl x509 -hash``), without the suffix ``.0``."""

_BEFORE = datetime.timedelta(days=1)
_VALID = datetime.timedelta(days=3650)


class Authority:
    """The authority, for the names ``hosts``."""

    def __init__(self, hosts: Iterable[str]) -> None:
        self._hosts = frozenset(hosts)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SUBJECT)])
        self._certificate = self._sign_own()
        self._contexts: dict[str, ssl.SSLContext] = {}

    @property
    def pem(self) -> bytes:
        """The certificate of the authority, which is no secret."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def context(self, host: str) -> ssl.SSLContext:
        """Return the context of a server that is ``host``. Raises KeyError if it is not one of the hosts."""
        if host not in self._hosts:
            raise KeyError(host)
        if host not in self._contexts:
            self._contexts[host] = self._server_context(host)
        return self._contexts[host]

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BEFORE)
            .not_valid_after(now + _VALID)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )

    def _sign_own(self) -> x509.Certificate:
        names = [x509.DNSName(host) for host in sorted(self._hosts)]
        return (
            self._builder(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(certificates=True), critical=True)
            .add_extension(x509.NameConstraints(permitted_subtrees=names, excluded_subtrees=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def _server_context(self, host: str) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            self._builder(x509.Name([]), key.public_key())
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        _load(context, certificate.public_bytes(serialization.Encoding.PEM) + self.pem + private)
        return context


def _load(context: ssl.SSLContext, pem: bytes) -> None:
    """Load a certificate and its key, which Python reads from files only: here from one in memory, without a name."""
    fd = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        os.write(fd, pem)
        context.load_cert_chain(Path(f"/proc/self/fd/{fd}"))
    finally:
        os.close(fd)


def _usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates, key_cert_sign=certificates, crl_sign=certificates, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
