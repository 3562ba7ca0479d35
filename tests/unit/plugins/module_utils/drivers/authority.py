# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A certificate authority for tests: makes certificates of any age for any name. Works with cryptography 3.3 and newer."""

from __future__ import annotations

import ssl
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.backends import default_backend
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

DAY = timedelta(days=1)


class Authority:
    """Signs certificates; its own is in ``path`` (PEM)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = _key()
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Test authority")])
        self._certificate = _signed(self._name, self._name, self._key.public_key(), self._key, (-400, 4000), authority=True)
        self.path = str(folder / "authority.pem")
        Path(self.path).write_bytes(pem(self._certificate))

    def issue(self, name: str | None, days: tuple[float, float] = (-1, 90), alternative: str = "localhost") -> tuple[str, bytes]:
        """The path of a PEM file with key and certificate, and the certificate alone; valid from and to so many days from now."""
        key = _key()
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)] if name else [])
        signed = _signed(subject, self._name, key.public_key(), self._key, days, alternative)
        path = self._folder / f"{name}-{signed.serial_number}.pem"
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        path.write_bytes(private + pem(signed))
        return str(path), pem(signed)

    def server(self, name: str = "localhost", days: tuple[float, float] = (-1, 90), alternative: str = "localhost") -> ssl.SSLContext:
        """What a server needs to show a certificate of this authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.issue(name, days, alternative)[0])
        return context


def pem(certificate: Any) -> bytes:
    encoded: bytes = certificate.public_bytes(serialization.Encoding.PEM)
    return encoded


def _key() -> Any:
    return ec.generate_private_key(ec.SECP256R1(), default_backend())


def _signed(
    subject: Any, issuer: Any, public: Any, key: Any, days: tuple[float, float], alternative: str = "", authority: bool = False
) -> Any:
    now = datetime.now(timezone.utc).replace(microsecond=0)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public)
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now + days[0] * DAY).not_valid_after(now + days[1] * DAY)
    builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    if alternative:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(alternative)]), critical=False)
    return builder.sign(key, hashes.SHA256(), default_backend())
