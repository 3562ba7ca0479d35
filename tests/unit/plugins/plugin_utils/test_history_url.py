# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An address is shown without its password, whatever somebody wrote there."""

from __future__ import annotations

import pytest

from ansible_collections.tradeops.runbook.plugins.plugin_utils.history_url import is_ambiguous, label, secrets_in, without_password

ADDRESSES = {
    "postgresql://ops@db.example.org/history": "postgresql://ops@db.example.org/history",
    "postgresql://ops:s3cret@db:5433/history?sslmode=require": "postgresql://ops@db:5433/history?sslmode=require",
    "postgres://:s3cret@db/history": "postgres://@db/history",
    "postgresql:///history?host=/run/postgresql&password=s3cret&x=1": "postgresql:///history?host=/run/postgresql&password=&x=1",
    "postgresql:///?service=history": "postgresql:///?service=history",
    "postgresql://ops:s3cret/with?all@signs@db/history": "postgresql://ops@db/history",
    "host=db password=s3cret": "",
    "": "",
}


@pytest.mark.parametrize("url", ADDRESSES)
def test_the_password_goes_and_the_rest_stays(url: str) -> None:
    assert without_password(url) == ADDRESSES[url]
    assert "s3cret" not in label(url) and "?" not in label(url) and label(url)


def test_secrets_are_known_as_written_and_as_meant() -> None:
    assert secrets_in("postgresql://ops:a%40b@db/x?sslpassword=c%20d") == {"a%40b", "a@b", "c%20d", "c d"}
    assert secrets_in("postgresql://ops@db/x") == set()


@pytest.mark.parametrize(("url", "expected"), [("postgresql://ops:a%2Fb@db/x", False), ("postgresql://ops:a/b@db/x", True), ("nonsense", True)])
def test_a_password_that_could_be_taken_for_a_host_is_ambiguous(url: str, expected: bool) -> None:
    assert is_ambiguous(url) is expected
