# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of checks and connections, shared by every module that takes them."""

from __future__ import annotations

from textwrap import indent

from ansible_collections.tradeops.runbook.plugins.doc_fragments.checks_data import CONNECTIONS, SERVERS
from ansible_collections.tradeops.runbook.plugins.doc_fragments.checks_engines import ENGINES, REQUESTS
from ansible_collections.tradeops.runbook.plugins.doc_fragments.s3 import ModuleDocFragment as S3


class ModuleDocFragment:
    """One block per kind of check, under the key that names the kind."""

    DOCUMENTATION: str = (
        r"""
options:"""
        + CONNECTIONS
        + r"""
  checks:
    description: The checks. Each has a name, exactly one kind, and limits on what that kind measures.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the check, once per host; history, mutes and overlays refer to it.
        type: str
        required: true
      limits:
        description:
          - Measure to C({warning, critical, severity, for}). A limit says what is bad, as in C("> 80 %"), C("<= 5 s"), C("!= healthy"),
            C("not in [ok, degraded]"), C("> 1.5 x baseline"); a list of limits is crossed when one of them is.
          - C(severity) (P1 page now, P2 within 15 minutes, P3 within an hour, P4 next business day) and C(for) (such as C("10 min"),
            how long it must last before it counts) hold for both levels, or are given per level.
          - A measure without limits of its own has those of its kind, which are named below.
        type: dict
        default: {}
      severity:
        description: How bad it is when the target cannot be reached, or a critical limit that names no severity is crossed; warnings are P3 or less.
        type: str
        choices: [P1, P2, P3, P4]
        default: P2
      for:
        description: How long the check must be bad before it counts, such as C("2 min"); until then it is a warning of severity P4.
        type: str
      mute:
        description: Measure and show the check, but do not count it until a date.
        type: dict
        suboptions: &expiring
          reason: {description: Why., type: str, required: true}
          owner: {description: Who decided it and will end it., type: str, required: true}
          until: {description: "Date or instant (RFC 3339, UTC when it names no zone) from which it counts again.", type: str, required: true}
      poll:
        description: Measure again and again until the check is well, for things that become right after a while.
        type: dict
        suboptions:
          interval_seconds: {description: Seconds between two measurements., type: float, default: 2.0}
          within_seconds: {description: Seconds after which the last measurement counts., type: float, required: true}
      when_session:
        description:
          - Judge the check only while a trading session is open, or only while it is not. At other times it is C(skipped), and says when
            the session opens next. P(tradeops.runbook.compile_checks#filter) decides on the controller; without it the module refuses.
          - A calendar knows holidays, early closes and breaks. Hours know none of these. A market that never closes needs neither.
        type: dict
        suboptions:
          calendar: {description: "Market code of the Python library exchange_calendars, such as V(XNYS).", type: str}
          hours: {description: "Days and local times, such as V(mon-fri 09:30-16:00); several with commas. An end before its begin is a day later.", type: str}
          timezone: {description: "Where the clock of O(checks[].when_session.hours) hangs, such as V(America/New_York).", type: str}
          in: {description: Judge while the session is open; V(false) judges while it is not., type: bool, default: true}
          after_open: {description: "Do not judge in the first minutes after each opening, such as V(15 min).", type: str}
          before_close: {description: "Do not judge in the last minutes before each close, such as V(5 min).", type: str}
          skip: {description: "Why it is not judged now; P(tradeops.runbook.compile_checks#filter) fills it.", type: str}
      baselines:
        description: Measure to baseline, in its base unit, for limits relative to it; P(tradeops.runbook.compile_checks#filter) fills it.
        type: dict
        default: {}
      notes:
        description: Remarks that are passed on to the result.
        type: list
        elements: str
        default: []
"""
        + REQUESTS[1:]
        + r"""      dns:
        description:
          - Resolves a name as programs on the host do. Measures C(latency) (s), C(addresses) (list), C(address_count), C(missing) (list)
            and C(missing_count). No address and missing ones are critical.
        type: dict
        suboptions:
          name: {description: Name to resolve., type: str, required: true}
          expect: {description: Addresses that must be in the answer., type: list, elements: str, default: []}
          timeout_seconds: *timeout
      tls:
        description:
          - Certificates of an endpoint, a PEM file, or the ACME store of Traefik (every certificate). Measures C(expires_in) (s, the
            soonest), C(soonest) (its name), C(certificate_count), C(expired_count), and for an endpoint C(trusted), C(problem), C(protocol).
          - C(expires_in) is a warning below 21 days and critical below 7, an untrusted endpoint is critical.
        type: dict
        suboptions:
          host: {description: Endpoint., type: str}
          port: {description: Port of the endpoint., type: int, default: 443}
          server_name: {description: Name to ask for and to verify; the endpoint by default., type: str}
          ca_path: {description: File with the certificates of trusted authorities (PEM)., type: path}
          path: {description: PEM file., type: path}
          acme_path: {description: acme.json of Traefik., type: path}
          container: {description: "Name of a container of the local engine that is asked, at its own address, for O(checks[].tls.host).", type: str}
          network: {description: Which network of the container; needed when it is in several., type: str, default: ''}
          timeout_seconds: *timeout
      host:
        description:
          - The machine. Measures C(disk_used_percent), C(disk_free) (B), C(inodes_used_percent) of O(checks[].host.mount), and
            C(memory_used_percent), C(memory_available) (B), C(swap_used_percent), C(load_1m), C(load_per_cpu), C(uptime) (s), and, when it
            has a limit, C(cpu_percent) over half a second.
        type: dict
        suboptions:
          mount: {description: Mount point., type: path}
      process:
        description:
          - Running processes. Measures C(count), C(memory) (B, resident), C(age) (s, the oldest), C(threads), C(open_files), and, when it
            has a limit, C(cpu_percent) over half a second. None is critical.
        type: dict
        suboptions:
          name: {description: Name of the program., type: str}
          pattern: {description: Regular expression searched in the command line., type: str}
          pid_file: {description: "File that holds the process id. With name or pattern, both must hold.", type: path}
          user: {description: Only processes of this user., type: str}
      systemd:
        description:
          - A unit. Measures C(active_state), C(sub_state), C(enabled_state), C(restarts), C(memory) (B), C(age) (s, since it is active),
            C(result). Not active is critical.
          - Without a unit the whole manager. Measures C(failed_count), C(failed) (list), C(failed_benign) (list), C(system_state). A failed
            unit is critical.
        type: dict
        suboptions:
          unit: {description: Name of the unit., type: str}
          benign:
            description: Failed units that do not count, each until a date.
            type: list
            elements: dict
            default: []
            suboptions:
              pattern: {description: Shell pattern of unit names., type: str, required: true}
              <<: *expiring
          timeout_seconds: *timeout
      file:
        description:
          - Files. Measures C(exists), C(count), C(size) (B, sum), C(age) (s, the newest), C(oldest_age) (s), C(mode), C(owner). None is
            critical.
        type: dict
        suboptions:
          path: {description: Path or shell pattern., type: path, required: true}
          timeout_seconds: *timeout
      log:
        description:
          - Entries of a log in a closed window of time, read from files (with their rotated and compressed predecessors), the systemd
            journal or a container. An entry is a line with a stamp; lines without one belong to the entry before them.
          - Measures C(lines), C(entries), C(bytes) (B), C(files), C(age) (s, since the newest entry), C(lines_per_minute),
            C(lines_per_minute_max), C(signatures) (different messages, with numbers and ids folded), C(secrets) (lines), C(benign)
            (lines), C(unparsed) (lines before the first stamp) and C(lost) (what an earlier reading had not seen is gone).
          - For each pattern C(count) (lines, as C(grep -c) counts), C(ratio) (percent of the entries), C(per_minute), C(per_minute_max),
            C(per_hour), as in C(errors.ratio). For each number C(count), C(p50), C(p95), C(p99), C(max), as in C(completed.p95).
          - A line that shows a secret is critical, and C(lost) is a warning.
        type: dict
        suboptions:
          files: {description: "Absolute paths or shell patterns, such as C(/var/log/app/app.log*).", type: list, elements: path}
          journal: {description: Unit whose journal is read., type: str}
          container: {description: Name or id of a container of the local engine., type: str}
          format:
            description:
              - C(python) (C(stamp - logger - LEVEL - message)), C(compliance) (C(stamp | LEVEL | message)), C(access)
                (nginx and Traefik, common log format), C(syslog) (RFC 3164 or with an ISO 8601 stamp), C(pino) and C(json) (one object a
                line), C(iso) (any line that begins with an ISO 8601 stamp).
              - Or your own, as C({stamp, after, pattern}). C(stamp) is one of C(iso), C(clf), C(bsd), C(epoch), C(syslog), C(json);
                C(after) the text in front of the stamp; C(pattern) a regular expression with the groups C(level) and C(message).
            type: raw
            default: python
          timezone: {description: IANA name of the zone of stamps that have no offset., type: str, default: UTC}
          window: {description: "How far back to look from now, such as C(5 min).", type: str, default: 1 d}
          patterns:
            description:
              - Name to regular expression (Python's syntax, over bytes), or C({match, ignore_case, of}). With C(of), the ratio is to the
                count of that pattern instead of all entries.
            type: dict
            default: {}
          extract:
            description:
              - Name to C({match, unit}), a regular expression with one group around a number, and its unit, C(s), C(ms) (measured in s),
                C(B), C(count) or C(number).
            type: dict
            default: {}
          benign:
            description: Lines that do not count for patterns, each until a date.
            type: list
            elements: dict
            default: []
            suboptions:
              pattern: {description: Regular expression., type: str, required: true}
              <<: *expiring
          leaks: {description: Look for secrets in the log., type: bool, default: true}
          top: {description: "Most frequent signatures to report, at most 100.", type: int, default: 20}
          samples: {description: "Newest lines of each pattern to report, at most 20.", type: int, default: 3}
          context: {description: "Lines before and after each of them, at most 20.", type: int, default: 0}
          timeout_seconds: {description: Seconds one reading may take., type: float, default: 30.0}
      sqlite:
        description:
          - An SQLite database. Measures C(latency) (s), C(readable), C(writable), C(quick_check), C(size) (B), C(wal_size) (B),
            C(free_percent), C(tables), C(journal_mode). Not writable, and a C(quick_check) other than C(ok), are critical.
        type: dict
        suboptions:
          connection: {description: Name of a connection., type: str}
          path: {description: Path of the database., type: path}
          write_test: {description: Take the write lock and roll back (never in check mode)., type: bool, default: true}
          quick_check: {description: Run C(PRAGMA quick_check)., type: bool, default: true}
          timeout_seconds: *timeout
      sql:
        description:
          - One reading query, of SQLite or PostgreSQL. Measures C(value) (first column of the first row), C(rows), C(latency) (s), and every
            column of the first row by its name.
        type: dict
        suboptions:
          connection: {description: Name of a connection., type: str, required: true}
          query: {description: A single statement that reads., type: str, required: true}
          parameters: {description: "Values for its placeholders: C(?) in SQLite, C(%s) in PostgreSQL (C(%%) is C(%)).", type: list, elements: raw, default: []}
          timeout_seconds: *timeout
"""
        + SERVERS
        + ENGINES[1:]
        + r"""
      backup:
        description:
          - The backups of a source, by their manifests and proofs. Measures C(age) (s, of the data in the newest good one), C(restored_age) (s,
            of the newest proven to restore), C(level) (proof of the newest), C(size) (B), C(size_change_percent), C(objects), C(count) (good
            ones), C(restored_count), C(bad) (suspect or corrupt ones), C(newest_state), C(covered) (files that somebody deleted or wrote
            over in vain, since a lock keeps them; one is critical) and C(free) (B, room in the repository).
          - Not proven for more than 7 days, a newest one that is not good, and one half as large as the one before are warnings. Set a limit on
            C(age) by your RPO.
        type: dict
        suboptions:
          name: {description: Name of the source., type: str, required: true}
          kind: {description: Kind of the source., type: str, choices: [sqlite, files, postgresql, redis, pgbackrest], required: true}
          system: {description: The system it belongs to., type: str, required: true}
          environment: {description: The environment it belongs to., type: str, required: true}
          repository:
            description: Where the backups are kept. The kind is the key.
            type: dict
            required: true
            suboptions:
              directory:
                description: A folder.
                type: dict
                suboptions:
                  path: {description: Absolute path., type: path, required: true}
                  require_mount: {description: Unknown when nothing is mounted there., type: bool, default: false}
"""
        + indent(S3.DOCUMENTATION.partition("options:\n")[2], "            ")
    )

    _LOG: str = DOCUMENTATION[DOCUMENTATION.index("      log:\n") : DOCUMENTATION.index("      sqlite:\n")]
    LOGS: str = (
        r"""
options:
  logs:
    description: The logs to review. Each is a check of kind C(log) with a name, and limits on what it measures.
    type: list
    elements: dict
    required: true
    suboptions:
"""
        + DOCUMENTATION[DOCUMENTATION.index("      name:\n") : DOCUMENTATION.index("      poll:\n")]
        + DOCUMENTATION[DOCUMENTATION.index("      baselines:\n") : DOCUMENTATION.index("      http:\n")]
        + _LOG.replace("        type: dict\n", "        type: dict\n        required: true\n", 1)
    )
    """The same blocks, for the module that reviews logs."""
