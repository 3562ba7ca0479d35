# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of a repository in S3, wherever one is given."""

from __future__ import annotations


class ModuleDocFragment:
    """As a kind of repository."""

    DOCUMENTATION = r"""
options:
  s3:
    description:
      - A bucket of S3, or of what speaks like it (Ceph, MinIO). The Python library boto3 is needed on the host.
      - A key for backups needs C(s3:ListBucket), C(s3:GetObject), C(s3:PutObject) and C(s3:AbortMultipartUpload), and should have no more;
        give pruning another one that also has C(s3:DeleteObject).
    type: dict
    suboptions:
      bucket: {description: Its name. It has to exist., type: str, required: true}
      prefix: {description: "Where in it the repository is, without a slash at the beginning.", type: str, default: ''}
      endpoint_url: {description: "Address of another server than Amazon's, with C(https).", type: str, default: ''}
      region: {description: The region of the bucket. Without it the settings of the host count (C(AWS_DEFAULT_REGION))., type: str}
      ca_bundle: {description: File with the certificates that the server's is checked against. The default is the system's., type: path}
      allow_http: {description: "Allow plain C(http), which everybody on the way can read.", type: bool, default: false}
      access_key: {description: Without keys those of the host count (environment or files or role of the machine)., type: str}
      secret_access_key: {description: Belongs to the access key., type: str}
      secret_session_token: {description: Of keys that are valid for a while., type: str}
      addressing_style:
        description: Whether the bucket stands in the path of a request or in the name of the host.
        type: str
        choices: [auto, path, virtual]
        default: auto
      part_mib:
        description: Size of a part (at least 5); six are held in memory. They double after every 1000, so 8 is enough for terabytes.
        type: int
        default: 8
      sse:
        description: How the server encrypts what it stores. It has the key then; only C(age) keeps the server from reading along.
        type: str
        choices: [none, AES256, 'aws:kms']
        default: none
      kms_key_id: {description: "The key for C(aws:kms).", type: str}
      object_lock_mode:
        description:
          - Object Lock, in a bucket made for it. C(compliance) is ended by nobody, C(governance) by who has the right to.
          - Data and manifests are locked, notes about them are not. What is locked counts although somebody deleted it or wrote over it, so a
            stolen key takes no backup away; nor does pruning before the lock ends. In a bucket that only keeps versions, remove
            the delete markers by hand.
          - Needs the rights C(s3:ListBucketVersions), C(s3:GetObjectVersion), C(s3:GetObjectRetention) and C(s3:PutObjectRetention) too. Removed
            versions stay until a lifecycle rule of the bucket (C(NoncurrentVersionExpiration)) takes them. Leave its default retention off.
        type: str
        choices: [none, governance, compliance]
        default: none
      object_lock_days: {description: How long objects stay locked. No longer than the retention keeps them., type: int}
      max_attempts: {description: How often a request that fails for a moment is sent., type: int, default: 6}
      state_dir:
        description: Folder on the host for locks and for the notes about open uploads, which the run after a killed one ends.
        type: path
        default: /var/lib/tradeops/s3
"""
