# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How TLS connections are verified. Shared by the drivers that make them."""

from __future__ import annotations

import os
import ssl

from .._core.errors import InvalidInput, RunbookError


def verifying(ca_path: str | None) -> ssl.SSLContext:
    """Trusts the authorities in ``ca_path``, or those of this host. Raises RunbookError where the host knows none."""
    system = ssl.get_default_verify_paths()
    if not ca_path and not system.cafile and not (system.capath and os.listdir(system.capath)):
        raise RunbookError("this host knows no certificate authority to verify with", "install ca-certificates there, or set ca_path")
    try:
        context = ssl.create_default_context(cafile=ca_path)
    except OSError as error:  # also ssl.SSLError
        raise InvalidInput(f"ca_path {ca_path} cannot be used: {error}", "give a readable PEM file of the authority") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # On from Python 3.13: the verdict must not depend on the Python of the host that asks.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def trusting() -> ssl.SSLContext:
    """Takes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
