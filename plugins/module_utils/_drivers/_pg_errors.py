# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What PostgreSQL's client programs say when they fail, and what it means.

Codes are those of https://www.postgresql.org/docs/current/errcodes-appendix.html. Texts of libpq are in English since the programs run with
LC_ALL=C; those of the server are in the server's language, so its codes are looked at first wherever psql shows them.
"""

from __future__ import annotations

import re

from .._core.errors import CommandFailed, Exists, InUse, NoSpace, NotThere, Refused, RunbookError, TimedOut, Unreachable, VerifyFailed


class AuthFailed(Unreachable):
    """The server does not let this user in."""

    code = "auth"


class TlsFailed(Unreachable):
    """There is no connection that is encrypted and to the right server."""

    code = "tls"


class ConnectionLost(Unreachable):
    """The server ended the connection at work: it restarts, or somebody ended the session. Trying once more makes sense."""

    code = "connection_lost"


class LockTimeout(TimedOut):
    """Somebody else holds a lock on a relation for too long."""

    code = "lock_timeout"


class Denied(CommandFailed):
    """The role lacks a right."""

    code = "permission_denied"


class RecoveryConflict(CommandFailed):
    """A standby had to cancel what we asked, to go on with recovery."""

    code = "recovery_conflict"


class MissingRole(CommandFailed):
    """What is restored names a role that the server does not have."""

    code = "missing_role"


class MissingExtension(CommandFailed):
    """What is restored needs an extension that is not installed on the server."""

    code = "missing_extension"


class ClientTooOld(Refused):
    """pg_dump is older than the server."""

    code = "client_too_old"


class ToolTooOld(RunbookError):
    """pg_restore is older than the pg_dump that made the artifact."""

    code = "tool_too_old"


class ReplicaTooOld(Refused):
    """A standby is too far behind."""

    code = "replica_too_old"


class MissingProgram(RunbookError):
    """A client program is not installed."""

    code = "missing_program"


# Code or text (the first that matches counts), what it is, and what to do.
_MEANINGS: tuple[tuple[str, type[RunbookError], str], ...] = (
    (r"^it was killed by signal", CommandFailed, "see whether the host ran out of memory (its kernel's log), and who ends processes there"),
    (r"\b55P03\b|lock timeout", LockTimeout, "find who holds the lock (pg_locks, pg_blocking_pids) and try again, or raise lock_timeout_seconds"),
    (r"row-level security policy", Denied, "give the backup role BYPASSRLS: what a policy hides would be missing from the backup"),
    (r"conflict with recovery|\b40001\b", RecoveryConflict, "set hot_standby_feedback or a larger max_standby_streaming_delay there, or back up the primary"),
    (r"\b57014\b|statement timeout", TimedOut, "allow more time, or see what slows the server down"),
    (r"\b53100\b|No space left on device", NoSpace, "make room on the server's disk"),
    (r"\b53200\b|out of shared memory", CommandFailed, "raise max_locks_per_transaction on the server: it has more tables than locks"),
    (r"\b55006\b|is being accessed by other users", InUse, "end those sessions (pg_stat_activity, pg_prepared_xacts), which needs the right to"),
    (r"\b42P04\b", Exists, "see who made it, and rename it"),
    (r"could not open extension control file|extension \"[^\"]*\" is not available", MissingExtension, "install the extension's package on the server"),
    (r"password authentication failed|no password supplied|no pg_hba\.conf entry|pg_hba\.conf rejects|authentication failed|\b28(000|P01)\b"
     r"|is not permitted to log in|FATAL: .*role \".*\" does not exist|permission denied for database|\b0LP01\b", AuthFailed,
     "see user, password (also whether it expired) and pg_hba.conf; on the host os_user: postgres uses peer authentication"),
    (r"SSL connection has been closed|SSL SYSCALL error", ConnectionLost, "see the server's log, and the network between"),
    (r"(?i)\bSSL\b|certificate|\bTLS\b", TlsFailed, "give sslrootcert (the authority's certificate), and the host as it is named in the server's certificate"),
    (r"\b3D000\b|database \"(?s:.)*\" does not exist", NotThere, "see whether the name of the database is right"),
    (r"role \"(?s:.)*\" does not exist|\b42704\b.*role", MissingRole, "make the role first: globals.sql of the same artifact holds all of them"),
    (r"\b57P0[1-4]\b|server closed the connection|terminating connection|connection to server was lost|could not receive data|could not send data"
     r"|no connection to the server", ConnectionLost, "see the server's log, and try again once it is up"),
    (r"connection to server|could not connect|could not translate host name|timeout expired|is starting up|is shutting down|\b53300\b|too many clients",
     Unreachable, "see whether the server runs and listens there"),
    (r"\b42501\b|permission denied|must be owner|must be superuser|must be member|must be able to", Denied,
     "give the role the right (for a backup: pg_read_all_data)"),
    (r"valid archive|magic string|input file|end of file|unexpected (EOF|end)|corrupt|could not find block ID", VerifyFailed,
     "the artifact is damaged: take another one"),
)  # fmt: skip
_NOISE = re.compile(r"^LOCATION:  .*\n?", re.MULTILINE)
_LONG_STATEMENT = re.compile(r"(STATEMENT:  .{300}).*", re.DOTALL)
_ASIDE = re.compile(
    r"^(?:DETAIL|CONTEXT|STATEMENT|HINT|QUERY|LINE \d+|WARNING|NOTICE|pg_\w+: (?:warning|hint|from TOC entry))\b.*$"
    r"|^(?:pg_\w+: detail: )?(?:Query|Command) was:(?s:.*?)(?=^pg_|\Z)",
    re.MULTILINE,
)


def failure(program: str, status: int, said: str) -> RunbookError:
    """The error that a program's end means: ``status`` as of Child.finish, ``said`` the end of its standard error."""
    name = program.rpartition("/")[2]
    text = _LONG_STATEMENT.sub(r"\1 ...", _NOISE.sub("", said)).strip() or (f"it was killed by signal {-status}" if status < 0 else "")
    told = _ASIDE.sub("", text)  # statements and rows hold words of their own
    fallback = (CommandFailed, "see the message and the server's log")
    kind, hint = next(((kind, hint) for pattern, kind, hint in _MEANINGS if re.search(pattern, told)), fallback)
    if not issubclass(kind, CommandFailed):
        return kind(f"{name} failed: {text}", hint)
    error = kind([name], status, text)
    error.hint = hint
    return error
