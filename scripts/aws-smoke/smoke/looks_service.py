"""What AWS answers to single calls that change nothing."""

from __future__ import annotations

import re
import time
from pathlib import Path

from botocore.exceptions import ClientError
from lambda_champion import ABSENT

from smoke.account import Account
from smoke.execution import executions
from smoke.stages import EXECUTION, FREE
from smoke.verdict import CannotTell, Check, Verdict, judged

_GUIDE = Path(__file__).parents[3] / "docs/training.md"
_LOOK_S = 5.0  # seconds between two looks of `start --wait --target aws`


def absent_group(account: Account) -> Verdict:
    name = account.name()
    code, message = account.refusal("sagemaker", "list_model_packages", ModelPackageGroupName=name)
    return judged(code in (*ABSENT, ""), f"{code or 'an empty list'} {message}".strip())


def unknown_operation(account: Account) -> Verdict:
    status, answer = account.raw("SageMaker.None", "{}")
    code = str(answer.get("__type", "")).rpartition("#")[2]
    return judged((status, code) == (404, "UnknownOperationException"), f"status {status}: {answer}")


def wrong_type(account: Account) -> Verdict:
    status, answer = account.raw("SageMaker.ListPipelines", '{"MaxResults": "5"}')
    code = str(answer.get("__type", "")).rpartition("#")[2]
    message = str(answer.get("message") or answer.get("Message") or "")
    right = code == "SerializationException" and "STRING_VALUE can not be converted to Integer" in message
    return judged(right, f"status {status}: {code} {message!r}")


def machine_image(account: Account) -> Verdict:
    """The parameter that docs/training.md asks for, and the root disk that it makes larger."""
    found = re.search(r"--name (/aws/[\w./-]+)", _GUIDE.read_text(encoding="utf-8"))
    assert found, f"{_GUIDE} names no parameter"
    code, message = account.refusal("ssm", "get_parameter", Name=found[1])
    if code not in ("", "ParameterNotFound"):
        raise CannotTell(f"{found[1]}: {code} {message}", "see what the service says, and ask again")
    if code:
        return judged(False, f"{found[1]}: {code} {message}")
    image = account.ask("ssm", "get_parameter", Name=found[1])["Parameter"]["Value"]
    [described] = account.ask("ec2", "describe_images", ImageIds=[image])["Images"]
    disk = re.search(r"DeviceName=([^,\s\"']+)", _GUIDE.read_text(encoding="utf-8"))
    root = described["RootDeviceName"]
    return judged(disk is None or disk[1] == root, f"{image} {described['Name']}: its root is {root}")


def look_rate(account: Account) -> Verdict:
    """Three calls every five seconds, as a watched execution asks; counts what was throttled."""
    rows = executions(account)
    if not rows:
        raise CannotTell("no execution to look at", "darkroom start --target aws")
    arn, refused, looks = rows[0]["PipelineExecutionArn"], list[str](), 0
    deadline = time.monotonic() + account.options.seconds
    while time.monotonic() < deadline:
        looks += 1
        try:
            account.ask("sagemaker", "describe_pipeline_execution", PipelineExecutionArn=arn)
            account.ask("sagemaker", "list_pipeline_execution_steps", PipelineExecutionArn=arn)
            account.ask("sagemaker", "list_pipeline_parameters_for_execution", PipelineExecutionArn=arn)
        except ClientError as exc:
            refused.append(str(exc.response["Error"]["Code"]))
        time.sleep(min(_LOOK_S, max(0.0, deadline - time.monotonic())))
    return judged(not refused, f"{looks} looks in {account.options.seconds:.0f} s; refused: {refused or 'none'}")


CHECKS = (
    Check("absent-group", FREE, absent_group, f"{', '.join(ABSENT)} or an empty list"),
    Check("unknown-operation", FREE, unknown_operation, "status 404, UnknownOperationException"),
    Check("wrong-type", FREE, wrong_type, "SerializationException: STRING_VALUE can not be converted to Integer"),
    Check("machine-image", FREE, machine_image, "SSM knows the parameter; the image's root disk is the one named"),
    Check("look-rate", EXECUTION, look_rate, "no call of three every 5 s is refused (--seconds 3600 for an hour)"),
)
