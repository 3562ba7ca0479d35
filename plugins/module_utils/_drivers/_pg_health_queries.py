# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What PostgreSQL 13 and newer are asked about their health. Every query gives one JSON object: measure to value.

See https://www.postgresql.org/docs/current/monitoring-stats.html. A null means that there is nothing to measure.
"""

from __future__ import annotations

FACTS = """
SELECT json_build_object('version_num', current_setting('server_version_num')::int, 'version', split_part(current_setting('server_version'), ' ', 1),
  'in_recovery', pg_is_in_recovery(), 'may_see_all', pg_has_role('pg_read_all_stats', 'USAGE'),
  'autovacuum', current_setting('autovacuum')::bool AND current_setting('track_counts')::bool)
"""

SIZE = "SELECT json_build_object('size', pg_database_size(current_database()))"

DATABASE = """
SELECT json_build_object('deadlocks', deadlocks, 'temp_bytes', temp_bytes,
  'cache_hit_percent', CASE WHEN blks_hit + blks_read >= 100000 THEN round(100.0 * blks_hit / (blks_hit + blks_read), 2) END,
  'checksum_failures', (SELECT sum(checksum_failures) FROM pg_stat_database))
FROM pg_stat_database WHERE datname = current_database()
"""
"""Fewer than 100,000 pages since the counters were reset say nothing about the cache. Without checksums there are no failures to count."""

ACTIVITY = """
WITH sessions AS (
  SELECT pid, format('%s (%s, pid %s)', usename, coalesce(nullif(application_name, ''), 'no name'), pid) AS who,
    extract(epoch FROM clock_timestamp() - xact_start) AS age,
    CASE WHEN state LIKE 'idle in transaction%' THEN extract(epoch FROM clock_timestamp() - state_change) END AS idle
  FROM pg_stat_activity WHERE backend_type = 'client backend'),
open AS (
  SELECT who, age FROM sessions WHERE age IS NOT NULL AND pid <> pg_backend_pid()
  UNION ALL SELECT format('%s (prepared transaction %s)', owner, gid), extract(epoch FROM clock_timestamp() - prepared) FROM pg_prepared_xacts)
SELECT json_build_object('connections', count(*), 'connections_percent', round(100.0 * count(*) / (
    SELECT sum(CASE name WHEN 'max_connections' THEN 1 ELSE -1 END * setting::int) FROM pg_settings
    WHERE name IN ('max_connections', 'superuser_reserved_connections', 'reserved_connections')), 2),
  'idle_in_transaction', coalesce(round(max(idle)::numeric, 3), 0),
  'oldest_transaction', coalesce((SELECT round(max(age)::numeric, 3) FROM open), 0),
  'oldest_transaction_of', (SELECT who FROM open ORDER BY age DESC LIMIT 1))
FROM sessions
"""
"""Forgotten prepared transactions hold back the vacuum as long as any other. ``reserved_connections`` are from version 16 on."""


def locks(version_num: int) -> str:
    """Who waits for locks and for how long. Before version 14 nobody knows since when: the age of the statement is the most it can be."""
    since = "l.waitstart" if version_num >= 140000 else "a.query_start"
    return f"""
WITH waiting AS (
  SELECT l.pid, max(extract(epoch FROM clock_timestamp() - {since})) AS seconds
  FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid WHERE NOT l.granted GROUP BY l.pid),
longest AS (SELECT pid FROM waiting ORDER BY seconds DESC NULLS LAST LIMIT 1)
SELECT json_build_object('locks_waiting', count(*), 'longest_wait', coalesce(round(max(seconds)::numeric, 3), 0),
  'blocked_by', (SELECT string_agg(DISTINCT format('%s (%s, pid %s)', usename, coalesce(nullif(application_name, ''), 'no name'), pid), ', ')
    FROM pg_stat_activity WHERE pid = ANY ((SELECT pg_blocking_pids(pid) FROM longest)::int[])))
FROM waiting
"""


AGE = """
WITH ages AS (
  SELECT datname, age(datfrozenxid) AS xids, mxid_age(datminmxid) AS multis FROM pg_database)
SELECT json_build_object('xid_age', max(xids), 'xid_database', (SELECT datname FROM ages ORDER BY greatest(xids, multis) DESC LIMIT 1),
  'xid_age_percent', round(max(greatest(xids, multis)) / 2147483648.0 * 100, 2),
  'freeze_age_percent', round(100 * max(greatest(xids / current_setting('autovacuum_freeze_max_age')::numeric,
    multis / current_setting('autovacuum_multixact_freeze_max_age')::numeric)), 2))
FROM ages
"""
"""Of transaction ids and of multixact ids, whichever is worse; at 100 % of 2^31 the server refuses to write."""

_STANDBYS = """pg_stat_replication r WHERE state IN ('streaming', 'catchup') AND replay_lsn IS NOT NULL
    AND NOT EXISTS (SELECT FROM pg_replication_slots s WHERE s.active_pid = r.pid AND s.slot_type = 'logical')"""
"""Those that replay: neither pg_receivewal nor a backup, which only take what is written, nor a subscriber, which has some tables of it."""

PRIMARY = f"""
WITH standbys AS (
  SELECT CASE WHEN replay_lsn >= pg_current_wal_lsn() THEN 0
    ELSE extract(epoch FROM greatest(replay_lag, clock_timestamp() - reply_time, interval '0')) END AS seconds,
    pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) AS bytes
  FROM {_STANDBYS}),
slots AS (SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) AS bytes FROM pg_replication_slots WHERE NOT active)
SELECT json_build_object('replicas', count(*), 'replication_lag', round(max(seconds)::numeric, 3), 'replication_lag_bytes', max(greatest(bytes, 0)),
  'inactive_slots', (SELECT count(*) FROM slots), 'slot_retained', (SELECT max(bytes) FROM slots))
FROM standbys
"""
"""A standby that stands still does not answer: the time since its last answer, by its own clock, is its lag. It answers every 10 s when all is well."""

STANDBY = f"""
SELECT json_build_object('replicas', (SELECT count(*) FROM {_STANDBYS}), 'replication_lag', CASE
    WHEN pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn() AND EXISTS (SELECT FROM pg_stat_wal_receiver) THEN 0
    ELSE round(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::numeric, 3) END,
  'replication_lag_bytes', greatest(pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), 0),
  'inactive_slots', (SELECT count(*) FROM pg_replication_slots WHERE NOT active),
  'slot_retained', (SELECT max(pg_wal_lsn_diff(pg_last_wal_replay_lsn(), restart_lsn)) FROM pg_replication_slots WHERE NOT active))
"""
"""Without a connection to the primary, the age of what was replayed last is all that tells. What was received is at first the start of a segment,
which may have been replayed from the archive or the backup before."""

DEAD = """
WITH tables AS (
  SELECT format('%%I.%%I', schemaname, relname) AS name, 100.0 * n_dead_tup / (n_live_tup + n_dead_tup) AS percent
  FROM pg_stat_user_tables WHERE n_dead_tup >= greatest(%s, 1))
SELECT json_build_object('dead_tuples_percent', coalesce(round(max(percent), 2), 0),
  'dead_tuples_table', (SELECT name FROM tables ORDER BY percent DESC LIMIT 1))
FROM tables
"""


def statistics(version_num: int) -> str:
    """Tables the planner knows nothing, or too little, about: no statistics at all, or so many changes since that new ones are due.

    Due is what autovacuum, by its defaults, would analyze within a minute. A table that it will analyze for the first time is no trouble yet; it will not
    where it is switched off, and where nobody counted the changes, as after an upgrade or a crash. A table that somebody has locked is left out: its size
    cannot be asked for.
    """
    unknown = "c.reltuples < 0" if version_num >= 140000 else "c.reltuples = 0 AND c.relpages = 0"
    return f"""
WITH tables AS (
  SELECT format('%I.%I', s.schemaname, s.relname) AS name, greatest(s.last_analyze, s.last_autoanalyze) AS analyzed,
    s.n_mod_since_analyze > 50 + 0.1 * greatest(c.reltuples, s.n_live_tup) AS due, s.relid,
    {unknown} AND (s.n_mod_since_analyze = 0 OR array_to_string(c.reloptions, ',') ~ 'autovacuum_enabled=(off|false|no|0)'
      OR NOT (current_setting('autovacuum')::bool AND current_setting('track_counts')::bool)) AS unknown
  FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't'),
never AS (
  SELECT name FROM tables WHERE unknown AND analyzed IS NULL AND relid NOT IN (
    SELECT relation FROM pg_locks WHERE relation IS NOT NULL AND mode = 'AccessExclusiveLock') AND pg_relation_size(relid) >= 1048576)
SELECT json_build_object('never_analyzed', (SELECT count(*) FROM never), 'never_analyzed_table', (SELECT min(name) FROM never),
  'statistics_age', coalesce(round(max(extract(epoch FROM clock_timestamp() - analyzed))::numeric, 3), 0))
FROM tables WHERE due AND analyzed IS NOT NULL
"""
