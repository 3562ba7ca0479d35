# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts for PostgreSQL's client programs: names as data, and what is asked about servers and databases. PostgreSQL 12 and newer.

Queries give one JSON value a line. What belongs to an extension is left out: ``create extension`` makes it anew, maybe in another version.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .._core.errors import InvalidInput

NAME_BYTES = 63
"""The longest name (NAMEDATALEN - 1); the server would cut a longer one and mean another object."""


def checked_name(name: str, what: str) -> str:
    """``name`` when a PostgreSQL object can have it. Raises InvalidInput."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise InvalidInput(f"{what} is not valid Unicode", "correct it in the inventory") from None
    if not 0 < size <= NAME_BYTES or "\0" in name:
        raise InvalidInput(f"{what} {name!r} cannot be a name in PostgreSQL", f"a name has 1 to {NAME_BYTES} bytes and no NUL")
    return name


def own_name(name: str, suffix: str) -> str:
    """A name derived from ``name``, which is shortened where both together are too long."""
    return name.encode()[: NAME_BYTES - len(suffix.encode())].decode("utf-8", "ignore") + suffix


def quote_name(name: str) -> str:
    """As an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """As an SQL literal, under standard_conforming_strings."""
    return "'" + text.replace("'", "''") + "'"


def conninfo(parts: Mapping[str, object]) -> str:
    """A connection string of libpq in which every value is data. See the manual, Connection Strings."""

    def quoted(value: object) -> str:
        return "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"

    return " ".join(f"{key}={quoted(value)}" for key, value in parts.items() if value not in (None, ""))


def passfile_line(password: str) -> bytes:
    """A password file of libpq that has this password for everything."""
    if "\n" in password or "\r" in password or "\0" in password:
        raise InvalidInput("the password of PostgreSQL has a line end or NUL in it", "correct it in the vault")
    return ("*:*:*:*:" + password.replace("\\", "\\\\").replace(":", "\\:") + "\n").encode()


SETTLE = """
SELECT to_json(set_config(given.name, given.value, false)) FROM (VALUES
  ('client_encoding', 'UTF8'), ('standard_conforming_strings', 'on'), ('search_path', ''),
  ('DateStyle', 'ISO, MDY'), ('IntervalStyle', 'postgres'), ('TimeZone', 'UTC'),
  ('extra_float_digits', '3'), ('bytea_output', 'hex'), ('lc_monetary', 'C'), ('xmlbinary', 'base64'), ('row_security', 'off'),
  ('statement_timeout', '0'), ('lock_timeout', '0'), ('idle_in_transaction_session_timeout', '0'), ('idle_session_timeout', '0'),
  ('transaction_timeout', '0'), ('synchronize_seqscans', 'off'), ('client_connection_check_interval', '10s')
) AS given (name, value) JOIN pg_catalog.pg_settings AS known ON lower(known.name) = lower(given.name)
"""
"""What makes a session steady whatever the role or the server have for defaults. Settings that this version does not have are left out."""

FACTS = """
SELECT jsonb_build_object('version_num', current_setting('server_version_num')::int, 'version', current_setting('server_version'),
  'standby', pg_is_in_recovery(), 'size_bytes', pg_database_size(current_database()), 'superuser', current_setting('is_superuser') = 'on',
  'system_id_allowed', has_function_privilege('pg_catalog.pg_control_system()', 'execute'))
"""

SYSTEM_ID = "SELECT to_json(system_identifier::text) FROM pg_catalog.pg_control_system()"

LAG = """
SELECT json_build_array(round(extract(epoch FROM clock_timestamp()), 3), CASE
  WHEN NOT pg_is_in_recovery() THEN 0
  WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() AND EXISTS (SELECT FROM pg_catalog.pg_stat_wal_receiver) THEN 0
  ELSE round(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()), 3) END)
"""
"""[now, seconds behind the primary]; null where nobody knows. Without a connection to the primary, age is all that tells."""

SNAPSHOT = "SELECT to_json(pg_export_snapshot())"

_MINE = """
mine AS (
  SELECT c.oid, c.relkind::text AS kind, c.relpersistence = 'u' AS unlogged, c.relispopulated AS populated,
    n.nspname AS schema, c.relname AS name, format('%I.%I', n.nspname, c.relname) AS full_name
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relpersistence <> 't' AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'))
"""

LOCKS = f"WITH {_MINE} SELECT format('LOCK TABLE ONLY %s IN ACCESS SHARE MODE', full_name) FROM mine WHERE kind IN ('r', 'p') ORDER BY oid"
"""Statements (for Session.each). Between snapshot and end nobody may rewrite a table: an older snapshot would find it empty."""

HIDDEN = f"WITH {_MINE} SELECT to_json(full_name) FROM mine WHERE kind IN ('r', 'p') AND row_security_active(oid) ORDER BY oid"
"""Tables of which row-level security hides rows from this role. pg_dump would notice too, but only when it comes to them."""

_SAVEPOINT = "'SAVEPOINT counted'"
_BACK = "'ROLLBACK TO SAVEPOINT counted', 'RELEASE SAVEPOINT counted'"
# around each statement: it gives locks back at once, which are too many in a database with thousands of tables (max_locks_per_transaction)

SEQUENCES = f"""
WITH {_MINE} SELECT {_SAVEPOINT}, format('SELECT json_build_array(%L, last_value, is_called) FROM %s', 'sequence ' || full_name, full_name), {_BACK}
FROM mine WHERE kind = 'S' AND NOT (unlogged AND pg_is_in_recovery()) ORDER BY oid
"""
"""Statements whose rows are [name, value, called]."""

RELATIONS = f"""
WITH {_MINE} SELECT json_build_array(CASE kind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'm' THEN 'materialized view'
  ELSE 'foreign table' END || ' ' || full_name, kind, unlogged AND pg_is_in_recovery(), populated) FROM mine WHERE kind IN ('r', 'p', 'm', 'f') ORDER BY oid
"""
"""[name, kind, whether a standby has no rows of it, whether it is populated]. The rows of a materialized view are in no archive."""


_COLUMNS = """(SELECT coalesce(string_agg(format('t.%I', a.attname), ', ' ORDER BY a.attname COLLATE "C"), '') FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = mine.oid AND a.attnum > 0 AND NOT a.attisdropped)"""  # by name: a table that inherits may get another order


def counts(checksums: bool) -> str:
    """Statements whose rows are [name, rows, digest]."""
    digest = 'sum(hashtextextended((ROW(%s))::text COLLATE "C", 0)::numeric)::text' if checksums else "NULL%s"
    return f"""
WITH {_MINE} SELECT {_SAVEPOINT},
  format('SELECT json_build_array(%L, count(*), {digest}) FROM ONLY %s AS t', 'table ' || full_name, {_COLUMNS if checksums else "''"}, full_name), {_BACK}
FROM mine WHERE kind = 'r' AND NOT (unlogged AND pg_is_in_recovery()) ORDER BY oid
"""


_PAGES = (
    "SELECT json_build_array('large objects', 0, sum(hashtextextended(page COLLATE \"C\", loid::bigint * 1000003 + pageno)::numeric)::text) FROM ("
    "SELECT loid, pageno, regexp_replace(encode(data, 'hex'), '(00)+$', '') AS page FROM pg_catalog.pg_largeobject) pages WHERE page <> ''"
)
LARGE_OBJECTS = f"SELECT {quote_text(_PAGES)} WHERE has_table_privilege('pg_catalog.pg_largeobject', 'select')"
"""A statement like those of ``counts``, for roles that may read so. What was never written reads as zeros, and is as good as zeros."""

EXTENSIONS = "SELECT json_build_array('extension ' || quote_ident(extname), extversion) FROM pg_catalog.pg_extension ORDER BY 1::text"


def _of_extension(catalog: str, oid: str = "o.oid") -> str:
    return f"EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.{catalog}'::regclass AND d.objid = {oid} AND d.deptype = 'e')"


def _in_mine(catalog: str, column: str) -> str:
    return f"""(SELECT count(*) FROM pg_catalog.{catalog} o JOIN pg_catalog.pg_namespace n ON n.oid = o.{column}
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT {_of_extension(catalog)}"""


TOTALS = f"""
WITH {_MINE} SELECT jsonb_build_object(
  'tables', (SELECT count(*) FROM mine WHERE kind IN ('r', 'p')), 'views', (SELECT count(*) FROM mine WHERE kind = 'v'),
  'materialized_views', (SELECT count(*) FROM mine WHERE kind = 'm'), 'foreign_tables', (SELECT count(*) FROM mine WHERE kind = 'f'),
  'sequences', (SELECT count(*) FROM mine WHERE kind = 'S'),
  'indexes', (SELECT count(*) FROM pg_catalog.pg_index i JOIN mine ON mine.oid = i.indrelid WHERE i.indisready AND (i.indisvalid OR mine.kind = 'p')),
  'constraints', {_in_mine("pg_constraint", "connamespace")} AND o.contype IN ('c', 'f', 'p', 'u', 'x') AND o.conparentid = 0
    AND (o.contypid <> 0 OR o.conrelid IN (SELECT oid FROM mine))),
  'functions', {_in_mine("pg_proc", "pronamespace")}),
  'types', {_in_mine("pg_type", "typnamespace")} AND (o.typtype IN ('d', 'e', 'r') OR o.typtype = 'c' AND o.typrelid IN (SELECT oid FROM mine WHERE kind = 'c')
    OR o.typtype = 'b' AND NOT EXISTS (SELECT FROM pg_catalog.pg_type e WHERE e.typarray = o.oid))),
  'operators', {_in_mine("pg_operator", "oprnamespace")}), 'collations', {_in_mine("pg_collation", "collnamespace")}),
  'triggers', (SELECT count(*) FROM pg_catalog.pg_trigger t JOIN mine ON mine.oid = t.tgrelid
    WHERE NOT t.tgisinternal AND coalesce((to_jsonb(t) ->> 'tgparentid')::bigint, 0) = 0),
  'policies', (SELECT count(*) FROM pg_catalog.pg_policy p JOIN mine ON mine.oid = p.polrelid),
  'rules', (SELECT count(*) FROM pg_catalog.pg_rewrite r JOIN mine ON mine.oid = r.ev_class WHERE r.rulename <> '_RETURN'),
  'schemas', (SELECT count(*) FROM pg_catalog.pg_namespace o
    WHERE o.nspname !~ '^pg_' AND o.nspname <> 'information_schema' AND NOT {_of_extension("pg_namespace")}),
  'event_triggers', (SELECT count(*) FROM pg_catalog.pg_event_trigger o WHERE NOT {_of_extension("pg_event_trigger")}),
  'large_objects', (SELECT count(*) FROM pg_catalog.pg_largeobject_metadata), 'publications', (SELECT count(*) FROM pg_catalog.pg_publication),
  'extensions', (SELECT count(*) FROM pg_catalog.pg_extension))
"""
"""Invalid indexes are left out, as pg_dump does, and what PostgreSQL makes by itself for partitions."""

DATABASE = """
SELECT jsonb_build_object('encoding', pg_encoding_to_char(d.encoding), 'collate', d.datcollate, 'ctype', d.datctype,
  'provider', coalesce(to_jsonb(d) ->> 'datlocprovider', 'c'), 'locale', coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'),
  'owner', pg_get_userbyid(d.datdba), 'connection_limit', d.datconnlimit,
  'acl', (SELECT coalesce(jsonb_agg(one ORDER BY one), '[]') FROM (
    SELECT jsonb_build_array(CASE a.grantee WHEN 0 THEN '' ELSE pg_get_userbyid(a.grantee) END, a.privilege_type, a.is_grantable) AS one
    FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a) acls),
  'settings', (SELECT coalesce(jsonb_agg(one ORDER BY one), '[]') FROM (
    SELECT jsonb_build_array(CASE s.setrole WHEN 0 THEN '' ELSE pg_get_userbyid(s.setrole) END, c.setting) AS one
    FROM pg_catalog.pg_db_role_setting s, unnest(s.setconfig) AS c (setting) WHERE s.setdatabase = d.oid) settings))
FROM pg_catalog.pg_database d WHERE d.datname = """
"""To be followed by a literal. How the database was made, and what belongs to it and not to anything in it. ``""`` is PUBLIC, or every role."""


_LISTS = frozenset(
    ("local_preload_libraries", "search_path", "session_preload_libraries", "shared_preload_libraries", "temp_tablespaces", "unix_socket_directories")
)
_ITEM = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^\s,"]+))\s*(?:,|$)')


def _setting(text: str) -> str:
    """``search_path=a, "B"`` as ``SET`` wants it. A list is not one text; see pg_dump's makeAlterConfigCommand."""
    name, _equals, value = text.partition("=")
    if name not in _LISTS:
        return f"{'.'.join(quote_name(part) for part in name.split('.'))} TO {quote_text(value)}"
    items = [item[1].replace('""', '"') if item[2] is None else item[2].lower() for item in _ITEM.finditer(value)]
    return f"{quote_name(name)} TO {', '.join(quote_text(item) for item in items) or quote_text('')}"


def dress(name: str, wanted: Mapping[str, Any], present: Mapping[str, Any]) -> Iterator[str]:
    """Statements that give a database the owner, rights and settings in ``wanted`` (as of DATABASE), instead of those in ``present``."""
    database = quote_name(name)
    yield f"ALTER DATABASE {database} OWNER TO {quote_name(wanted['owner'])}"
    yield f"ALTER DATABASE {database} CONNECTION LIMIT {int(wanted['connection_limit'])}"
    yield f"REVOKE ALL ON DATABASE {database} FROM {_grantees([*present['acl'], ['', '', False], [wanted['owner'], '', False]])}"
    for grantee, right, grantable in wanted["acl"]:
        if right not in ("CREATE", "TEMPORARY", "CONNECT"):
            raise InvalidInput(f"the artifact names the right {right!r}, which databases do not have", "see where the manifest comes from")
        yield f"GRANT {right} ON DATABASE {database} TO {_grantees([[grantee, '', False]])}{' WITH GRANT OPTION' if grantable else ''}"
    for role in sorted({setting[0] for setting in present["settings"]}):
        yield f"{_whose(role, database)} RESET ALL"
    for role, setting in wanted["settings"]:
        yield f"{_whose(role, database)} SET {_setting(setting)}"


def _whose(role: str, database: str) -> str:
    return f"ALTER ROLE {quote_name(role)} IN DATABASE {database}" if role else f"ALTER DATABASE {database}"


def _grantees(acl: Sequence[Sequence[Any]]) -> str:
    return ", ".join(sorted({quote_name(grantee) if grantee else "PUBLIC" for grantee, _right, _grantable in acl}))


def create(name: str, figures: Mapping[str, Any], version_num: int) -> str:
    """The statement that makes a database as ``figures`` (of DATABASE) say."""
    parts = {"TEMPLATE": "template0", "OWNER": quote_name(figures["owner"]), "ENCODING": quote_text(figures["encoding"])}
    if figures["collate"]:
        parts["LC_COLLATE"] = quote_text(figures["collate"])
    if figures["ctype"]:
        parts["LC_CTYPE"] = quote_text(figures["ctype"])
    provider = {"i": "icu", "b": "builtin"}.get(figures["provider"], "libc")
    if version_num >= 150000:
        parts["LOCALE_PROVIDER"] = provider
    if provider != "libc":
        parts["ICU_LOCALE" if provider == "icu" else "BUILTIN_LOCALE"] = quote_text(figures["locale"])
    return f"CREATE DATABASE {quote_name(name)} " + " ".join(f"{key} = {value}" for key, value in parts.items())
