# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of what can be backed up and where to, shared by every module of backups."""

from __future__ import annotations

from textwrap import indent

from ansible_collections.tradeops.runbook.plugins.doc_fragments.s3 import ModuleDocFragment as S3


class ModuleDocFragment:
    """Whose backups (base), what (SOURCE), for whose eyes (ENCRYPTION), up to when (UNTIL), what ran then (VERSIONS), and the file of progress (COPY)."""

    DOCUMENTATION: str = (
        r"""
options:
  name:
    description: Name of the source, a part of every file's name, such as C(orders).
    type: str
    required: true
  system:
    description: The system it belongs to, as RV(ignore:runbook_system).
    type: str
    required: true
  environment:
    description: The environment it belongs to, such as C(production). Backups of one environment are not seen from another.
    type: str
    required: true
  repository:
    description: Where the backups are kept. The kind is the key.
    type: dict
    required: true
    suboptions:
      directory:
        description: A folder, best on another disk; copies off site are made from there.
        type: dict
        suboptions:
          path: {description: Absolute path. An empty or missing folder becomes a repository., type: path, required: true}
          require_mount:
            description: Refuse when nothing is mounted there, rather than fill the disk below.
            type: bool
            default: false
"""
        + indent(S3.DOCUMENTATION.partition("options:\n")[2], "    ")
    )

    SOURCE = r"""
options:
  source:
    description: What is backed up. The kind is the key.
    type: dict
    suboptions:
      sqlite:
        description: An SQLite database; writers go on. In WAL mode they do not even wait.
        type: dict
        suboptions:
          path: {description: Absolute path of the database., type: path, required: true}
          integrity:
            description: Which of SQLite's own checks the copy has to pass, C(quick_check) or C(integrity_check); else it is C(suspect).
            type: str
            choices: [quick, full, 'off']
            default: quick
          busy_timeout_seconds: {description: How long to wait for another process that holds the database., type: float, default: 30.0}
          scratch_dir: {description: Folder for the copy that a verification restores. The default is the folder of the database., type: path}
      files:
        description: A tree of files, as a tar archive with paths relative to its root.
        type: dict
        suboptions:
          root: {description: Absolute path of the folder., type: path, required: true}
          paths: {description: "Which parts of it, relative.", type: list, elements: str, default: ['.']}
          exclude:
            description: Patterns of paths relative to the root that are left out. C(*) does not match C(/), C(**) does.
            type: list
            elements: str
            default: []
          one_file_system: {description: Leave out what is mounted below it., type: bool, default: true}
          require_mount: {description: Refuse when nothing is mounted at the root., type: bool, default: false}
          preserve_owner: {description: "Restore owners and groups by number, when run as root.", type: bool, default: true}
          keep_special_modes: {description: "Restore the setuid, setgid and sticky bits, too.", type: bool, default: false}
          min_files: {description: Fewer files than this are a failure., type: int, default: 1}
          scratch_dir: {description: Folder for the copy that a verification restores. The default is the folder of the root., type: path}
      postgresql:
        description: A PostgreSQL database, dumped from one snapshot in C(pg_dump)'s custom format.
        type: dict
        suboptions:
          database: {description: Its name; any name., type: str, required: true}
          host: {description: "Name or address of the server; without it, the local socket.", type: str, default: ''}
          port: {description: Its port., type: int, default: 5432}
          user: {description: "Role to log in as; without it, the name of the system user.", type: str, default: ''}
          secret_password: {description: "Password of the role. It is given to the client programs through memory only.", type: str}
          sslmode:
            description: As of libpq. The default is C(verify-full) for a O(source.postgresql.host) and C(disable) for the local socket.
            type: str
            choices: [disable, prefer, require, verify-ca, verify-full]
          sslrootcert: {description: File of the authority that signed the server's certificate., type: path}
          os_user: {description: "System user who runs the client programs, such as C(postgres) for peer authentication.", type: str}
          container: {description: Docker container of the server; its own client programs are run in it., type: str}
          container_user: {description: User in the container., type: str, default: postgres}
          bin_dir: {description: Folder of the client programs. The default is the newest that fits the server., type: path}
          lock_timeout_seconds: {description: How long to wait for a table that is locked., type: int, default: 60}
          stall_timeout_seconds: {description: How long a copy may stand still., type: float, default: 300.0}
          globals: {description: "Keep roles and tablespaces beside the data.", type: bool, default: true}
          checksums: {description: "Digest the rows of every table, too, when counting them.", type: bool, default: false}
          max_replica_lag_seconds: {description: Refuse a standby that is further behind., type: float}
      redis:
        description: A Redis server with all its databases, by a save (RDB) that begins once it was asked for. Needs the Python library redis on the host.
        type: dict
        suboptions:
          host: {description: "Name or address of the server; without it, the container's own, or 127.0.0.1.", type: str, default: ''}
          port: {description: Its port., type: int, default: 6379}
          unix_socket: {description: Socket of the server instead of an address., type: path}
          user: {description: "Name to log in with; without it, the default user.", type: str, default: ''}
          secret_password: {description: Its password., type: str}
          tls: {description: Talk TLS to the port., type: bool, default: false}
          tls_ca: {description: File of the authority that signed the server's certificate. The default is the system's., type: path}
          tls_verify: {description: Check that certificate., type: bool, default: true}
          container:
            description: Docker container of the server. A restore stops and starts it; its data has to be on a volume or in a folder of the host.
            type: str
          container_user: {description: User in the container who reads the file. The default is the image's., type: str}
          data_dir: {description: "Folder of the server's data, as the server calls it, for a user who may not ask (C(CONFIG GET)).", type: path}
          rdb_file: {description: Name of its RDB file there., type: str}
          digests: {description: "Digest the content of every key, too, when counting them; up to ten times slower.", type: bool, default: false}
          keep_keys:
            description:
              - Keys of database 0 that a restore leaves as they are, such as the halt of a trading system. No client sees the data without them.
              - What is not there stays away, whatever the backup has.
            type: list
            elements: str
            default: []
          service: {description: Unit of systemd that runs the server. A restore stops and starts it., type: str}
          server: {description: "Its program C(redis-server). The default is the one on PATH, in the container if there is one.", type: path}
          scratch_dir:
            description: Folder for the copy that a verification restores. The default is O(source.redis.data_dir), or the one for temporary files.
            type: path
          stall_timeout_seconds: {description: How long the server may not answer., type: float, default: 30.0}
          max_replica_lag_seconds: {description: Refuse a replica that is further behind., type: float}
      pgbackrest:
        description:
          - A whole PostgreSQL cluster on a host, physically and up to any point in time, by pgBackRest (2.41 or newer), which keeps the data in
            a repository of its own. Ours has a page of text about each backup, with what catalog, proofs and retention need.
          - Our retention decides what goes, and makes pgBackRest remove it, together with the log before the oldest full backup. So leave
            C(repo1-retention-full) out of its configuration, or set it to C(9999999). A pgBackRest that somebody else runs would
            expire backups by that number behind our back; a backup notes when it is set.
          - C(until) with C(lsn) means the state at that position, so all that was written before it, and nothing later.
          - A restore stops the server for two renames only. It keeps the old data directory as C(<data_dir>.before-<id>), and puts tablespaces beside
            the old ones as C(<location>.restored-<id>). After it the log goes on in a new timeline, and the next backup works as any other.
        type: dict
        suboptions:
          stanza: {description: Its name in the configuration of pgBackRest., type: str, required: true}
          config:
            description: "Configuration file, where secrets stay. Without it pgBackRest looks in its own places (C(/etc/pgbackrest.conf) on Debian)."
            type: path
          repo: {description: Number of the repository in the configuration., type: int, default: 1}
          type:
            description: What is copied. C(auto) takes what changed since the last backup, and everything where there is none.
            type: str
            choices: [auto, full, diff, incr]
            default: auto
          full_every: {description: "With C(auto), take a full backup when the last is older than this, such as C(7 d).", type: str}
          create_stanza: {description: Create the stanza where it is missing., type: bool, default: false}
          start_fast: {description: "Begin with a checkpoint at once, rather than wait for the next.", type: bool, default: true}
          process_max: {description: How many processes copy. The default is that of the configuration., type: int}
          archive_timeout_seconds: {description: How long a segment of the log may take to the repository., type: int, default: 60}
          stall_timeout_seconds: {description: How long pgBackRest may say nothing., type: float, default: 600.0}
          database: {description: Where the queries of invariants are asked., type: str, default: postgres}
          host: {description: "Folder of the server's socket; without it, the usual one.", type: str, default: ''}
          port: {description: Its port., type: int, default: 5432}
          user: {description: "Role to log in as, a superuser; without it, the name of O(source.pgbackrest.os_user).", type: str, default: ''}
          os_user: {description: System user of the server., type: str, default: postgres}
          bin_dir: {description: Folder of the server's programs. The default is the distribution's for the version., type: path}
          data_dir: {description: The data directory that is restored. The default is C(pg1-path) of the stanza., type: path}
          service: {description: "Unit of systemd that runs the server, such as C(postgresql@15-main.service). Without it C(pg_ctl) does.", type: str}
          scratch_dir: {description: "Folder for what a verification restores, with a short path. The default is beside the data directory.", type: path}
          timeline:
            description: The timeline to follow with C(until). The default is the newest in the archive, also when it was given up.
            type: int
"""

    ENCRYPTION = r"""
options:
  encryption:
    description: Whom backups are encrypted to by the program age, and what opens them. Without recipients they are stored as they are.
    type: dict
    suboptions:
      recipients:
        description:
          - Public keys (C(age1...)), as C(age-keygen -y) prints them. Each of them alone opens the backup, so give at least two, one of them kept in escrow.
          - A restore saves what is there before, and needs them for that.
          - They may be changed at any time. Earlier backups stay with the recipients they had, which are in their manifests.
        type: list
        elements: str
        default: []
      identity_file:
        description:
          - File on the host with one or more private keys, without a passphrase, for reading what is encrypted. It must be of the mode 0600 or less.
          - Hosts that only take backups need none, and should have none; a digest is verified without one, too.
          - Whether it opens a backup is told by the public keys (C(age-keygen -y)) and the recipients in the manifest, before anything is read.
        type: path
"""

    UNTIL = r"""
options:
  until:
    description:
      - Up to which one point the log is replayed, for kinds that have one. With C(time) the newest backup before it is taken, unless O(select) has an id.
      - A point that cannot be reached, or is before the backup ended, is refused before anything is copied.
    type: dict
    suboptions:
      time: {description: "An instant (RFC 3339), such as C(2026-11-20T14:03:00Z); transactions of that instant are in it.", type: str}
      lsn: {description: "A position in the log, such as C(0/3A8F2D8).", type: str}
      xid: {description: The last transaction that is in it., type: str}
      name: {description: A point that C(pg_create_restore_point) named., type: str}
"""

    COPY = r"""
options:
  progress_file:
    description: File that says how far it is, written about once a second. With O(progress_seconds) the controller chooses one and reads it.
    type: path
  progress_seconds:
    description: Show every so many seconds how far it is; 0 shows nothing. The module then runs detached, and a lost connection does not end it.
    type: float
    default: 0.0
  timeout_seconds:
    description: Seconds the whole may take.
    type: float
    default: 14400.0
"""

    SCRATCH: str = SOURCE.replace(
        "  source:\n    description: What is backed up.", "  scratch:\n    description: Another place to restore into, for looking only.", 1
    )

    VERSIONS = r"""
options:
  versions:
    description: "Versions that belong to the backup, such as C({git revision: 4f2a91c}), by name."
    type: dict
    default: {}
  revision:
    description: A query that only reads and gives one value, such as that of the last migration. Asked before the copy (C(sqlite), C(postgresql)).
    type: str
    default: ''
  images:
    description: The containers whose images belong to the backup; their digests are asked from the container engine of the host.
    type: dict
    suboptions:
      project: {description: A project of compose., type: str}
      containers: {description: Names of containers., type: list, elements: str}
"""

    TO: str = "\noptions:\n" + DOCUMENTATION[DOCUMENTATION.index("  repository:\n") :].replace(
        "  repository:\n    description: Where the backups are kept.", "  to:\n    description: Where the copies go.", 1
    )

    COPIES: str = TO.replace(
        """  to:
    description: Where the copies go. The kind is the key.
    type: dict
    required: true
    suboptions:
""",
        """  copies:
    description: Other repositories that ought to hold copies, each with its kind as the key.
    type: list
    elements: dict
    default: []
    suboptions:
      name: {description: What it is called in the plan. The default is its kind., type: str}
""",
        1,
    )
