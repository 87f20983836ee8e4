"""SageMaker's quotas of machines against what runs at the same time; in new accounts many are zero.

Names as Service Quotas lists them; each kind of use has its own quota for each machine, spot apart from on-demand:
https://docs.aws.amazon.com/general/latest/gr/sagemaker.html#limits_sagemaker
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pipeline.errors import DarkroomError
from pipeline.preflight.demand import ENDPOINT, needs, uses
from pipeline.preflight.finding import Finding, error, ok, unknown, warning
from pipeline.preflight.setting import Setting

SERVICE = "sagemaker"
PAGE = 100  # the most that a page holds
TOTALS = {
    "processing job": "Number of instances across all processing jobs",
    "training job": "Number of instances across all training jobs",
    "spot training job": "Number of instances across all spot training jobs",
    ENDPOINT: "Number of instances across active endpoints",
}
# https://docs.aws.amazon.com/sagemaker/latest/dg/automatic-model-tuning-limits.html: ten, up to a hundred on request
PARALLEL, PARALLEL_TRIALS = 10, re.compile(r"(parallel|concurrent) training jobs per .*tuning job", re.IGNORECASE)
_LISTED = "aws service-quotas list-service-quotas --service-code sagemaker --query"


class Wanted(NamedTuple):
    """`least` has to be there for anything to run at all, `well` for what comes later; `why` of each."""

    name: str
    least: int
    well: int
    why: str
    why_well: str


class Quota(NamedTuple):
    value: int
    code: str
    adjustable: bool


def enough(setting: Setting) -> Iterator[Finding]:
    wanted = [*_of_endpoints(setting), *_of_jobs(setting)]
    known = _known(setting, {each.name for each in wanted})
    for each in wanted:
        yield _judged(setting, each, known.get(each.name))
    yield from _trials(setting, known)


def name_of(kind: str, machine: str) -> str:
    return f"{machine} for {kind} usage" if machine else TOTALS[kind]


def _of_jobs(setting: Setting) -> Iterator[Wanted]:
    for need in needs(setting):
        takes = "takes" if len(need.steps) == 1 else "take"
        why = f"{' and '.join(need.steps)} {takes} {need.count} at once"
        yield Wanted(name_of(need.kind, need.machine), need.count, need.count, why, "")


def _of_endpoints(setting: Setting) -> Iterator[Wanted]:
    """An update starts the new fleet beside the old one, of as many as scaling has made of it; production has its own
    fleet, on the same kind of machine. A serverless endpoint has none."""
    deploy = setting.config.deploy
    if deploy.serverless:
        return
    count = deploy.instance_count
    most = max(count, deploy.scaling.max) if deploy.scaling else count
    why = f"the staging endpoint begins with {count}"
    scaled = f"scaling makes up to {most} of them, " if most > count else ""
    later = f"{scaled}an update starts {most} more beside them, and production has as many again"
    for machine in (deploy.instance_type, ""):
        yield Wanted(name_of(ENDPOINT, machine), count, 3 * most, why, later)


def _known(setting: Setting, names: set[str]) -> dict[str, Quota]:
    """By name, as far as they are listed; what this account has no value of its own for is AWS's default."""
    found = _listed(setting, "list_service_quotas", names)
    missing = names - set(found)
    if not missing:
        return found
    try:
        return {**_listed(setting, "list_aws_default_service_quotas", missing), **found}
    except DarkroomError:
        return found  # each that is missing is then told as not known


def _listed(setting: Setting, method: str, names: set[str]) -> dict[str, Quota]:
    """SageMaker has thousands: reading ends with the last that is wanted."""
    found: dict[str, Quota] = {}
    request: dict[str, Any] = {"ServiceCode": SERVICE, "MaxResults": PAGE}
    while True:
        answer = setting.service("service-quotas").ask(method, **request)
        for row in answer.get("Quotas", ()):
            name = str(row.get("QuotaName"))
            if name in names or PARALLEL_TRIALS.search(name):
                found[name] = _quota(row)
        if names <= set(found) or not answer.get("NextToken"):
            return found
        request["NextToken"] = answer["NextToken"]


def _quota(row: Mapping[str, Any]) -> Quota:
    return Quota(int(row.get("Value", 0)), str(row.get("QuotaCode", "")), bool(row.get("Adjustable", True)))


def _judged(setting: Setting, wanted: Wanted, quota: Quota | None) -> Finding:
    name = wanted.name
    if quota is None:
        query = f"Quotas[?contains(QuotaName, '{name.split(' for ')[0]}')].[QuotaName,Value]"
        return unknown(name, f"Service Quotas lists no such quota; {wanted.why}", f'{_LISTED} "{query}"')
    if quota.value < wanted.least:
        return error(name, f"it is {quota.value}; {wanted.why}", _raised(setting, quota, wanted.well))
    if quota.value < wanted.well:
        message = f"it is {quota.value}; {wanted.why}; {wanted.why_well}"
        return warning(name, message, _raised(setting, quota, wanted.well))
    return ok(name, f"it is {quota.value}; {wanted.why}. What else runs in the account counts, too")


def _raised(setting: Setting, quota: Quota, value: int) -> str:
    if not quota.adjustable:
        return "AWS does not raise it: take fewer machines, or others, in pipeline.yaml"
    return (
        f"aws service-quotas request-service-quota-increase --service-code {SERVICE} --quota-code {quota.code} "
        f"--desired-value {value} --region {setting.config.pipeline.region}"
    )


def _trials(setting: Setting, known: Mapping[str, Quota]) -> Iterator[Finding]:
    """Trials at once in one tuning job have a limit of their own, whatever machines they run on."""
    listed = next(((name, quota) for name, quota in known.items() if PARALLEL_TRIALS.search(name)), None)
    name, quota = listed or ("parallel training jobs of a tuning job", None)
    limit = quota.value if quota else PARALLEL
    for use in uses(setting):
        if use.parallel > limit:
            less = f"or --set MaxParallelTuningJobs={limit}"
            mend = (
                f"{_raised(setting, quota, use.parallel)}; {less}" if quota else f"AWS's default; ask for more, {less}"
            )
            yield error(name, f"it is {limit}; {use.step} runs {use.parallel} at once", mend)
