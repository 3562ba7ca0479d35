# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long certificates are still good: of a TLS endpoint, in a PEM file, or in the store of Traefik (acme.json). See RFC 5280."""

from __future__ import annotations

import socket
import ssl
from typing import Any

from .._core.errors import InvalidInput, Unreachable, VerifyFailed
from .._core.probe import Probe
from ._certificates import Certificate, in_acme, in_der, in_pem, library
from ._connect import connect, resolve
from ._container_address import host_of
from ._read import read_regular
from ._time_left import TimeLeft
from ._tls_context import trusting, verifying

MEASURES = {
    "expires_in": "s",
    "certificate_count": "count",
    "expired_count": "count",
    "trusted": "boolean",
    "problem": "text",
    "soonest": "text",
    "protocol": "text",
}


def measure(options: dict[str, Any], probe: Probe) -> dict[str, Any]:
    """Read the dates of the certificate of ``host``, of all in ``path`` or of all in ``acme_path``; ``soonest`` ends first.

    An endpoint is verified (chain and name); what it shows is read even when that fails, and ``problem`` says why it failed.
    Raises Unreachable (no answer, no file), VerifyFailed (no TLS 1.2, no certificate), TimedOut, MissingLibrary.
    """
    library()  # asked for first: a missing library must not look like a broken certificate
    if options.get("host"):
        return _endpoint(options, probe)
    path = options.get("path") or options["acme_path"]
    certificates = (in_pem if options.get("path") else in_acme)(read_regular(path), path)
    return _summary(certificates, probe.now)


def _summary(certificates: list[Certificate], now: float) -> dict[str, Any]:
    soonest = min(certificates, key=lambda certificate: certificate.ends)
    early = sorted({certificate.name for certificate in certificates if certificate.starts > now})
    return {
        "expires_in": soonest.ends - now,
        "certificate_count": len(certificates),
        "expired_count": sum(certificate.ends <= now for certificate in certificates),
        "soonest": soonest.name,
        "problem": f"not valid yet: {', '.join(early)}" if early else "",
    }


def _endpoint(options: dict[str, Any], probe: Probe) -> dict[str, Any]:
    where = f"{options['host']} port {options['port']}"
    left = TimeLeft(probe, options["timeout_seconds"], f"the TLS handshake with {where}", "see whether the service there hangs")
    _check_name(options.get("server_name") or options["host"])
    problem = ""
    try:
        shown, protocol = _handshake(options, verifying(options.get("ca_path")), left)
    except ssl.SSLCertVerificationError as error:
        problem = error.verify_message.rstrip(".")
        shown, protocol = _handshake(options, trusting(), left)
    found = _summary([in_der(shown, f"what {where} shows")], probe.now)
    return {**found, "trusted": not problem, "problem": problem, "protocol": protocol}


def _handshake(options: dict[str, Any], context: ssl.SSLContext, left: TimeLeft) -> tuple[bytes, str]:
    """The certificate shown (DER) and the protocol agreed on; nothing is sent. Raises ``ssl.SSLCertVerificationError`` as it came."""
    host, port = options["host"], options["port"]
    address = host_of(options, left, host)
    with connect(address, resolve(address, port, left), left) as plain:
        plain.settimeout(left.timeout())  # here it bounds the whole handshake, not each read: a slow drip cannot stretch it
        try:
            with context.wrap_socket(plain, server_hostname=options.get("server_name") or host) as secured:
                return secured.getpeercert(binary_form=True) or b"", secured.version() or ""
        except ssl.SSLCertVerificationError:
            raise
        except socket.timeout:
            raise left.passed() from None
        except ssl.SSLError as error:
            message = f"no TLS 1.2 or newer was agreed on with {host} port {port}: {error.reason or error}"
            raise VerifyFailed(message, "see what listens there and which versions it offers") from None
        except OSError as error:
            message = f"{host} port {port} broke off the TLS handshake: {error.strerror or error}"
            raise Unreachable(message, "see its log, and what listens there") from None


def _check_name(name: str) -> None:
    """Tried on no connection, since one would be left open by the refusal."""
    try:
        trusting().wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=name)
    except (ValueError, TypeError) as error:
        raise InvalidInput(f'tls: no server can be asked for as "{name}": {error}', "correct server_name or host") from None
