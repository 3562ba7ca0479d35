# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates out of DER, PEM and the store of Traefik, with the dates they hold. Shared by the drivers that meet certificates."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from .._core.errors import MissingLibrary, VerifyFailed

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True)
class Certificate:
    """What a check wants to know of a certificate; instants in seconds since 1970."""

    name: str
    starts: float
    ends: float


def library() -> Any:
    """cryptography's x509, 3.3 or newer."""
    try:
        from cryptography import x509
    except ImportError:
        raise MissingLibrary("cryptography", "python3-cryptography", "to read the dates of certificates") from None
    return x509


def in_der(content: bytes, source: str) -> Certificate:
    """One certificate as it is shown in a TLS handshake."""
    return _parsed(library().load_der_x509_certificate, content, source)


def in_pem(content: bytes, source: str) -> list[Certificate]:
    """Every certificate in a PEM file; keys and whatever else stands beside them are passed over."""
    load = library().load_pem_x509_certificate
    found = [_parsed(load, block, f"certificate {number} of {source}") for number, block in enumerate(_PEM.findall(content), 1)]
    if not found:
        raise VerifyFailed(f"{source} holds no certificate", "see whether this is the right file, in PEM form")
    return found


def in_acme(content: bytes, source: str) -> list[Certificate]:
    """The first certificate of every chain of every resolver. Only ``domain`` and ``certificate`` are touched, never a key."""
    try:
        resolvers = json.loads(content or b"{}")
        entries = [entry for resolver in resolvers.values() for entry in resolver.get("Certificates") or []]
        chains = [(str(entry["domain"]["main"]), base64.b64decode(entry["certificate"])) for entry in entries]
    except (ValueError, TypeError, KeyError, AttributeError):  # their texts could quote the store
        raise VerifyFailed(f"{source} is not a store of Traefik", "give the acme.json of Traefik 2 or newer") from None
    if not chains:
        raise VerifyFailed(f"{source} holds no certificate", "see the log of Traefik: it has not obtained one")
    leaves = [in_pem(chain, f"the chain for {domain} in {source}")[0] for domain, chain in chains]
    return [Certificate(domain, leaf.starts, leaf.ends) for (domain, _chain), leaf in zip(chains, leaves)]


def _parsed(load: Any, content: bytes, source: str) -> Certificate:
    try:
        found = load(content)
        return Certificate(_name(found), _instant(found, "not_valid_before"), _instant(found, "not_valid_after"))
    except (ValueError, TypeError):
        raise VerifyFailed(f"{source} cannot be read as an X.509 certificate", "renew it, or put the right file there") from None


def _instant(found: Any, field: str) -> float:
    """From cryptography 42 on with a time zone; before that without, and always UTC."""
    value: datetime = getattr(found, f"{field}_utc", None) or getattr(found, field)
    return value.replace(tzinfo=timezone.utc).timestamp()


def _name(found: Any) -> str:
    """The common name; short-lived certificates have none, then the first alternative name, then the serial number."""
    x509 = library()
    for attribute in found.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME):
        return str(attribute.value)
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return str(next(iter(names)).value)
    except (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, ValueError, StopIteration):
        return f"serial {found.serial_number:x}"
