"""What an execution with AWS's own Debugger shows: `health.managed: true`."""

from __future__ import annotations

import io
import json
import tarfile
from typing import Any

from smoke.account import Account
from smoke.execution import execution, keys
from smoke.stages import DEBUGGER
from smoke.verdict import CannotTell, Check, Verdict, judged

_MANAGED = "health.managed: true, and run it"
_LARGEST = 256 << 20  # bytes of an output.tar.gz that is read here


def rule_parameters(account: Account) -> Verdict:
    statuses = _statuses(_job(account), "DebugRuleEvaluationStatuses")
    return judged(not _errors(statuses), _told(statuses))


def refused(account: Account) -> Verdict:
    """Where the account has no Debugger, the step failed at CreateTrainingJob; else the rules have statuses."""
    found = execution(account)
    row = found.step("TrainModel")
    if not row.get("Metadata"):
        return judged(bool(row.get("FailureReason")), f"no job; TrainModel says {row.get('FailureReason', '')!r}")
    statuses = _statuses(_job(account), "DebugRuleEvaluationStatuses")
    return judged(bool(statuses), _told(statuses))


def hook_registered(account: Account) -> Verdict:
    files = _outputs(account, _job(account))
    text = next((text for name, text in files.items() if name.endswith("health/debugger.json")), "")
    if not text:
        raise CannotTell(f"no health/debugger.json among {sorted(files)}", _MANAGED)
    return judged("registered" in text, text.strip())


def hook_uploads(account: Account) -> Verdict:
    job = _job(account)
    address = f"{job['DebugHookConfig']['S3OutputPath'].rstrip('/')}/{job['TrainingJobName']}/debug-output/"
    found = keys(account, address)
    return judged(bool(found), f"{len(found)} objects below {address}")


def rule_rights(account: Account) -> Verdict:
    statuses = _statuses(_job(account), "DebugRuleEvaluationStatuses")
    denied = [each for each in statuses if "denied" in each.get("StatusDetails", "").lower()]
    return judged(not denied and not _errors(statuses), _told(statuses))


def hook_file(account: Account) -> Verdict:
    """train.py's program prints nothing of the file: somebody has to, once."""
    lines = [line for line in execution(account).log("TrainModel") if "S3OutputPath" in line]
    if not lines:
        raise CannotTell(
            "the log does not hold /opt/ml/input/config/debughookconfig.json",
            "print it in train.py of a copy, and run that; compare with pipeline/local/jobs/debugger.py",
        )
    return judged("null" in lines[0], lines[0])


def profiler_rules(account: Account) -> Verdict:
    statuses = _statuses(_job(account), "ProfilerRuleEvaluationStatuses")
    return judged(not _errors(statuses), _told(statuses))


def _job(account: Account) -> dict[str, Any]:
    job = execution(account).training()
    if "DebugHookConfig" not in job:
        raise CannotTell("TrainModel has no DebugHookConfig", _MANAGED)
    return job


def _statuses(job: dict[str, Any], key: str) -> list[dict[str, Any]]:
    rows = list(job.get(key, []))
    if not rows or any(each["RuleEvaluationStatus"] == "InProgress" for each in rows):
        raise CannotTell(f"{key} are {'in progress' if rows else 'not there'}", "look again some minutes later")
    return rows


def _errors(statuses: list[dict[str, Any]]) -> list[str]:
    return [each["RuleConfigurationName"] for each in statuses if each["RuleEvaluationStatus"] == "Error"]


def _told(statuses: list[dict[str, Any]]) -> str:
    rows = [(each["RuleConfigurationName"], each["RuleEvaluationStatus"]) for each in statuses]
    details = [each["StatusDetails"] for each in statuses if each.get("StatusDetails")]
    return json.dumps(dict(rows)) + (f"; {details}" if details else "")


def _outputs(account: Account, job: dict[str, Any]) -> dict[str, str]:
    """Small JSON files of output.tar.gz, which is a stranger's: nothing is unpacked."""
    address = f"{job['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{job['TrainingJobName']}/output/output.tar.gz"
    bucket, _, key = address.removeprefix("s3://").partition("/")
    answer = account.ask("s3", "get_object", Bucket=bucket, Key=key)
    if answer["ContentLength"] > _LARGEST:
        raise CannotTell(f"{address} has {answer['ContentLength']} bytes", "look into it by hand")
    with tarfile.open(fileobj=io.BytesIO(answer["Body"].read()), mode="r:gz") as archive:
        small = [each for each in archive if each.isfile() and each.name.endswith(".json") and each.size < 1 << 20]
        files = ((each.name, archive.extractfile(each)) for each in small)
        return {name: file.read().decode(errors="replace") for name, file in files if file}


CHECKS = (
    Check(
        "debugger-refused", DEBUGGER, refused, "without Debugger TrainModel fails and says so; else rules are judged"
    ),
    Check("debugger-parameters", DEBUGGER, rule_parameters, "no DebugRuleEvaluationStatuses is Error"),
    Check("debugger-hook", DEBUGGER, hook_registered, "health/debugger.json in output.tar.gz says registered"),
    Check("debugger-uploads", DEBUGGER, hook_uploads, "objects below <S3OutputPath>/<job>/debug-output/"),
    Check("debugger-rights", DEBUGGER, rule_rights, "no status is Error, and none says that something was denied"),
    Check("debugger-file", DEBUGGER, hook_file, "debughookconfig.json has null for members that were left out"),
    Check("profiler-parameters", DEBUGGER, profiler_rules, "no ProfilerRuleEvaluationStatuses is Error"),
)
