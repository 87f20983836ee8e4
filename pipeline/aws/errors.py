"""Errors of boto3 as darkroom's own, in one place: AWS's code, what it means, what to do next.

A call that AWS refused is a ServiceError; one that was throttled, broke off or was never answered, in spite of all
retries, is Unavailable. Credentials and regions that do not work say how to mend them.
"""

from __future__ import annotations

import re
from collections import namedtuple
from functools import cache
from xml.etree.ElementTree import ParseError

from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from pipeline.aws import denied
from pipeline.errors import DarkroomError, ServiceError, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# what was asked of whom: service as boto3 names it; operation in CamelCase; attempts that were sent; resource's ARN
Call = namedtuple("Call", "service operation attempts region profile resource", defaults=("", 1, "", "", ""))

DENIED = ("AccessDenied", "AccessDeniedException", "403", "Forbidden", "AllAccessDisabled", "UnauthorizedOperation")
EXPIRED = ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired", "RequestExpiredException")
UNKNOWN_KEYS = (
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidAccessKeyId",
    "InvalidToken",
    "AuthFailure",
)
WRONG_SIGNATURES = ("SignatureDoesNotMatch", "InvalidSignatureException", "RequestTimeTooSkewed", "IncompleteSignature")
THROTTLED = (
    *("Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException"),
    *("TooManyRequestsException", "RequestLimitExceeded", "BandwidthLimitExceeded", "SlowDown", "429"),
)
ELSEWHERE = ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301")
NOT_FOUND = {"404": "NoSuchKey", "NotFound": "NoSuchKey"}  # a HEAD has no body that could say it better
READING = ("Describe", "List", "Get", "Head", "Filter", "Search")  # such calls change nothing

_NO_CREDENTIALS = (boto.NoCredentialsError, boto.NoAuthTokenError, boto.PartialCredentialsError)
_SIGN_IN = (
    *(boto.UnauthorizedSSOTokenError, boto.SSOTokenLoadError, boto.TokenRetrievalError, boto.CredentialRetrievalError),
    *(boto.LoginError, boto.MetadataRetrievalError),
)
# a parser that gives up met what no service of AWS says, such as the page of a proxy; botocore's handler of
# GetBucketLocation has one of its own
UNREADABLE = (ResponseParserError, ParseError)
_LOST = (boto.ConnectionError, boto.HTTPClientError, boto.IncompleteReadError, *UNREADABLE)
_REGION = (boto.NoRegionError, boto.InvalidRegionError)
_ADDRESS = re.compile(r'"(https?://[^/"]+)')


def translated(exc: Exception, call: Any) -> DarkroomError:
    """`exc`: a BotoCoreError, a ClientError or one of UNREADABLE."""
    match exc:
        case boto.ClientError():
            return _refused(exc, call)
        case boto.ProfileNotFound():
            return ServiceError(
                "ProfileNotFound", f"there is no profile {call.profile or 'of that name'!r}: {exc}", hint=_PROFILES
            )
        case _ if isinstance(exc, _NO_CREDENTIALS):
            return ServiceError("NoCredentials", f"no credentials for AWS: {exc}", call.operation, _sign_in(call))
        case _ if isinstance(exc, _SIGN_IN):
            return ServiceError(
                "ExpiredToken", f"AWS's credentials cannot be had: {exc}", call.operation, _sign_in(call)
            )
        case _ if isinstance(exc, _REGION):
            return no_region() if isinstance(exc, boto.NoRegionError) else _no_such_region(call, str(exc))
        case _ if isinstance(exc, _LOST):
            return _lost(exc, call)
        case boto.ParamValidationError():
            return ServiceError("ValidationException", f"{call.operation}: {exc}", call.operation)
        case _:
            return ServiceError(type(exc).__name__, f"{call.operation or call.service}: {exc}", call.operation)


_PROFILES = "name one of those in ~/.aws/config with --profile or AWS_PROFILE: aws configure list-profiles"


def no_region() -> DarkroomError:
    return ServiceError("NoRegion", "no region of AWS is set", hint="add --region us-east-1, or set AWS_REGION")


def _refused(exc: boto.ClientError, call: Any) -> DarkroomError:
    """The code is AWS's own; the message, too, with what it does not say."""
    error = exc.response.get("Error", {})
    code, message = str(error.get("Code", "Unknown")), str(error.get("Message", "")) or "AWS gave no reason"
    status = exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    operation = exc.operation_name or call.operation
    if code in DENIED or (status == 403 and "not authorized to perform" in message):
        return _denied(code, message, call._replace(operation=operation))
    if code in EXPIRED:
        return ServiceError("ExpiredToken", f"AWS's credentials have expired: {message}", operation, _sign_in(call))
    if code in UNKNOWN_KEYS:
        return ServiceError(code, f"AWS does not know these credentials: {message}", operation, _sign_in(call))
    if code == "400" and operation.startswith("Head"):
        told = f"S3 refused {operation} without a reason, as it does when credentials have expired: {message}"
        return ServiceError("ExpiredToken", told, operation, _sign_in(call))
    if code in WRONG_SIGNATURES:
        hint = "look at the secret access key, and at this machine's clock: AWS allows it 5 minutes"
        return ServiceError(code, f"AWS does not take the signature: {message}", operation, hint)
    if code in THROTTLED or status == 429:
        told = f"{operation} was throttled by AWS, also at attempt {call.attempts} ({code})"
        return Unavailable(code, told, operation, "wait a minute, then run it again; AWS_MAX_ATTEMPTS allows more")
    if status >= 500:
        told = f"{operation} broke in AWS, also at attempt {call.attempts} (status {status}, {code}: {message})"
        return Unavailable(code, told, operation, _again(operation), uncertain=not _reads(operation))
    if code in ELSEWHERE:
        where = f"{message}; the calls went to {call.region}"
        return ServiceError(code, where, operation, "name the bucket's own region with --region")
    if code == "ResourceNotFound" and call.region:
        message += f" (looked for in {call.region})"
    return ServiceError(NOT_FOUND.get(code, code), message, operation)


def _denied(code: str, message: str, call: Any) -> DarkroomError:
    told = denied.explain(message, call.service, call.operation, call.resource)
    bare = code in ("403", "Forbidden") or message == "Forbidden"
    said = f"not allowed to {told.action}" + (f" on {told.resource}" if told.resource else "")
    code = "AccessDenied" if code in ("403", "Forbidden") else code
    return ServiceError(code, said if bare else f"{said}: {message}", call.operation, told.hint)


def _lost(exc: Exception, call: Any) -> DarkroomError:
    times = "once" if call.attempts == 1 else f"{call.attempts} times"
    told = f"{call.operation} got no answer, tried {times}: {exc}"
    unreached = isinstance(exc, boto.EndpointConnectionError | boto.ProxyConnectionError | boto.SSLError)
    uncertain = not unreached and not _reads(call.operation)
    return Unavailable(
        "NoAnswer", told, call.operation, _out_of_reach(call) if unreached else _again(call.operation), uncertain
    )


def _out_of_reach(call: Any) -> str:
    return f"look at the network{_misspelt(call.region)}, then run it again"


def _misspelt(region: str) -> str:
    """Regions that are newer than this botocore may well exist: only a hint."""
    if not region or region in (known := known_regions()):
        return ""
    from difflib import get_close_matches

    near = " or ".join(get_close_matches(region, known, n=3))
    return f", and at the region: {region!r} is not known here" + (f"; did you mean {near}?" if near else "")


@cache
def known_regions() -> list[str]:
    """With SageMaker, of every partition. Read once: it takes 0.3 s, and who watches through an outage asks often."""
    from botocore.session import Session

    session = Session()
    partitions = session.get_available_partitions()
    return [region for name in partitions for region in session.get_available_regions("sagemaker", name)]


def _no_such_region(call: Any, text: str) -> DarkroomError:
    return ServiceError("InvalidRegion", text, call.operation, f"name one with --region{_misspelt(call.region)}")


def _sign_in(call: Any) -> str:
    profile = f" --profile {call.profile}" if call.profile else ""
    mend = f"sign in again (aws sso login{profile}), or take the role anew in CI, then run it again"
    return f"{mend}; aws sts get-caller-identity{profile} shows who you are"


def _again(operation: str) -> str:
    if _reads(operation):
        return "this call changes nothing: run the command again"
    return "whether the call was done is not known; the command may be run again"


def _reads(operation: str) -> bool:
    return operation.startswith(READING)
