# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the client programs say, as they said it, and what it is taken for."""

from __future__ import annotations

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import CommandFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._pg_errors import failure

TCP = 'connection to server at "127.0.0.1", port 5432 failed: '


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (f"psql: error: {TCP}FATAL:  password authentication failed for user \"x\"", "auth"),
        (f"psql: error: {TCP}fe_sendauth: no password supplied", "auth"),
        (f'psql: error: {TCP}FATAL:  no pg_hba.conf entry for host "127.0.0.1", user "x", database "y", no encryption', "auth"),
        (f'psql: error: {TCP}FATAL:  pg_hba.conf rejects connection for host "127.0.0.1", user "x", database "y", SSL encryption', "auth"),
        ('psql: error: connection to server on socket "/run/postgresql/.s.PGSQL.5432" failed: FATAL:  Peer authentication failed for user "x"', "auth"),
        ('psql: error: connection to server on socket "/x/.s.PGSQL.5432" failed: FATAL:  role "root" does not exist', "auth"),
        (f'psql: error: {TCP}FATAL:  role "x" is not permitted to log in', "auth"),
        (f'psql: error: {TCP}FATAL:  permission denied for database "x"\nDETAIL:  User does not have CONNECT privilege.', "auth"),
        (f"psql: error: {TCP}server does not support SSL, but SSL was required", "tls"),
        (f"psql: error: {TCP}SSL error: certificate verify failed", "tls"),
        (f'psql: error: {TCP}server certificate for "localhost" does not match host name "127.0.0.1"', "tls"),
        (f'psql: error: {TCP}root certificate file "/root/.postgresql/root.crt" does not exist\nEither provide the file or change sslmode.', "tls"),
        (f"psql: error: {TCP}Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?", "unreachable"),
        (f"psql: error: {TCP}timeout expired", "unreachable"),
        (f"psql: error: {TCP}FATAL:  the database system is starting up", "unreachable"),
        (f"psql: error: {TCP}FATAL:  sorry, too many clients already", "unreachable"),
        ('psql: error: could not translate host name "x" to address: Name or service not known', "unreachable"),
        (f'psql: error: {TCP}FATAL:  database "a\nb" does not exist', "not_there"),
        ("FATAL:  57P01: terminating connection due to administrator command\nLOCATION:  ProcessInterrupts, postgres.c:3278\nserver closed the connection",
         "connection_lost"),
        ("pg_dump: error: Dumping the contents of table \"a\" failed: PQgetCopyData() failed.\npg_dump: detail: Error message from server: server closed"
         " the connection unexpectedly\n\tThis probably means\npg_dump: detail: Command was: COPY public.a (i, v) TO stdout;", "connection_lost"),
        ("pg_dump: error: query failed: SSL SYSCALL error: EOF detected", "connection_lost"),
        ("ERROR:  55P03: canceling statement due to lock timeout\nLOCATION:  x\nSTATEMENT:  LOCK TABLE ONLY public.busy IN ACCESS SHARE MODE", "lock_timeout"),
        ("pg_dump: error: query failed: ERROR:  canceling statement due to lock timeout\npg_dump: detail: Query was: LOCK TABLE public.a IN ACCESS SHARE MODE",
         "lock_timeout"),
        ("ERROR:  42501: permission denied for table t\nSTATEMENT:  LOCK TABLE ONLY public.t IN ACCESS SHARE MODE", "permission_denied"),
        ('pg_dump: error: query failed: ERROR:  query would be affected by row-level security policy for table "t"', "permission_denied"),
        ('pg_restore: error: could not execute query: ERROR:  must be owner of extension plpgsql\nCommand was: COMMENT ON EXTENSION plpgsql IS \'x\';',
         "permission_denied"),
        ("pg_dump: error: Dumping the contents of table \"t\" failed: PQgetResult() failed.\npg_dump: detail: Error message from server: ERROR: "
         " canceling statement due to conflict with recovery\nDETAIL:  User query might have needed to see row versions that must be removed.",
         "recovery_conflict"),
        ("ERROR:  57014: canceling statement due to statement timeout", "timed_out"),
        ('ERROR:  55006: database "x" is being accessed by other users\nDETAIL:  There are 2 other sessions using the database.', "in_use"),
        ("pg_restore: error: could not execute query: ERROR:  could not extend file \"base/1/2\": No space left on device\nHINT:  Check free disk space.",
         "no_space"),
        ("pg_dump: error: query failed: ERROR:  out of shared memory\nHINT:  You might need to increase max_locks_per_transaction.", "command_failed"),
        ('pg_restore: error: could not execute query: ERROR:  extension "hstore" is not available\nDETAIL:  Could not open extension control file "x.control".',
         "missing_extension"),
        ('pg_restore: error: could not execute query: ERROR:  role "app" does not exist\nCommand was: ALTER TABLE public.t OWNER TO app;', "missing_role"),
        ('ERROR:  42704: role "app" does not exist\nSTATEMENT:  CREATE DATABASE "x" OWNER = "app"', "missing_role"),
        ("pg_restore: error: input file does not appear to be a valid archive", "verify_failed"),
        ("pg_restore: error: could not read from input file: end of file", "verify_failed"),
        ("pg_restore: error: did not find magic string in file header", "verify_failed"),
        ("something new", "command_failed"),
        ("", "command_failed"),
    ],
)  # fmt: skip
def test_what_it_means(said: str, code: str) -> None:
    error = failure("/usr/lib/postgresql/15/bin/psql", 2, said)
    assert error.code == code and error.hint and "/usr/lib" not in error.message and "LOCATION" not in error.message
    assert not said or said.splitlines()[0] in error.message


@pytest.mark.parametrize(
    "said",
    ['ERROR:  22P02: invalid input syntax for type integer: "x"\nCONTEXT:  COPY t, line 1, column a: "'
     'SSL certificate, permission denied, No space left on device"',
     'ERROR:  23505: duplicate key\nDETAIL:  Key (a)=(lock timeout) already exists.\nSTATEMENT:  insert into t values (\'lock timeout\')',
     "pg_restore: error: could not execute query: ERROR:  syntax error\nCommand was: CREATE FUNCTION f() AS $$\n-- permission denied, lock timeout, SSL\n$$;"],
)  # fmt: skip
def test_rows_and_statements_are_not_taken_for_errors(said: str) -> None:
    assert failure("psql", 3, said).__class__ is CommandFailed


def test_a_signal_and_a_long_statement() -> None:
    killed = failure("pg_dump", -9, "")
    assert "killed by signal 9" in killed.message and "memory" in killed.hint
    assert len(failure("psql", 3, "ERROR:  42601: x\nSTATEMENT:  " + "x" * 5000).message) < 500
