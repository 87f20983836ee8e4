"""All checks, each by itself: what one of them cannot ask is a finding, and ends no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from pipeline.errors import DarkroomError, ServiceError
from pipeline.preflight import (
    credentials,
    data,
    functions,
    images,
    keys,
    logs,
    network,
    quotas,
    registry,
    rights,
    roles,
    stack,
    storage,
)
from pipeline.preflight.finding import Finding, error, unknown, worst_first
from pipeline.preflight.setting import Setting

# without these nothing can be asked: pipeline/aws/errors.py gives such codes
NOBODYS = ("NoCredentials", "ExpiredToken", "UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId")
WRONG = (*NOBODYS, "InvalidToken", "SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature")


class Check(NamedTuple):
    name: str
    asks: Callable[[Setting], Iterator[Finding]]


FIRST = Check("credentials", credentials.identity)
# What fails last has cost most by then, so it comes first: the endpoint behind hours of training, then the training,
# then what fails at once.
CHECKS = (
    Check("image", images.serving),
    Check("function", functions.there),
    Check("function role", functions.rights_of),
    Check("quota", quotas.enough),
    Check("registry", registry.group),
    Check("role", roles.there),
    Check("role", roles.attached),
    Check("rights", rights.of_execution),
    Check("image", images.of_jobs),
    Check("key", keys.usable),
    Check("key policy", keys.policy),
    Check("network", network.subnets),
    Check("network", network.groups),
    Check("network", network.way_to_s3),
    Check("data", data.there),
    Check("bucket", storage.there),
    Check("bucket", storage.region),
    Check("bucket", storage.private),
    Check("bucket", storage.encrypted),
    Check("bucket", storage.versioned),
    Check("bucket", storage.over_tls),
    Check("region", credentials.region),
    Check("caller", rights.of_caller),
    Check("logs", logs.readable),
    Check("stack", stack.deployed),
    Check("approvals", stack.approvals),
)


def run(setting: Setting, checks: Sequence[Check] = CHECKS) -> list[Finding]:
    """Errors first. Raises nothing that AWS answers: whoever is denied, or gets no answer, finds that out."""
    found = _asked(FIRST, setting)
    if any(each.check == FIRST.name and each.status == "error" and each.subject == "AWS" for each in found):
        rest = ", ".join(dict.fromkeys(check.name for check in checks))
        return [*found, unknown("AWS", f"nothing else was asked: {rest}", found[0].mend).of("all others")]
    for check in checks:
        found += _asked(check, setting)
    return worst_first(found)


def _asked(check: Check, setting: Setting) -> list[Finding]:
    found: list[Finding] = []
    try:
        found.extend(check.asks(setting))
    except DarkroomError as exc:
        found.append(_failed(exc, check is FIRST))
    return [each.of(check.name) for each in found]


def _failed(exc: DarkroomError, first: bool) -> Finding:
    if first and isinstance(exc, ServiceError) and exc.code in WRONG:
        return error("AWS", exc.message, exc.hint)
    operation = exc.operation if isinstance(exc, ServiceError) else ""
    return unknown(operation or "AWS", exc.message, exc.hint or "run it again")
