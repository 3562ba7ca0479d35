# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the connections to databases, and of the kinds of check that look into database servers. A part of ``checks``."""

from __future__ import annotations

CONNECTIONS = r"""
  connections:
    description:
      - "Named connections that checks refer to. The kind is the key, as in C({orders: {path: /var/lib/app/orders.db}}) for an SQLite file."
      - "C(postgresql): C(database) (required), C(host) (without it, the local socket), C(port), C(user), C(secret_password), C(sslmode) and
        C(sslrootcert) as of libpq (by default C(verify-full) for a host, C(prefer) for a container, C(disable) for the socket)."
      - "C(redis): C(host), C(port) or C(unix_socket), C(user), C(secret_password), C(database) (a number), C(tls), C(tls_ca), C(tls_verify)."
      - "With C(container), and C(network) where it is in several, a Docker container of the host is reached by its own address; no port needs to
        be published."
    type: dict
    default: {}
"""

SERVERS = r"""
      postgresql:
        description:
          - A PostgreSQL server (13 and newer) and one of its databases, by one connection that only reads. Measures C(latency) (s, to log in),
            C(version), C(in_recovery), C(size) (B), C(autovacuum) (it is on), C(deadlocks), C(temp_bytes) (B) and C(cache_hit_percent) since the
            counters were reset, C(checksum_failures) of all databases.
          - "Sessions: C(connections), C(connections_percent) (of those that ordinary roles may open), C(oldest_transaction) (s),
            C(oldest_transaction_of), C(idle_in_transaction) (s, the longest), C(locks_waiting), C(longest_wait) (s), C(blocked_by)."
          - "Transaction ids: C(xid_age), C(xid_age_percent) (100 % is where the server refuses to write), C(freeze_age_percent) (of the age at which
            autovacuum must act), C(xid_database) (the oldest one)."
          - "Replication: C(replicas) (standbys of this server that replay; no receivers of the log, no logical subscribers), C(replication_lag) (s),
            C(replication_lag_bytes) (B), of the worst standby or of this one; left out where there is none, so set a limit on C(replicas) where there
            must be one. C(inactive_slots), C(slot_retained) (B, held back for the worst of them)."
          - "Tables of the database, when they have limits, which they have by default; left out on a standby: C(dead_tuples_percent) (of the worst
            table), C(dead_tuples_table), C(never_analyzed) (tables of 1 MiB and more without any statistics, which autovacuum will not make either),
            C(never_analyzed_table), C(statistics_age) (s, of a table that has changed so much since that it should have been analyzed)."
          - "Critical are C(connections_percent) above 95, C(oldest_transaction) above 6 h, C(idle_in_transaction) above 1 h, C(longest_wait) above 10 min,
            C(xid_age_percent) above 70, C(replication_lag) above 10 min, and C(checksum_failures). Warnings are C(connections_percent) above 80,
            C(oldest_transaction) above 1 h, C(idle_in_transaction) above 10 min, C(longest_wait) above 1 min, C(xid_age_percent) above 40,
            C(freeze_age_percent) above 200, C(replication_lag) above 1 min, C(replication_lag_bytes) above 1 GiB, C(slot_retained) above 5 GiB,
            C(cache_hit_percent) below 90, C(dead_tuples_percent) above 40, C(never_analyzed) above 0, C(statistics_age) above 7 d, C(autovacuum) off."
          - The role needs C(pg_monitor) to see sessions and standbys; without it these are unknown, before version 14 also how long others wait.
          - Data that the server cannot read (damaged, or an error of the disk) is critical.
        type: dict
        suboptions:
          connection: {description: Name of a connection., type: str, required: true}
          min_dead_tuples: {description: Tables with fewer dead rows do not count., type: int, default: 10000}
          timeout_seconds: *timeout
      redis:
        description:
          - A Redis server (6.2 and newer). Measures C(latency) (s, to log in and C(PING)), C(version), C(uptime) (s), C(used_memory) (B),
            C(memory_percent) (of C(maxmemory), O(checks[].redis.memory_limit) and the limit of its container, whichever is the least, or of the
            machine), C(fragmentation) (from 64 MiB on), C(policy), C(policy_fits), C(evicted), C(connected_clients), C(clients_percent),
            C(rejected_connections), C(blocked_clients), C(keys) (of all databases). Counters are since its start.
          - "Persistence: C(last_save_age) (s), C(last_save_status), C(changes_since_save), C(aof_enabled), C(aof_last_write_status),
            C(aof_last_rewrite_status)."
          - "Replication: C(role), C(replicas), C(replica_link) of a replica, C(replication_lag) (s, since a replica and its master last heard of each
            other, the worst), C(replication_lag_bytes) (B, of the worst, on the master)."
          - "A write test measures C(writable), and C(write_error), why not."
          - "Critical are C(memory_percent) and C(clients_percent) above 95, C(last_save_status) and C(aof_last_write_status) other than C(ok),
            C(replica_link) other than C(up), C(replication_lag) above 5 min, a policy that does not fit, and not writable. Warnings are
            C(memory_percent) and C(clients_percent) above 80, C(fragmentation) above 1.5, C(aof_last_rewrite_status) other than C(ok),
            C(replication_lag) above 30 s."
        type: dict
        suboptions:
          connection: {description: Name of a connection., type: str, required: true}
          must_keep:
            description: No key may be evicted. A policy other than C(noeviction) is critical where there is a C(maxmemory).
            type: bool
            default: false
          memory_limit: {description: "What the server may use, such as C(2 GiB), where nothing else says so.", type: str}
          get:
            description:
              - Name to key, or C({key, field, unit, timezone}) with the field of a hash. The unit is C(text), C(number), C(boolean), C(s), C(B)...
              - It also measures C(<name>.exists) (the key, or its field), and when limits ask for them C(<name>.count) (of a collection), C(<name>.ttl) (s) and
                C(<name>.age) (s, of a point in time). C(timezone) (IANA name) is for instants written without an offset.
            type: dict
            default: {}
          write_test: {description: Write a key that ends after 10 s (never in check mode)., type: bool, default: false}
          write_prefix: {description: What its name begins with., type: str, default: 'tradeops:health:'}
          timeout_seconds: *timeout
"""
