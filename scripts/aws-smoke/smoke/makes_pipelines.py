"""What the service does with versions, aliases, tokens and selections; pipelines without a job cost nothing."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from smoke.account import Account
from smoke.execution import Execution
from smoke.stages import FREE
from smoke.verdict import CannotTell, Check, Verdict, judged

_MAKES = "a pipeline without jobs, deleted again"
_ENDED = ("Succeeded", "Failed", "Stopped")
_IN_THIS_STATE = ("ConflictException", "ValidationException")


def same_bytes(account: Account) -> Verdict:
    text = _failing("one")
    name = _pipeline(account, text)
    account.ask("sagemaker", "update_pipeline", PipelineName=name, PipelineDefinition=text)
    answered = account.ask("sagemaker", "describe_pipeline", PipelineName=name)["PipelineDefinition"]
    numbers = _versions(account, name)
    right = answered == text and numbers == [1]
    return judged(right, f"versions {numbers}; the bytes are {'those' if answered == text else 'not those'} sent")


def alias_conflict(account: Account) -> Verdict:
    """The alias stands at version 1; then it is to be added to 2, and removed from 2."""
    name = _pipeline(account, _failing("one"))
    arn = _move(account, name, 1, Add=["smoke"])
    account.ask("sagemaker", "update_pipeline", PipelineName=name, PipelineDefinition=_failing("two"))
    ask = partial(account.refusal, "sagemaker", "update_pipeline_version", PipelineArn=arn, PipelineVersionId=2)
    taken, _ = ask(PipelineVersionAliasOperations={"Add": ["smoke"]}, PipelineVersionDescription="half")
    absent, _ = ask(PipelineVersionAliasOperations={"Remove": ["smoke"]})
    described = account.ask("sagemaker", "describe_pipeline", PipelineName=name, PipelineVersionId=2)
    half = described.get("PipelineVersionDescription", "") == "half"
    right = taken == "ConflictException" and absent in ("ResourceNotFound", "ValidationException") and not half
    return judged(right, f"added: {taken}; removed: {absent}; description {'' if half else 'not '}done")


def older_version(account: Account) -> Verdict:
    first = _failing("one")
    name = _pipeline(account, first)
    account.ask("sagemaker", "update_pipeline", PipelineName=name, PipelineDefinition=_failing("two"))
    _move(account, name, 1, Add=["smoke"])
    found = _started(account, name, PipelineVersionAlias="smoke")
    runs = "one" if found.definition == json.loads(first) else "two"
    return judged(runs == "one", f"the alias stands at version 1; its start runs the definition {runs!r}")


def start_token(account: Account) -> Verdict:
    name, token = _pipeline(account, _failing("one")), account.token()
    arns = [_started(account, name, ClientRequestToken=token).arn for _ in range(2)]
    return judged(arns[0] == arns[1], f"{arns}; repeat it days later with the same pipeline for the rest")


def other_request(account: Account) -> Verdict:
    """The token of a stop, again with another execution."""
    name, token = _pipeline(account, _long()), account.token()
    ask = partial(account.refusal, "sagemaker", "stop_pipeline_execution", ClientRequestToken=token)
    first, message = ask(PipelineExecutionArn=_begun(account, name))
    if first:
        raise CannotTell(f"the first stop was refused, the execution may have ended: {first} {message}", "again")
    second, message = ask(PipelineExecutionArn=_begun(account, name))
    return judged(second == "ConflictException", f"the second request: {second or 'done'} {message}".rstrip())


def wrong_state(account: Account) -> Verdict:
    """A retry of what runs, and a stop of what has stopped."""
    name = _pipeline(account, _long())
    arn = _begun(account, name)
    retried, _ = account.refusal(
        "sagemaker", "retry_pipeline_execution", PipelineExecutionArn=arn, ClientRequestToken=account.token()
    )
    account.refusal(
        "sagemaker", "stop_pipeline_execution", PipelineExecutionArn=arn, ClientRequestToken=account.token()
    )
    status = _end(account, arn)
    stopped, _ = account.refusal(
        "sagemaker", "stop_pipeline_execution", PipelineExecutionArn=arn, ClientRequestToken=account.token()
    )
    saw = f"retry of what runs: {retried or 'done'}; stop of what is {status}: {stopped or 'done'}"
    return judged(retried in _IN_THIS_STATE and stopped in _IN_THIS_STATE, saw)


def selected_branch(account: Account) -> Verdict:
    """First a step inside a condition without it, then the condition with one of its two branches."""
    name = _pipeline(account, _branched())
    source = _started(account, name)
    ran = {}
    for selected in (["Yes"], ["If"], ["If", "Yes"]):
        steps = [{"StepName": step} for step in selected]
        config = {"SourcePipelineExecutionArn": source.arn, "SelectedSteps": steps}
        ran[" ".join(selected)] = sorted(_started(account, name, SelectiveExecutionConfig=config).steps)
    expected = {"Yes": ["Yes"], "If": ["If"], "If Yes": ["If", "Yes"]}
    return judged(ran == expected, f"selected and ran: {ran}")


def _pipeline(account: Account, text: str) -> str:
    name, role = account.name(), account.pipeline.pipeline.role_arn
    account.tell(f"makes the pipeline {name}")
    account.later(f"the pipeline {name}", lambda: _delete(account, name))
    account.ask(
        "sagemaker",
        "create_pipeline",
        PipelineName=name,
        PipelineDefinition=text,
        RoleArn=role,
        ClientRequestToken=account.token(),
    )
    return name


def _delete(account: Account, name: str) -> None:
    """A pipeline with executions that run cannot be deleted yet."""

    def deleted() -> bool:
        code, message = account.refusal(
            "sagemaker", "delete_pipeline", PipelineName=name, ClientRequestToken=account.token()
        )
        if code not in ("", "ConflictException", "ResourceNotFound"):
            account.tell(f"could not: {code} {message}")
        return code != "ConflictException"

    if not account.until(deleted):
        account.tell(f"could not: its executions still run; delete {name} by hand")


def _versions(account: Account, name: str) -> list[int]:
    rows = account.pages("sagemaker", "list_pipeline_versions", "PipelineVersionSummaries", PipelineName=name)
    return sorted(row["PipelineVersionId"] for row in rows)


def _move(account: Account, name: str, version: int, **operations: list[str]) -> str:
    """The pipeline's ARN."""
    arn = str(account.ask("sagemaker", "describe_pipeline", PipelineName=name)["PipelineArn"])
    account.ask(
        "sagemaker",
        "update_pipeline_version",
        PipelineArn=arn,
        PipelineVersionId=version,
        PipelineVersionAliasOperations=operations,
    )
    return arn


def _begun(account: Account, name: str, **request: Any) -> str:
    token = request.pop("ClientRequestToken", account.token())
    answer = account.ask(
        "sagemaker", "start_pipeline_execution", PipelineName=name, ClientRequestToken=token, **request
    )
    return str(answer["PipelineExecutionArn"])


def _started(account: Account, name: str, **request: Any) -> Execution:
    """One that has ended."""
    found = Execution(account, _begun(account, name, **request))
    _end(account, found.arn)
    return found


def _end(account: Account, arn: str) -> str:
    def status() -> str:
        answer = account.ask("sagemaker", "describe_pipeline_execution", PipelineExecutionArn=arn)
        return str(answer["PipelineExecutionStatus"])

    if not account.until(lambda: status() in _ENDED):
        raise CannotTell(f"{arn} is {status()} after {account.options.seconds:.0f} s", "again with a longer --seconds")
    return status()


def _document(*steps: dict[str, Any]) -> str:
    return json.dumps({"Version": "2020-12-01", "Metadata": {}, "Parameters": [], "Steps": list(steps)})


def _fail(name: str, message: str = "as asked", **members: Any) -> dict[str, Any]:
    return {"Name": name, "Type": "Fail", "Arguments": {"ErrorMessage": message}, **members}


def _condition(
    name: str, then: list[dict[str, Any]], otherwise: list[dict[str, Any]], **members: Any
) -> dict[str, Any]:
    arguments = {
        "Conditions": [{"Type": "Equals", "LeftValue": "a", "RightValue": "a"}],
        "IfSteps": list(then),
        "ElseSteps": list(otherwise),
    }
    return {"Name": name, "Type": "Condition", "Arguments": arguments, **members}


def _failing(message: str) -> str:
    return _document(_fail("End", message))


def _branched() -> str:
    return _document(_condition("If", (_fail("Yes"),), (_fail("No"),)))


def _long() -> str:
    """Conditions, one after the other: long enough that a second call finds it running."""
    steps = [_condition(f"C{number}", (), (), **_after(number)) for number in range(30)]
    return _document(*steps)


def _after(number: int) -> dict[str, Any]:
    return {"DependsOn": [f"C{number - 1}"]} if number else {}


CHECKS = (
    Check("same-bytes", FREE, same_bytes, "one version; DescribePipeline answers the bytes that were sent", _MAKES),
    Check(
        "alias-conflict",
        FREE,
        alias_conflict,
        "ConflictException; ResourceNotFound or ValidationException; nothing half",
        _MAKES,
    ),
    Check("older-version", FREE, older_version, "version 1 takes an alias and is started by it", _MAKES),
    Check("start-token", FREE, start_token, "one execution for two starts with the same token", _MAKES),
    Check("other-request", FREE, other_request, "ConflictException for the second execution", _MAKES),
    Check("wrong-state", FREE, wrong_state, "ConflictException or ValidationException, twice", _MAKES),
    Check("selected-branch", FREE, selected_branch, "exactly the selected steps run, a branch's without it", _MAKES),
)
