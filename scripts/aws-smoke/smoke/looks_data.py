"""What executions show of S3 and the cache."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from smoke.account import Account
from smoke.execution import PROCESSING, TRAINING, Execution, execution, executions, keys
from smoke.stages import AGAIN, SPECIAL
from smoke.verdict import CannotTell, Check, Verdict, judged

_AGAIN = "darkroom start --target aws --wait, unchanged"


def champion_readable(account: Account) -> Verdict:
    found = execution(account)
    job = found.job("EvaluateModel")
    address = _input(job, "champion")
    if not address.endswith(".tar.gz"):
        raise CannotTell(f"the champion is {address}", "approve a model, and start again")
    return judged(job["ProcessingJobStatus"] == "Completed", f"{address}: {job['ProcessingJobStatus']}")


def one_object(account: Account) -> Verdict:
    """Any input whose address is exactly one object's."""
    found = execution(account)
    jobs = [found.job(name) for kind in (PROCESSING, TRAINING) for name in found.began(kind)]
    single = {address: job for job in jobs for address in _addresses(job) if _is_object(account, address)}
    if not single:
        raise CannotTell("no input is one object", "set dataset.source to an archive in S3, or approve a model")
    statuses = {address: _status(job) for address, job in single.items()}
    return judged(set(statuses.values()) == {"Completed"}, f"{statuses}")


def cifar(account: Account) -> Verdict:
    job = execution(account).job("PrepareData")
    arguments = job["AppSpecification"].get("ContainerArguments", [])
    kind = arguments[arguments.index("--kind") + 1] if "--kind" in arguments else ""
    if not kind.startswith("cifar"):
        raise CannotTell(f"dataset.kind is {kind!r}", "run examples/cifar10.yaml with the archive as published")
    return judged(job["ProcessingJobStatus"] == "Completed", f"{kind}: {_status(job)} {job.get('FailureReason', '')}")


def kept_outputs(account: Account) -> Verdict:
    found = execution(account)
    there = {
        address: bool(keys(account, address, most=1)) for name in _hits(found) for address in _outputs(found.job(name))
    }
    return judged(all(there.values()), f"outputs of cached steps: {there}")


def hit_metadata(account: Account) -> Verdict:
    """The execution that a hit names ran the step itself, and the same job is named in both."""
    found = execution(account)
    wrong = {}
    for name, row in _hits(found).items():
        source = row["CacheHitResult"]["SourcePipelineExecutionArn"]
        ran = Execution(account, source).steps.get(name, {})
        if "CacheHitResult" in ran or ran.get("Metadata") != row.get("Metadata"):
            wrong[name] = {"here": row.get("Metadata"), "there": ran.get("Metadata"), "source": source}
    return judged(not wrong, f"hits {sorted(_hits(found))}; otherwise than expected: {wrong or 'none'}")


def cache_order(account: Account) -> Verdict:
    """No execution between the source and this one ran the step itself with the same job's inputs."""
    found = execution(account)
    arns = [row["PipelineExecutionArn"] for row in executions(account)]
    earlier = arns[arns.index(found.arn) + 1 :]
    newest = {}
    for name in _hits(found):
        rows = ((arn, Execution(account, arn).steps.get(name, {})) for arn in earlier)
        newest[name] = next(
            (arn for arn, row in rows if row.get("StepStatus") == "Succeeded" and "CacheHitResult" not in row), ""
        )
    sources = {name: row["CacheHitResult"]["SourcePipelineExecutionArn"] for name, row in _hits(found).items()}
    return judged(sources == newest, f"sources {sources}; newest runs {newest}")


def _hits(found: Execution) -> dict[str, dict[str, Any]]:
    hits = {name: row for name, row in found.steps.items() if "CacheHitResult" in row}
    if not hits:
        raise CannotTell(f"{found.arn} has no cache hit", _AGAIN)
    return hits


def _input(job: dict[str, Any], name: str) -> str:
    return next((each["S3Input"]["S3Uri"] for each in job["ProcessingInputs"] if each["InputName"] == name), "")


def _addresses(job: dict[str, Any]) -> list[str]:
    inputs = [each["S3Input"]["S3Uri"] for each in job.get("ProcessingInputs", []) if "S3Input" in each]
    return inputs + [each["DataSource"]["S3DataSource"]["S3Uri"] for each in job.get("InputDataConfig", [])]


def _outputs(job: dict[str, Any]) -> list[str]:
    if "ModelArtifacts" in job:
        return [job["ModelArtifacts"]["S3ModelArtifacts"]]
    return [each["S3Output"]["S3Uri"] for each in job.get("ProcessingOutputConfig", {}).get("Outputs", [])]


def _is_object(account: Account, address: str) -> bool:
    parts = urlsplit(address)
    if address.endswith("/"):
        return False
    try:
        account.ask("s3", "head_object", Bucket=parts.netloc, Key=parts.path.removeprefix("/"))
    except ClientError:
        return False
    return True


def _status(job: dict[str, Any]) -> str:
    return str(job.get("ProcessingJobStatus") or job.get("TrainingJobStatus"))


CHECKS = (
    Check("champion-readable", AGAIN, champion_readable, "EvaluateModel, given the champion's archive, is Completed"),
    Check("one-object", AGAIN, one_object, "jobs whose input is exactly one object's key are Completed"),
    Check("hit-metadata", AGAIN, hit_metadata, "a hit has the job of the execution that ran it, which it names"),
    Check("cache-order", AGAIN, cache_order, "a hit's source is the newest execution that ran this step"),
    Check("kept-outputs", AGAIN, kept_outputs, "objects lie at the outputs of every cached step"),
    Check("cifar", SPECIAL, cifar, "PrepareData of the published archive is Completed"),
)
