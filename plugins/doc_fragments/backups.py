# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of what can be backed up and where to, shared by every module of backups."""

from __future__ import annotations


class ModuleDocFragment:
    """Whose backups (base), what (SOURCE), for whose eyes (ENCRYPTION), and the file of progress (COPY)."""

    DOCUMENTATION = r"""
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
        required: true
        suboptions:
          path: {description: Absolute path. An empty or missing folder becomes a repository., type: path, required: true}
          require_mount:
            description: Refuse when nothing is mounted there, rather than fill the disk below.
            type: bool
            default: false
"""

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
        type: path
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
