"""What executions show of training jobs: checkpoints, several hosts, what a job leaves behind."""

from __future__ import annotations

from typing import Any

from smoke.account import Account
from smoke.execution import TUNING, Execution, execution, executions, keys
from smoke.stages import EXECUTION, SPECIAL
from smoke.verdict import CannotTell, Check, Verdict, judged

_SPOT = "a spot job (examples/cifar10.yaml) that is interrupted: its SecondaryStatusTransitions say Interrupted"
_TRIALS = "--execution ARN, of a definition whose tuning step has a CheckpointConfig, with two trials or more"
_STOPPED = "darkroom stop while TrainModel runs, with training.checkpoints"
_GPUS = ("ml.g5.12xlarge", "ml.g5.24xlarge", "ml.g5.48xlarge", "ml.g4dn.12xlarge", "ml.p3.8xlarge", "ml.p3.16xlarge")
_GPUS += ("ml.g6.12xlarge", "ml.g6.24xlarge", "ml.g6.48xlarge", "ml.p4d.24xlarge", "ml.p5.48xlarge")


def checkpoints(account: Account) -> Verdict:
    found = execution(account)
    job = found.training()
    address = _checkpoints(job)
    if "Interrupted" not in [each["Status"] for each in job.get("SecondaryStatusTransitions", [])]:
        raise CannotTell(f"the job was not interrupted; {len(keys(account, address))} objects at {address}", _SPOT)
    resumed = [line for line in found.log("TrainModel") if "checkpoint" in line]
    return judged(bool(resumed), f"after the interruption its log says {resumed[:3]}")


def trial_checkpoints(account: Account) -> Verdict:
    found = execution(account)
    name = next(iter(found.began(TUNING)), "TuneModel")
    job = found.job(name)["HyperParameterTuningJobName"]
    rows = account.pages(
        "sagemaker",
        "list_training_jobs_for_hyper_parameter_tuning_job",
        "TrainingJobSummaries",
        HyperParameterTuningJobName=job,
    )
    trials = [account.ask("sagemaker", "describe_training_job", TrainingJobName=row["TrainingJobName"]) for row in rows]
    addresses = {trial["CheckpointConfig"]["S3Uri"] for trial in trials if "CheckpointConfig" in trial}
    if len(trials) < 2 or not addresses:
        raise CannotTell(f"{name}: {len(trials)} trials, which keep their state at {sorted(addresses)}", _TRIALS)
    kept = [key for address in sorted(addresses) for key in keys(account, address)]
    if not kept:
        raise CannotTell(f"nothing was kept at {sorted(addresses)}", _TRIALS)
    apart = len(addresses) == len(trials) or all(
        any(trial["TrainingJobName"] in key for key in kept) for trial in trials
    )
    return judged(apart, f"{len(trials)} trials keep their state at {sorted(addresses)}: {kept[:5]}")


def stopped_job(account: Account) -> Verdict:
    job = execution(account).training()
    if job["TrainingJobStatus"] not in ("Stopped", "Stopping"):
        raise CannotTell(f"TrainModel is {job['TrainingJobStatus']}", _STOPPED)
    health = [key for key in keys(account, _checkpoints(job)) if key.endswith("health/health.json")]
    return judged(job["TrainingJobStatus"] == "Stopped" and bool(health), f"{job['TrainingJobStatus']}; {health}")


def checkpoint_deletions(account: Account) -> Verdict:
    """The bucket is versioned: what was deleted has left markers."""
    address = _checkpoints(execution(account).training())
    bucket, _, prefix = address.removeprefix("s3://").partition("/")
    answer = account.ask("s3", "list_object_versions", Bucket=bucket, Prefix=prefix)
    markers = [each["Key"] for each in answer.get("DeleteMarkers", [])]
    if not markers and not answer.get("Versions"):
        raise CannotTell(f"nothing was ever at {address}", "training.checkpoints, and run it")
    return judged(bool(markers), f"deleted below {address}: {markers or 'nothing'}")


def onnx(account: Account) -> Verdict:
    found = execution(account)
    lines = [line for line in found.log("TrainModel") if "onnx" in line.lower()]
    if not lines:
        raise CannotTell("the log does not name onnx", "model.onnx: true, and run it")
    done = found.training()["TrainingJobStatus"] == "Completed"
    return judged(done, f"{lines[:3]}; {found.training()['TrainingJobStatus']}")


def several_hosts(account: Account) -> Verdict:
    job = execution(account).training()
    if job["ResourceConfig"]["InstanceCount"] < 2:
        raise CannotTell("one host", "darkroom start --target aws --set TrainingInstanceCount=2 --wait")
    told = f"{job['ResourceConfig']['InstanceCount']} hosts: {job['TrainingJobStatus']}"
    return judged(job["TrainingJobStatus"] == "Completed", f"{told} {job.get('FailureReason', '')}".rstrip())


def gpus(account: Account) -> Verdict:
    job = execution(account).training()
    kind = job["ResourceConfig"]["InstanceType"]
    if kind not in _GPUS:
        raise CannotTell(f"{kind} has no several GPUs", "TrainingInstanceType=ml.g5.12xlarge, with an image for GPUs")
    return judged(job["TrainingJobStatus"] == "Completed", f"{kind}: {job['TrainingJobStatus']}")


def output_archive(account: Account) -> Verdict:
    model = execution(account).training().get("ModelArtifacts", {}).get("S3ModelArtifacts", "")
    if not model:
        raise CannotTell("TrainModel has no model yet", "look at an --execution in which it succeeded")
    beside = keys(account, f"{model.rpartition('/')[0]}/")
    names = sorted(key.rpartition("/")[2] for key in beside)
    return judged({"model.tar.gz", "output.tar.gz"} <= set(names), f"beside {model}: {names}")


def failed_output(account: Account) -> Verdict:
    job = _failed(account)
    address = f"{job['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{job['TrainingJobName']}/output/"
    names = sorted(key.rpartition("/")[2] for key in keys(account, address))
    return judged("output.tar.gz" in names, f"{address}: {names or 'nothing'}; {job.get('FailureReason', '')}")


def lost_host(account: Account) -> Verdict:
    job = _failed(account)
    if job["ResourceConfig"]["InstanceCount"] < 2:
        raise CannotTell("one host", "an execution with TrainingInstanceCount=2, one of whose hosts fails")
    return judged("host" in job.get("FailureReason", ""), f"{job.get('FailureReason', '')!r}")


def retry_names(account: Account) -> Verdict:
    """Reasons of steps that failed, beside the names that the retry policies have."""
    reasons, names = list[str](), set[str]()
    for row in executions(account)[:20]:
        found = Execution(account, row["PipelineExecutionArn"])
        reasons += [each["FailureReason"] for each in found.steps.values() if each.get("FailureReason")]
        names |= {
            name
            for step in found.definition["Steps"]
            for policy in step.get("RetryPolicies", [])
            for name in policy["ExceptionType"]
        }
    words = [reason for reason in reasons if any(each in reason for each in ("Capacity", "InternalServer", "Throttl"))]
    if not words:
        raise CannotTell(f"no transient error in {len(reasons)} failures; policies name {sorted(names)}", "time")
    return judged(False, f"{words[:3]} ended a step in spite of {sorted(names)}")


def _checkpoints(job: dict[str, Any]) -> str:
    if "CheckpointConfig" not in job:
        raise CannotTell("TrainModel keeps no checkpoints", "training.checkpoints, and run it")
    return str(job["CheckpointConfig"]["S3Uri"])


def _failed(account: Account) -> dict[str, Any]:
    job = execution(account).training()
    if job["TrainingJobStatus"] != "Failed":
        raise CannotTell(f"TrainModel is {job['TrainingJobStatus']}", "an execution whose TrainModel failed")
    return job


CHECKS = (
    Check("output-archive", EXECUTION, output_archive, "output.tar.gz lies beside model.tar.gz"),
    Check("retry-names", SPECIAL, retry_names, "no step failed of a transient error that its policies do not name"),
    Check("checkpoints", SPECIAL, checkpoints, "after Interrupted the log says that it goes on from a checkpoint"),
    Check("trial-checkpoints", SPECIAL, trial_checkpoints, "each trial's state has an address or a folder of its own"),
    Check("checkpoint-deletions", SPECIAL, checkpoint_deletions, "delete markers below the checkpoint's address"),
    Check("stopped-job", SPECIAL, stopped_job, "Stopped, and health/health.json below the checkpoint's address"),
    Check("onnx", SPECIAL, onnx, "Completed, and the log names onnx before it trains"),
    Check("several-hosts", SPECIAL, several_hosts, "InstanceCount 2 or more, Completed"),
    Check("several-gpus", SPECIAL, gpus, "a machine with several GPUs, Completed"),
    Check("failed-output", SPECIAL, failed_output, "output.tar.gz of a training that failed"),
    Check("lost-host", SPECIAL, lost_host, "a training of several hosts failed, and its reason names the host"),
)
