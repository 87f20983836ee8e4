"""What batch transform jobs of `darkroom transform` left, in S3 and in the logs."""

from __future__ import annotations

from typing import Any

from pipeline.config.instances import accelerator
from smoke.account import Account
from smoke.execution import keys
from smoke.stages import SPECIAL
from smoke.verdict import CannotTell, Check, Verdict, judged

GROUP = "/aws/sagemaker/TransformJobs"
_BEGIN = "darkroom transform 1 pictures answers --target aws"


def transform_rights(account: Account) -> Verdict:
    """Of the newest job that has ended: what kept it from reading, writing or logging would be a denial."""
    job = _newest(account, ("Completed", "Failed"), _BEGIN)
    name, reason = job["TransformJobName"], job.get("FailureReason", "")
    denied = any(word in reason for word in ("AccessDenied", "not authorized", "Forbidden", "403"))
    if reason and not denied:
        raise CannotTell(f"{name} is {job['TransformJobStatus']}: {reason}", _BEGIN)
    answers = keys(account, job["TransformOutput"]["S3OutputPath"], most=5)
    streams = account.ask("logs", "describe_log_streams", logGroupName=GROUP, logStreamNamePrefix=f"{name}/")
    logs = [each["logStreamName"] for each in streams["logStreams"]]
    told = f"{name} is {job['TransformJobStatus']} {reason}; answers {answers}, logs {logs}"
    return judged(not denied and bool(answers) and bool(logs), told)


def refused_object(account: Account) -> Verdict:
    """Of the newest job that failed: the answers about the other objects are there."""
    job = _newest(account, ("Failed",), f"{_BEGIN}, with a text among the pictures")
    address = job["TransformOutput"]["S3OutputPath"]
    answers = keys(account, address, most=5)
    return judged(bool(answers), f"{job['TransformJobName']} failed: {job.get('FailureReason')}; answers {answers}")


def transform_system(account: Account) -> Verdict:
    """Of the newest job that has ended: whether it was answered by a machine with a GPU."""
    begin = f"{_BEGIN} --instance-type ml.g5.xlarge, with deploy.image made for CUDA 13"
    job = _newest(account, ("Completed", "Failed"), begin)
    machine, status = job["TransformResources"]["InstanceType"], job["TransformJobStatus"]
    if accelerator(machine) != "gpu":
        raise CannotTell(f"{job['TransformJobName']} ran on {machine}", begin)
    return judged(status == "Completed", f"{machine}: {status} {job.get('FailureReason', '')}".rstrip())


def _newest(account: Account, statuses: tuple[str, ...], begin: str) -> dict[str, Any]:
    """Of this pipeline's, as `darkroom transform` calls them. Raises CannotTell where there is none."""
    contained = f"{account.pipeline.pipeline.name[:40].rstrip('-')}-transform-"
    rows = account.ask(
        "sagemaker",
        "list_transform_jobs",
        NameContains=contained,
        SortBy="CreationTime",
        SortOrder="Descending",
        MaxResults=100,
    )["TransformJobSummaries"]
    names = [row["TransformJobName"] for row in rows if row["TransformJobStatus"] in statuses]
    if not names:
        raise CannotTell(f"of {len(rows)} jobs {contained}… none is {' or '.join(statuses)}", begin)
    return dict(account.ask("sagemaker", "describe_transform_job", TransformJobName=names[0]))


CHECKS = (
    Check("transform-rights", SPECIAL, transform_rights, "Completed, with answers in S3 and a stream of its log"),
    Check("transform-system", SPECIAL, transform_system, "Completed on a machine with a GPU"),
    Check("refused-object", SPECIAL, refused_object, "answers in the output folder of a job that failed"),
)
