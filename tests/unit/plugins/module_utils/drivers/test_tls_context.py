# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How TLS connections are verified, alike for every driver and on every Python."""
from __future__ import annotations

import os
import ssl
from pathlib import Path
from types import SimpleNamespace

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput, RunbookError
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import _tls_context

from .authority import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def test_chain_and_name_are_verified_without_the_strict_rules_of_newer_pythons(authority: Authority) -> None:
    context = _tls_context.verifying(authority.path)
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version == _tls_context.trusting().minimum_version == ssl.TLSVersion.TLSv1_2


def test_an_authority_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("", encoding="ascii")
    for path in (tmp_path / "empty.pem", tmp_path / "missing.pem"):
        with pytest.raises(InvalidInput, match="ca_path"):
            _tls_context.verifying(str(path))


def test_a_host_without_authorities_cannot_tell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bare = SimpleNamespace(cafile=None, capath=os.fspath(tmp_path))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: bare)
    with pytest.raises(RunbookError, match="no certificate authority"):
        _tls_context.verifying(None)
