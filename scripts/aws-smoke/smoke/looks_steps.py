"""What one execution shows of steps: how values reach them, how programs start, what the service tells of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from smoke.account import Account
from smoke.execution import PROCESSING, TRAINING, TUNING, Execution, execution
from smoke.stages import AGAIN, EXECUTION, SPECIAL
from smoke.verdict import CannotTell, Check, Verdict, judged

LAMBDA_SECONDS = 600
_LIMITS = ("MaxRuntimeInSeconds", "VolumeSizeInGB")
_NO_MODULE = re.compile(r"(?:ModuleNotFoundError|ImportError): .*")


def tuned_values(account: Account) -> Verdict:
    found = execution(account)
    best = found.job("TuneModel")["BestTrainingJob"]["TunedHyperParameters"]
    ranged = {
        each["Name"]
        for kind in found.job("TuneModel")["HyperParameterTuningJobConfig"]["ParameterRanges"].values()
        for each in kind
    }
    given = found.training()["HyperParameters"]
    taken = {name: given.get(name) for name in best}
    right = set(best) == ranged and taken == best and all(isinstance(each, str) for each in best.values())
    return judged(right, f"ranged {sorted(ranged)}; the best trial's {best}; TrainModel was given {taken}")


def fail_message(account: Account) -> Verdict:
    row = execution(account).step("AccuracyTooLow")
    reason = str(row.get("FailureReason", ""))
    return judged(bool(re.search(r"is (0|1)(\.\d+)?, below", reason)) and "{" not in reason, f"{reason!r}")


def programs_start(account: Account) -> Verdict:
    ran = _jobs(execution(account))
    failed = {name: job["FailureReason"] for name, job in ran.items() if job.get("FailureReason")}
    return judged(not failed, f"{', '.join(ran)} ran; reasons of failure: {failed or 'none'}")


def imports(account: Account) -> Verdict:
    found = execution(account)
    lines = [line for name in _jobs(found) for line in found.log(name)]
    if not lines:
        raise CannotTell("the logs are empty", "look at an --execution whose logs have not ended")
    missing = sorted({match[0] for line in lines if (match := _NO_MODULE.search(line))})
    return judged(not missing, f"{len(lines)} lines; not found by import: {missing or 'nothing'}")


def no_network(account: Account) -> Verdict:
    jobs = _jobs(execution(account))
    isolated = {name: job for name, job in jobs.items() if _isolated(job)}
    if not isolated:
        raise CannotTell(f"none of {', '.join(jobs)} is isolated", "security.network_isolation: true, and run it")
    failed = {name: job["FailureReason"] for name, job in isolated.items() if job.get("FailureReason")}
    return judged(not failed, f"isolated: {', '.join(isolated)}; reasons of failure: {failed or 'none'}")


def step_metadata(account: Account) -> Verdict:
    rows = execution(account).steps
    began = {name: sorted(row.get("Metadata", {})) for name, row in rows.items() if row.get("StartTime")}
    return judged(all(len(each) == 1 for each in began.values()), f"{began}")


def integer_parameters(account: Account) -> Verdict:
    found = execution(account)
    values, limits = found.parameters, found.job("TuneModel")["HyperParameterTuningJobConfig"]["ResourceLimits"]
    pairs = {
        "MaxTuningJobs": limits["MaxNumberOfTrainingJobs"],
        "MaxParallelTuningJobs": limits["MaxParallelTrainingJobs"],
    }
    if found.ran("TrainModel"):  # the count is no cache key
        pairs["TrainingInstanceCount"] = found.training()["ResourceConfig"]["InstanceCount"]
    wrong = {name: taken for name, taken in pairs.items() if name in values and values[name] != str(taken)}
    return judged(not wrong, f"parameters {values}; the jobs have {pairs}")


def limit_parameters(account: Account) -> Verdict:
    """Of processing and training jobs, wherever the two members stand in their requests. Neither is a cache key."""
    found = execution(account)
    asked = {
        (step["Name"], path): value["Get"].partition(".")[2]
        for step in found.definition["Steps"]
        if step["Type"] in ("Processing", "Training") and found.ran(step["Name"])
        for path, value in _members(step["Arguments"])
        if path[-1] in _LIMITS and isinstance(value, dict) and str(value.get("Get", "")).startswith("Parameters.")
    }
    if not asked:
        raise CannotTell(
            f"no step that ran takes {' or '.join(_LIMITS)} from a parameter",
            "--execution ARN, of a definition in which one does",
        )
    values, taken = found.parameters, dict[str, str]()
    for (name, path), parameter in asked.items():
        taken[f"{name} {path[-1]} {parameter}"] = str(dict(_members(found.job(name)))[path])
    right = all(value == values.get(key.rpartition(" ")[2], value) for key, value in taken.items())
    return judged(right, f"parameters {values}; the jobs have {taken}")


def deploy_time(account: Account) -> Verdict:
    row = execution(account).step("DeployModel")
    if "EndTime" not in row:
        raise CannotTell(f"DeployModel is {row['StepStatus']}", "look again when it has ended")
    seconds = (row["EndTime"] - row["StartTime"]).total_seconds()
    right = row["StepStatus"] == "Succeeded" and seconds < LAMBDA_SECONDS / 2
    return judged(right, f"DeployModel {row['StepStatus']} after {seconds:.1f} s of {LAMBDA_SECONDS}")


def lambda_text(account: Account) -> Verdict:
    outputs = _champion(execution(account))
    texts = all(isinstance(value, str) for value in outputs.values())
    return judged(texts and bool(outputs.get("archive")), f"OutputParameters {outputs}")


def lambda_outputs(account: Account) -> Verdict:
    """In the input's address, in the arguments, and in the package's properties; there the page's address, too."""
    found = execution(account)
    outputs, job = _champion(found), found.job("EvaluateModel")
    address = next(each["S3Input"]["S3Uri"] for each in job["ProcessingInputs"] if each["InputName"] == "champion")
    arguments = job["AppSpecification"]["ContainerArguments"]
    package = found.step("RegisterModel")["Metadata"]["RegisterModel"]["Arn"]
    registered = account.ask("sagemaker", "describe_model_package", ModelPackageName=package)
    noted = registered.get("CustomerMetadataProperties", {})
    written = {each["OutputName"]: each["S3Output"]["S3Uri"] for each in job["ProcessingOutputConfig"]["Outputs"]}
    arn = outputs["model_package_arn"]
    right = address == outputs["archive"] and arn in arguments and noted.get("champion") == arn
    right = right and noted.get("page") == f"{written['report']}model.html"
    return judged(right, f"FindChampion gave {outputs}; input {address}; outputs {written}; the package has {noted}")


def log_streams(account: Account) -> Verdict:
    found = execution(account)
    training = found.began(TRAINING)["TrainModel"]["Metadata"][TRAINING]["Arn"].rpartition("/")[2]
    tuning = found.began(TUNING)["TuneModel"]["Metadata"][TUNING]["Arn"].rpartition("/")[2]
    group, names = "/aws/sagemaker/TrainingJobs", []
    for job in (training, tuning):
        answer = account.ask("logs", "describe_log_streams", logGroupName=group, logStreamNamePrefix=job)
        names += [each["logStreamName"] for each in answer["logStreams"]]
    own, trials = rf"{re.escape(training)}/algo-\d+-\d+", rf"{re.escape(tuning)}-\d{{3}}-[0-9a-f]{{8}}/algo-\d+-\d+"
    kinds = [any(re.fullmatch(pattern, name) for name in names) for pattern in (own, trials)]
    strange = [name for name in names if not re.fullmatch(f"{own}|{trials}", name)]
    return judged(all(kinds) and not strange, f"{json.dumps(names)}; unlike what is expected: {strange or 'none'}")


def _jobs(found: Execution) -> dict[str, dict[str, Any]]:
    jobs = {name: found.job(name) for kind in (PROCESSING, TRAINING) for name in found.began(kind)}
    if not jobs:
        raise CannotTell(f"{found.arn} has no job yet", "look at another --execution")
    return jobs


def _members(request: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(path, value) of all members of all objects in it."""
    for key, value in request.items() if isinstance(request, dict) else ():
        yield (*path, key), value
        yield from _members(value, (*path, key))


def _isolated(job: dict[str, Any]) -> bool:
    return bool(job.get("EnableNetworkIsolation") or job.get("NetworkConfig", {}).get("EnableNetworkIsolation"))


def _champion(found: Execution) -> dict[str, Any]:
    """Outputs of FindChampion, by name."""
    rows = found.step("FindChampion").get("Metadata", {}).get("Lambda", {}).get("OutputParameters")
    if not rows:
        raise CannotTell("FindChampion has no OutputParameters", "look at an --execution in which it succeeded")
    return {row["Name"]: row["Value"] for row in rows}


CHECKS = (
    Check("programs-start", EXECUTION, programs_start, "no job has a FailureReason"),
    Check("imports", EXECUTION, imports, "no log names a module that is not there"),
    Check("no-network", EXECUTION, no_network, "jobs with EnableNetworkIsolation have no FailureReason"),
    Check("tuned-values", EXECUTION, tuned_values, "BestTrainingJob's texts, of ranged names alone, are TrainModel's"),
    Check("step-metadata", EXECUTION, step_metadata, "one key for each step that has begun"),
    Check("integer-parameters", SPECIAL, integer_parameters, "the jobs' limits and count are those of `--set`"),
    Check("limit-parameters", SPECIAL, limit_parameters, "runtime or volume of the job is that of `--set`"),
    Check("deploy-time", EXECUTION, deploy_time, f"Succeeded well within {LAMBDA_SECONDS} s"),
    Check("lambda-text", EXECUTION, lambda_text, "Metadata.Lambda.OutputParameters has texts, archive among them"),
    Check("log-streams", EXECUTION, log_streams, "<job>/algo-<n>-<time>, trials <tuning job>-<number>-<8 hex digits>"),
    Check("lambda-outputs", AGAIN, lambda_outputs, "FindChampion's values stand in input, arguments and package"),
    Check("fail-message", SPECIAL, fail_message, "Accuracy on the test split is 0.…, below …: no braces"),
)
