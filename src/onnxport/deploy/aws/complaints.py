"""What AWS says when it refuses, as one sentence with a remedy. The table is the whole knowledge of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from botocore import exceptions as botocore
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from onnxport.errors import DeployError, shorten

_LONGEST = 400
_AGAIN = "run the same command again, it goes on from here"
_DENIED_ACTION = re.compile(r"perform: ([a-z0-9-]+:[A-Za-z]+)(?: on resource: (\S+))?")

# Of botocore itself: the error, the sentence, the remedy.
_LOCAL: tuple[tuple[type[Exception], str, str], ...] = (
    (
        botocore.NoCredentialsError,
        "no AWS credentials were found",
        "run `aws configure`, or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    ),
    (
        botocore.PartialCredentialsError,
        "only a part of the AWS credentials is set",
        "set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or neither",
    ),
    (
        botocore.ProfileNotFound,
        "the AWS profile that is named doesn't exist",
        "look into ~/.aws/config, and set AWS_PROFILE to one that is there",
    ),
    (
        botocore.UnauthorizedSSOTokenError,
        "the AWS sign-in has ended",
        f"run `aws sso login`, then {_AGAIN}",
    ),
    (
        botocore.SSOTokenLoadError,
        "nobody is signed in to AWS",
        f"run `aws sso login`, then {_AGAIN}",
    ),
    (
        botocore.CredentialRetrievalError,
        "the AWS credentials could not be fetched",
        "try `aws sts get-caller-identity`, and mend what it complains of",
    ),
    (
        botocore.InvalidRegionError,
        "the region's name is none",
        "write one such as eu-central-1",
    ),
    (
        botocore.EndpointConnectionError,
        "AWS can't be reached",
        "check the network, the region's name and AWS_ENDPOINT_URL, then run the same command again",
    ),
    (botocore.ConnectionError, "the connection to AWS broke", f"check the network, then {_AGAIN}"),
    (botocore.HTTPClientError, "the connection to AWS broke", f"check the network, then {_AGAIN}"),
    (
        ResponseParserError,
        "what answered isn't AWS, or failed inside",
        "check AWS_ENDPOINT_URL and proxies, then run the same command again",
    ),
    (
        botocore.ParamValidationError,
        "a value doesn't fit what AWS takes",
        "correct it in onnxport.toml",
    ),
)

_TOKEN = f"sign in again (`aws sso login`, or new keys), then {_AGAIN}"
_KEYS = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
_CLOCK = f"set this machine's clock right, then {_AGAIN}"
_REGION = "enable it in the account's settings, or take another region"
_BUSY = "wait until it is Ready (`onnxport status`), then run the same command again; `onnxport rollback` aborts it"
_SLOWER = f"wait a minute, then {_AGAIN}"
_QUOTA = "remove what isn't needed (`onnxport destroy`), or ask AWS for a higher quota"

# By AWS's code: the sentence, the remedy, whether the same command may go on later.
_CODES: dict[str, tuple[str, str, bool]] = {
    **dict.fromkeys(
        ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "InvalidToken"),
        ("the AWS session has expired", _TOKEN, True),
    ),
    **dict.fromkeys(
        (
            "InvalidClientTokenId",
            "UnrecognizedClientException",
            "InvalidAccessKeyId",
            "AuthFailure",
            "SignatureDoesNotMatch",
            "IncompleteSignature",
            "MissingAuthenticationToken",
        ),
        ("AWS doesn't know these credentials", _KEYS, True),
    ),
    **dict.fromkeys(
        ("RequestExpired", "RequestTimeTooSkewed"),
        ("the request's time is not AWS's time", _CLOCK, True),
    ),
    **dict.fromkeys(
        ("OptInRequired", "RegionDisabledException"),
        ("the region isn't enabled for this account", _REGION, False),
    ),
    **dict.fromkeys(
        (
            "Throttling",
            "ThrottlingException",
            "RequestLimitExceeded",
            "TooManyRequestsException",
            "SlowDown",
            "RequestThrottled",
        ),
        ("AWS asks for a slower pace, after several tries", _SLOWER, True),
    ),
    **dict.fromkeys(
        ("ServiceUnavailable", "InternalFailure", "InternalError", "ServiceUnavailableException"),
        ("AWS failed inside, after several tries", _SLOWER, True),
    ),
    "TooManyEnvironmentsException": ("the account has no room for an environment", _QUOTA, False),
    "TooManyApplicationsException": ("the account has no room for an application", _QUOTA, False),
    "TooManyApplicationVersionsException": (
        "the account has no room for a version (1000 in a region, over all applications)",
        "delete old versions, of other applications too, or ask AWS for a higher quota",
        False,
    ),
    "TooManyBucketsException": ("the account has no room for a bucket", _QUOTA, False),
    "LimitExceeded": ("a quota of the account is reached", _QUOTA, False),
    "LimitExceededException": ("a quota of the account is reached", _QUOTA, False),
    "OperationInProgressException": ("something else is going on there", _BUSY, True),
    "OperationInProgressFailure": ("something else is going on there", _BUSY, True),
    "S3LocationNotInServiceRegionException": (
        "the bundle's bucket is in another region",
        "take the region of the bucket, or another application name",
        False,
    ),
    "NoSuchBucket": ("the bucket is gone", "run `onnxport deploy` again, it makes it anew", True),
    "InvalidBucketName": ("the bucket's name is none", "leave the bucket to onnxport", False),
}

# By AWS's words, where the code alone says nothing: the sentence takes the match's groups.
_WORDS: tuple[tuple[str, str, str, bool], ...] = (
    (r"[Mm]ust be Ready", "the environment is busy", _BUSY, True),
    (
        r"DNS name \((\S+?)\) is not available",
        "the address {0} is taken",
        "choose another with cname in onnxport.toml or --cname",
        False,
    ),
    (
        r"Environment (\S+) already exists",
        "an environment {0} is there already",
        "run the same command again, it goes on with it; if it isn't yours, choose another name",
        True,
    ),
    (
        r"Application Version (\S+) already exists",
        "a version {0} is there already",
        _AGAIN,
        True,
    ),
    (
        r"No (?:Solution Stack|Platform) named|Platform .* (?:not exist|not found)",
        "the platform is no longer offered",
        "run the same command again, it looks for the newest",
        True,
    ),
    (
        r"[Ii]nstance ?[Pp]rofile",
        "the instance profile can't be used",
        "check that it exists and holds a role, or leave instance_profile out of onnxport.toml",
        False,
    ),
    (
        r"VPC|default subnet|[Ss]ubnet",
        "the network doesn't fit",
        "name vpc and subnets in onnxport.toml, or create a default VPC",
        False,
    ),
    (
        r"InstanceType|instance type",
        "the instance type can't be had here",
        "choose another with instance_types in onnxport.toml",
        False,
    ),
)


def translate(err: Exception, step: str) -> DeployError:
    """The complaint as one of ours."""
    if isinstance(err, ClientError):
        return _from_aws(err, step)
    for kind, sentence, remedy in _LOCAL:
        if isinstance(err, kind):
            fits = not isinstance(err, botocore.ParamValidationError)
            is_told = not fits or isinstance(err, botocore.ProfileNotFound)
            said = f" ({_words(str(err))})" if is_told else ""
            return _error(step, sentence + said, remedy, str(err), fits)
    return _error(step, _words(str(err)), "check the AWS configuration", str(err), True)


def _from_aws(err: ClientError, step: str) -> DeployError:
    told: dict[str, Any] = dict(err.response.get("Error", {}))
    code, said = str(told.get("Code", "")), _words(str(told.get("Message", "")))
    if code in _CODES:
        sentence, remedy, resumable = _CODES[code]
        return _error(step, f"{sentence} ({said or code})", remedy, said, resumable)
    if _is_denied(code):
        return _denied(step, said)
    for pattern, sentence, remedy, resumable in _WORDS:
        if match := re.search(pattern, said):
            text = sentence.format(*match.groups())
            return _error(step, f"{text} ({said})", remedy, said, resumable)
    remedy = "correct what it names, in onnxport.toml or in the account"
    return _error(step, f"AWS says: {said or code}", remedy, said, False)


_is_denied: Callable[[str], bool] = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "UnauthorizedOperation",
        "InsufficientPrivilegesException",
        "NotAuthorized",
        "403",
    }
).__contains__


def _denied(step: str, said: str) -> DeployError:
    match = _DENIED_ACTION.search(said)
    if not match:
        remedy = "`onnxport deploy --dry-run` lists the permissions that every step needs"
        return _error(step, f"the credentials may not do this ({said})", remedy, said, False)
    action, resource = match.groups()
    on = f" on {resource}" if resource else ""
    remedy = f"have {action} granted{on}; `onnxport deploy --dry-run` lists all that the steps need"
    return _error(step, f"the credentials lack the permission {action}", remedy, said, False)


def _error(step: str, what: str, remedy: str, said: str, resumable: bool) -> DeployError:
    return DeployError(what, step=step, said=said, remedy=remedy, resumable=resumable)


def _words(text: str) -> str:
    return shorten(" ".join(text.split()), _LONGEST).rstrip(".")
