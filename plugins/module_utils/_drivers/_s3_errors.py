# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What S3 servers and boto3 say went wrong, as ours; and whether asking again may help.

Codes: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html and the exceptions of botocore.
"""

from __future__ import annotations

import calendar
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from .._core.errors import Busy, Exists, InvalidInput, NoSpace, NotThere, RunbookError, TimedOut, Unreachable, VerifyFailed
from ._pg_errors import AuthFailed, TlsFailed

SKEW_SECONDS = 900.0
"""S3 refuses requests whose clock is further off."""


class Denied(RunbookError):
    """The key lacks a right."""

    code = "permission_denied"


class ClockSkew(RunbookError):
    """The clocks of this host and the server differ too much."""

    code = "clock_skew"


class WrongRegion(InvalidInput):
    """The bucket is elsewhere."""

    code = "wrong_region"


_KEYS = "see access_key, secret_access_key and secret_session_token, or the credentials of this host"
_RIGHTS = (
    "give the key s3:ListBucket, s3:GetObject, s3:PutObject and s3:AbortMultipartUpload (with Object Lock also s3:ListBucketVersions, s3:GetObjectVersion, "
    "s3:GetObjectRetention and s3:PutObjectRetention); only a separate key for prune_backups needs s3:DeleteObject"
)
_ROOM = "prune old backups (prune_backups), or raise the quota"
_LATER = "try again later; see the load of the server"

_SAID_WHY = ("InvalidArgument", "InvalidRequest", "ObjectLockConfigurationNotFoundError", "KMS.NotFoundException", "KMS.DisabledException")

# Code of the server: what it is, whether to ask again, what to do.
_MEANINGS: Mapping[str, tuple[type[RunbookError], bool, str]] = {
    **dict.fromkeys(("NoSuchKey", "404", "NotFound", "NoSuchVersion"), (NotThere, False, "see what removed it; backup_info lists what there is")),
    "NoSuchBucket": (NotThere, False, "make the bucket first, or see bucket and endpoint_url"),
    "NoSuchUpload": (NotThere, False, "another one ended the upload; see the lifecycle rules of the bucket"),
    **dict.fromkeys(("PreconditionFailed", "412"), (Exists, False, "see who else writes here")),
    **dict.fromkeys(("ConditionalRequestConflict", "OperationAborted", "409"), (Busy, True, "see who else writes here")),
    **dict.fromkeys(("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "401", "Unauthorized"), (AuthFailed, False, _KEYS)),
    **dict.fromkeys(("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"),
                    (AuthFailed, False, "the credentials have expired: get new ones, valid for longer than the backup takes")),
    **dict.fromkeys(("AccessDenied", "AllAccessDisabled", "403", "Forbidden", "AccessForbidden"), (Denied, False, _RIGHTS)),
    **dict.fromkeys(("QuotaExceeded", "EntityTooLarge", "InsufficientCapacity", "507", "XMinioStorageFull"), (NoSpace, False, _ROOM)),
    **dict.fromkeys(("SlowDown", "ServiceUnavailable", "Throttling", "RequestLimitExceeded", "TooManyRequests", "503", "429"), (Busy, True, _LATER)),
    **dict.fromkeys(("InternalError", "500", "502", "504", "BadGateway", "GatewayTimeout"), (Unreachable, True, "see the log of the server")),
    **dict.fromkeys(("RequestTimeout", "RequestTimeoutException", "IncompleteBody"), (TimedOut, True, "see the network between this host and the server")),
    **dict.fromkeys(("BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "InvalidPart"),
                    (VerifyFailed, True, "the bytes changed on the way: see the network and the memory of this host")),
    **dict.fromkeys(_SAID_WHY, (InvalidInput, False, "see the options of the repository, and the settings of the bucket")),
    **dict.fromkeys(("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301", "307"),
                    (WrongRegion, False, "set region, and endpoint_url, to those of the bucket")),
}  # fmt: skip

# Names of the exceptions of botocore and urllib3, and of their bases.
_BROKEN: tuple[tuple[str, type[RunbookError], bool, str], ...] = (
    ("NoCredentialsError", AuthFailed, False, _KEYS),
    ("PartialCredentialsError", AuthFailed, False, _KEYS),
    ("CredentialRetrievalError", AuthFailed, False, _KEYS),
    ("TokenRetrievalError", AuthFailed, False, _KEYS),
    ("SSLError", TlsFailed, False, "give ca_bundle (the certificate of the authority), and the host as it is named in the server's certificate"),
    ("ConnectTimeoutError", TimedOut, True, "see endpoint_url and the network"),
    ("ReadTimeoutError", TimedOut, True, "see the server and the network"),
    ("EndpointConnectionError", Unreachable, True, "see endpoint_url and region, the name server and the network"),
    ("ProxyConnectionError", Unreachable, True, "see the proxy of this host"),
    ("NoRegionError", InvalidInput, False, "set region"),
    ("ParamValidationError", InvalidInput, False, "see bucket and prefix"),
    ("HTTPClientError", Unreachable, True, "see the network between this host and the server"),
    ("IncompleteReadError", Unreachable, True, "see the network between this host and the server"),
    ("HTTPError", Unreachable, True, "see the network between this host and the server"),
    ("ResponseParserError", Unreachable, True, "what answers there may be no S3 server: see endpoint_url"),
    ("TimeoutError", TimedOut, True, "see the server and the network"),
    ("OSError", Unreachable, True, "see the network between this host and the server"),
)  # fmt: skip


def meaning_of(error: BaseException, what: str) -> tuple[RunbookError, bool]:
    """Ours, and whether asking again may help. ``what`` was tried, on what; it holds no secrets, and what botocore says of keys is left out."""
    answer = getattr(error, "response", None)
    if isinstance(answer, Mapping) and "Error" in answer:
        return _answered(answer, what)
    names = [kind.__name__ for kind in type(error).__mro__]
    for name, kind, again, hint in _BROKEN:
        if name in names:
            return kind(f"{what}: {_plain(error)}", hint), again
    return RunbookError(f"{what}: {type(error).__name__}", "see the versions of python3-boto3 and python3-botocore"), False


def _answered(answer: Mapping[str, Any], what: str) -> tuple[RunbookError, bool]:
    details, metadata = answer["Error"], answer.get("ResponseMetadata", {})
    code, status = str(details.get("Code", "")), str(metadata.get("HTTPStatusCode", ""))
    headers = metadata.get("HTTPHeaders", {})
    skew = _skew(details, headers)
    if code == "RequestTimeTooSkewed" or (status == "403" and abs(skew) > SKEW_SECONDS):
        way = "behind" if skew > 0 else "ahead of"
        return ClockSkew(f"{what}: the clock of this host is {abs(skew):.0f} s {way} the server's", "set the clock (chrony, systemd-timesyncd)"), False
    kind, again, hint = _MEANINGS.get(code) or _MEANINGS.get(status) or (RunbookError, status.startswith("5"), "see the log of the server")
    told = f"the server says {code or status}"
    if code in _SAID_WHY and details.get("Message"):
        told += f": {details['Message'][:200]}"
    region = details.get("Region") or headers.get("x-amz-bucket-region")
    if kind is WrongRegion and region:
        told += f"; the bucket is in {region}"
    return kind(f"{what}: {told}", hint), again


def _skew(details: Mapping[str, Any], headers: Mapping[str, str]) -> float:
    """Seconds that the server's clock is ahead of ours; 0 when it does not tell."""
    try:
        if details.get("ServerTime"):
            return calendar.timegm(time.strptime(details["ServerTime"][:19], "%Y-%m-%dT%H:%M:%S")) - time.time()
        return parsedate_to_datetime(headers["date"]).timestamp() - time.time() if "date" in headers else 0.0
    except (ValueError, TypeError):
        return 0.0


def _plain(error: BaseException) -> str:
    return str(error).split("\n", maxsplit=1)[0][:200]
