"""Callback steps: a message with a token, which somebody answers with SendPipelineExecutionStepSuccess or …Failure."""

from __future__ import annotations

from pipeline.local.jobs import JobFailed
from pipeline.local.names import random_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pipeline.local.jobs import JobContext
    from pipeline.local.store import Record

KIND = "callback"
LONGEST_S = 7 * 24 * 3600  # as on AWS, a step that nobody answers fails after a week
_LOOK_S = 0.1


async def run(request: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """`request` is what the message carries. A message is a record of kind callback, named by its token."""
    queue = context.step.get("SqsQueueUrl", "")
    token = _left_behind(context) or _send(request, queue, context)
    context.announce({"Callback": {"CallbackToken": token, "SqsQueueUrl": queue}})
    context.parity("Callback", "messages wait in the local store, not in SQS; the answers are the same operations")
    answer = await _answer(token, context)
    if answer.status != "Succeeded":
        raise JobFailed(answer.body.get("failure") or "the callback was answered with a failure that gave no reason")
    try:
        outputs = _outputs(context.step.get("OutputParameters") or [], answer.body["outputs"])
    except JobFailed:
        context.store.change(KIND, token, {}, "Failed")  # a resume asks again
        raise
    shown = [{"Name": name, "Value": str(value)} for name, value in answer.body["outputs"].items()]
    context.announce({"Callback": {"CallbackToken": token, "SqsQueueUrl": queue, "OutputParameters": shown}})
    return {"OutputParameters": outputs, "Outputs": outputs}


def _left_behind(context: JobContext) -> str:
    """The token that a killed runner sent for this step: somebody may be working on it, or have answered."""
    mine = (context.execution_arn, context.step["Name"])
    for record in context.store.list(KIND):
        if (record.body["pipelineExecutionArn"], record.body["step"]) == mine:
            return record.name if record.status in ("InProgress", "Succeeded") else ""
    return ""


def _send(request: dict[str, Any], queue: str, context: JobContext) -> str:
    token = random_id(10)
    message = {"token": token, "pipelineExecutionArn": context.execution_arn, "arguments": request}
    body = {**message, "status": "Executing", "SqsQueueUrl": queue, "step": context.step["Name"]}
    context.store.add(KIND, token, body, "InProgress")
    return token


async def _answer(token: str, context: JobContext) -> Record:
    waited = 0.0
    try:
        while (record := context.store.get(KIND, token)).status == "InProgress":
            if waited > LONGEST_S:
                raise JobFailed(f"nobody answered the callback token {token} within {LONGEST_S // 86400} days")
            await context.loop.sleep(_LOOK_S)
            waited += _LOOK_S
    except BaseException:
        context.store.change(KIND, token, {}, "Stopped")
        raise
    return record


def _outputs(declared: list[dict[str, str]], given: dict[str, str]) -> dict[str, Any]:
    """The answer's texts as the types that the step declares. Raises JobFailed."""
    missing = [output["OutputName"] for output in declared if output["OutputName"] not in given]
    if missing:
        raise JobFailed(f"OutputParameters: the callback's answer lacks {missing}; it holds {sorted(given)}")
    return {
        output["OutputName"]: _typed(
            output["OutputName"], given[output["OutputName"]], output.get("OutputType", "String")
        )
        for output in declared
    }


def _typed(name: str, text: str, kind: str) -> Any:
    try:
        match kind:
            case "String":
                return text
            case "Integer":
                return int(text)
            case "Float":
                return float(text)
            case "Boolean":
                return {"true": True, "false": False}[text.lower()]
    except (KeyError, ValueError) as exc:
        raise JobFailed(f"OutputParameters: {name!r} is declared {kind}, the answer holds {text!r}") from exc
    raise JobFailed(f"OutputParameters: unknown OutputType {kind!r}: use String, Integer, Float or Boolean")
